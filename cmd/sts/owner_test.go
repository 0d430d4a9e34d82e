package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRootLeavesNothingBehind holds that a command that is run as root leaves no file that the service can't read.
func TestRootLeavesNothingBehind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can")
	}
	const service = 12345
	path, _ := auditedFolder(t)
	folder := filepath.Dir(path)
	if err := os.Mkdir(filepath.Join(folder, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "log", "sts.db"} {
		if err := os.Chown(filepath.Join(folder, name), service, service); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if out, errs, code := command(t, "audit", "search", "--config", path); code != 0 {
			t.Fatalf("%d %s%s", code, out, errs)
		}
	}
	found := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := d.Name()
		ours := strings.HasPrefix(name, "cli-") || strings.HasPrefix(name, "audit-index.db") || strings.HasPrefix(name, "sts.db")
		if uid := info.Sys().(*syscall.Stat_t).Uid; ours && uid != service {
			t.Errorf("%s belongs to %d", name, uid)
		}
		found[filepath.Ext(name)] = found[filepath.Ext(name)] || ours
		return nil
	})
	if err != nil || !found[".jsonl"] || !found[".checkpoint"] || !found[".lock"] || !found[".db"] {
		t.Errorf("%v: %v", err, found)
	}
}

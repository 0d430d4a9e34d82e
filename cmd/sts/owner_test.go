package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// TestRootLeavesNothingBehind holds that a command that is run as root leaves no file that the service can't read.
func TestRootLeavesNothingBehind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can")
	}
	const service = 12345
	path, _ := auditedFolder(t)
	folder := filepath.Dir(path)
	for _, name := range []string{"", "sts.db"} {
		if err := os.Chown(filepath.Join(folder, name), service, service); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if out, errs, code := command(t, "audit", "search", "--config", path); code != 0 {
			t.Fatalf("%d %s%s", code, out, errs)
		}
	}
	if uid := ownerOf(t, filepath.Join(folder, "log")); uid != service {
		t.Errorf("the folder of the logs belongs to %d", uid)
	}
	// A service that was broken into may put links there, to files that it may not read.
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]func(string, string) error{"log/" + commandLog() + ".x": os.Link, "audit-index.db-x": os.Symlink} {
		if err := link(secret, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if out, errs, code := command(t, "audit", "search", "--config", path); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	if uid := ownerOf(t, secret); uid != 0 {
		t.Errorf("a file elsewhere was given to %d", uid)
	}
	for _, name := range []string{"log/" + commandLog() + ".x", "audit-index.db-x"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := d.Name()
		ours := strings.HasPrefix(name, "cli-") || strings.HasPrefix(name, "audit-index.db") || strings.HasPrefix(name, "sts.db")
		if uid := ownerOf(t, path); ours && uid != service {
			t.Errorf("%s belongs to %d", name, uid)
		}
		found[filepath.Ext(name)] = found[filepath.Ext(name)] || ours
		return nil
	})
	if err != nil || !found[".jsonl"] || !found[".checkpoint"] || !found[".lock"] || !found[".db"] {
		t.Errorf("%v: %v", err, found)
	}
}

// TestRootLeavesNothingBehindWhenKilled holds that the index is the service's from the moment on when it is there.
func TestRootLeavesNothingBehindWhenKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can")
	}
	const service = 12345
	path, _ := auditedFolder(t)
	folder := filepath.Dir(path)
	if err := os.Chown(filepath.Join(folder, "sts.db"), service, service); err != nil {
		t.Fatal(err)
	}
	cmd := new(cobra.Command)
	cmd.SetContext(t.Context())
	err := withDesk(cmd, path, func(ctx context.Context, d *desk) error {
		if err := d.index.Open(ctx); err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(folder, "audit-index.db*"))
		if len(files) < 3 {
			t.Errorf("there are %q", files)
		}
		for _, file := range files {
			if uid := ownerOf(t, file); uid != service {
				t.Errorf("%s belongs to %d", file, uid)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

package audit_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/lakegate/sts/audit"
)

// child is this test program again, running one test with AUDIT_TEST_CHILD set.
func child(test, role, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "AUDIT_TEST_CHILD="+role, "AUDIT_TEST_DIR="+dir)
	return cmd
}

func runChild(t *testing.T, test, role, dir string) {
	t.Helper()
	if out, err := child(test, role, dir).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What was accepted is there after a kill -9, in every mode; and the next start reads and writes on. (Only a power
// failure could tell the modes apart; TestWhatIsAwaited shows what each waits for.)
func TestKilled(t *testing.T) {
	if mode := os.Getenv("AUDIT_TEST_CHILD"); mode != "" {
		writeForEver(t, audit.Sync(mode))
		return
	}
	for _, mode := range []audit.Sync{audit.SyncMint, audit.SyncAlways, audit.SyncWritten} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			cmd := child("TestKilled", string(mode), dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			const enough = 50
			var acknowledged []string
			for lines := bufio.NewScanner(out); lines.Scan(); {
				id, ok := strings.CutPrefix(lines.Text(), "accepted ")
				if !ok {
					continue
				}
				if acknowledged = append(acknowledged, id); len(acknowledged) == enough {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = cmd.Wait()
			if len(acknowledged) < enough {
				t.Fatalf("only %d accepted", len(acknowledged))
			}
			l, _ := open(t, dir, nil)
			if err := record(l, "after"); err != nil {
				t.Fatal(err)
			}
			there := accepted(t, dir)
			slices.Sort(there)
			for _, id := range append(acknowledged, "after") {
				if _, found := slices.BinarySearch(there, id); !found {
					t.Errorf("%s was accepted and is lost", id)
				}
			}
			mustClose(t, l)
			if logs, faults := verify(t, dir); len(faults) > 0 || len(logs) != 1 || logs[0].Proven != logs[0].Records {
				t.Errorf("%+v, %v", logs, faults)
			}
		})
	}
}

func writeForEver(t *testing.T, mode audit.Sync) {
	l, _ := open(t, os.Getenv("AUDIT_TEST_DIR"), func(c *audit.Config) { c.Sync = mode })
	for i := 0; ; i++ {
		id := fmt.Sprint(i)
		if err := record(l, id); err != nil {
			t.Fatal(err)
		}
		fmt.Println("accepted", id)
	}
}

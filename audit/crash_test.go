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

// What was accepted is there after a kill -9, in every mode, again and again; each next start reads and writes on, and in
// the end the log is proven. (Only a power failure could tell the modes apart; TestWhatIsAwaited shows what each waits for.)
func TestKilled(t *testing.T) { killed(t, "TestKilled", 4) }

// killed kills a writer of each mode so many times. test is the name of the test that calls it.
func killed(t *testing.T, test string, kills int) {
	if mode := os.Getenv("AUDIT_TEST_CHILD"); mode != "" {
		writeForEver(t, audit.Sync(mode))
		return
	}
	for _, mode := range []audit.Sync{audit.SyncMint, audit.SyncAlways, audit.SyncWritten} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			var acknowledged []string
			for i := range kills {
				acknowledged = append(acknowledged, writeAndKill(t, test, string(mode), dir, 10+i*13%50)...)
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

// writeAndKill has another process write until so many records are accepted, and kills it.
func writeAndKill(t *testing.T, test, mode, dir string, enough int) (acknowledged []string) {
	t.Helper()
	cmd := child(test, mode, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
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
	return acknowledged
}

func writeForEver(t *testing.T, mode audit.Sync) {
	l, _ := open(t, os.Getenv("AUDIT_TEST_DIR"), func(c *audit.Config) { c.Sync = mode })
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if err := record(l, id); err != nil {
			t.Fatal(err)
		}
		fmt.Println("accepted", id)
	}
}

package store_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/testservice"
	"github.com/lakegate/sts/store"
	"github.com/lakegate/sts/store/storetest"
)

// postgres is the cluster of all tests that don't stop it.
var postgres testservice.SharedPostgres

// countEnv makes this test binary a process of its own that counts in a ledger; see countInProcesses.
const countEnv = "STORE_TEST_COUNT_IN"

func TestMain(m *testing.M) {
	if ledger := os.Getenv(countEnv); ledger != "" {
		if err := count(ledger); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	postgres.Close()
	os.Exit(code)
}

const (
	countingProcesses = 4
	countsPerProcess  = 15
)

// countInProcesses lets processes open one ledger at the same time and count in it.
func countInProcesses(t *testing.T, ledger string) {
	t.Helper()
	var running []*exec.Cmd
	var said [countingProcesses]strings.Builder
	for i := range countingProcesses {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), countEnv+"="+ledger)
		cmd.Stderr = &said[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for i, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, said[i].String())
		}
	}
}

func count(ledger string) error {
	ctx := context.Background()
	var l interface {
		exchange.Ledger
		Close() error
	}
	var err error
	if path, embedded := strings.CutPrefix(ledger, "sqlite:"); embedded {
		l, err = store.OpenSQLite(ctx, store.SQLiteConfig{Path: path})
	} else {
		l, err = store.OpenPostgres(ctx, store.PostgresConfig{URL: ledger, Timeout: unhurried})
	}
	if err != nil {
		return err
	}
	for range countsPerProcess {
		if err := storetest.Count(ctx, l, "count"); err != nil {
			return err
		}
	}
	return l.Close()
}

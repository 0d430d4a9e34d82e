//go:build unix

package export_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lakegate/sts/audit/export"
)

// What a command has started ends with it: else it would still write the batch, or a piece of it, while the next try does. The
// pipe ends when the last who can write to it is gone.
func TestACommandEndsWithWhatItStarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- (&export.Command{Command: []string{"/bin/sh", "-c", `(echo; exec sleep 60) > "$0" | cat`, path}}).Send(ctx, batch())
	}()
	ended := make(chan error, 1)
	go func() {
		pipe, err := os.Open(path) // once somebody writes
		if err == nil {
			defer func() { _ = pipe.Close() }()
			_, err = pipe.Read(make([]byte, 1))
			cancel()
			_, _ = io.Copy(io.Discard, pipe)
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("what the command started still runs")
	}
	if <-done == nil {
		t.Error("a command that was ended has taken a batch")
	}
}

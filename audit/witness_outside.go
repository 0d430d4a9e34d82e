package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// Doer is a bounded HTTP client; internal/outbound makes them.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// URLWitness posts each checkpoint to a URL, as text. 2xx means that it is kept. 409 with a checkpoint of ours as the body
// means that it contradicts that one.
type URLWitness struct {
	URL    string
	Client Doer
}

var _ Witness = (*URLWitness)(nil)

// Name implements Witness.
func (w *URLWitness) Name() string { return "url" }

// Keep implements Witness.
func (w *URLWitness) Keep(ctx context.Context, c Checkpoint) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, strings.NewReader(c.Note))
	if err != nil {
		return fmt.Errorf("posting a checkpoint: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := w.Client.Do(req)
	if err != nil {
		return fmt.Errorf("posting a checkpoint: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckpoint)) // to its end, so that the connection is used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusConflict && err == nil:
		return &ContradictedError{Checkpoint{Note: string(body)}}
	default:
		return fmt.Errorf("posting a checkpoint: the witness answers %d", resp.StatusCode)
	}
}

// CommandWitness runs a program for each checkpoint, which gets it on its standard input and has kept it when it ends
// with 0. It has the service's environment.
type CommandWitness struct {
	// Command is the program's path and its arguments.
	Command []string
}

var _ Witness = (*CommandWitness)(nil)

// Name implements Witness.
func (w *CommandWitness) Name() string { return "command" }

// Keep implements Witness.
func (w *CommandWitness) Keep(ctx context.Context, c Checkpoint) error {
	if len(w.Command) == 0 {
		return errors.New("audit.CommandWitness.Command is empty")
	}
	cmd := exec.CommandContext(ctx, w.Command[0], w.Command[1:]...) //nolint:gosec // which the operator's configuration names
	cmd.Stdin = bytes.NewReader([]byte(c.Note))
	cmd.WaitDelay = time.Second // for what its children hold open
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running the witness's command: %w", err)
	}
	return nil
}

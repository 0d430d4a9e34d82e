package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Command runs a program for each batch, which gets its lines on its standard input and has taken them when it ends with 0.
// It has the service's environment, and there the batch: STS_EXPORT, STS_BATCH (its id), STS_ORIGIN, STS_FROM and STS_TO. A
// batch that comes again has the same id and the same lines.
type Command struct {
	// Command is the program's path and its arguments.
	Command []string
}

var _ Destination = (*Command)(nil)

// Limits implements Destination: a program every ten seconds.
func (*Command) Limits() Limits {
	return Limits{Records: 10_000, Bytes: 8 << 20, Wait: 10 * time.Second, Timeout: time.Minute}
}

// Send implements Destination.
func (c *Command) Send(ctx context.Context, b *Batch) error {
	if len(c.Command) == 0 {
		return errors.New("export.Command.Command is empty")
	}
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...) //nolint:gosec // which the operator's configuration names
	cmd.Stdin = bytes.NewReader(b.Body())
	cmd.Env = append(os.Environ(), "STS_EXPORT="+b.Export, "STS_BATCH="+b.ID, "STS_ORIGIN="+b.Origin,
		"STS_FROM="+strconv.FormatUint(b.From, 10), "STS_TO="+strconv.FormatUint(b.To, 10))
	endWithGroup(cmd)           // or a child goes on with half a batch, while the next try writes the whole
	cmd.WaitDelay = time.Second // for what its children hold open
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return &Failure{Class: ClassRefused, Err: fmt.Errorf("running the export's command: %w", err)}
	}
	return &Failure{Class: ClassUnavailable, Err: fmt.Errorf("running the export's command: %w", err)}
}

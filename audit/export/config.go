package export

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// Export is one place that records are brought to.
type Export struct {
	// Name is unique, at most 128 characters of [a-z0-9._-]: its cursors are kept under it.
	Name        string
	Destination Destination
	// Format is JSON if it is left out.
	Format Format
}

// Log is this process's own log, as it grows.
type Log interface {
	// Checkpoint is its newest.
	Checkpoint() audit.Checkpoint
	// Await returns a checkpoint of more than size records as soon as there is one, or of another origin.
	Await(ctx context.Context, origin string, size uint64) (audit.Checkpoint, error)
}

var _ Log = (*audit.Log)(nil)

// Retry is how long a failed try waits.
type Retry struct {
	// Least and Most bound the pause, which doubles from one to the other, give or take a third: 1 s and 1 min if they are
	// left out.
	Least, Most time.Duration
	// Refused is the least pause where trying again helps only once somebody has mended something; 1 min if it is left out.
	Refused time.Duration
}

// Config is what Exports are made of.
type Config struct {
	// Directory holds the logs.
	Directory string
	// Log writes the one of this process, there.
	Log Log
	// Keys verify checkpoints of the other logs in Directory.
	Keys audit.PublicKeys
	// Ledger keeps the cursors.
	Ledger exchange.Ledger

	Exports []Export
	Retry   Retry

	Now     func() time.Time // time.Now if it is left out
	Slog    *slog.Logger
	Metrics prometheus.Registerer // nil for none
}

func (c *Config) complete() error {
	switch {
	case c.Directory == "":
		return errors.New("export.Config.Directory is missing")
	case c.Log == nil:
		return errors.New("export.Config.Log is missing")
	case c.Ledger == nil:
		return errors.New("export.Config.Ledger is missing")
	case c.Slog == nil:
		return errors.New("export.Config.Slog is missing")
	}
	names := map[string]bool{}
	for i := range c.Exports {
		e := &c.Exports[i]
		if e.Name == "" || names[e.Name] || e.Destination == nil {
			return errors.New("each of export.Config.Exports needs a Name of its own and a Destination")
		}
		names[e.Name] = true
		if e.Format == nil {
			e.Format = JSON
		}
	}
	if c.Retry.Least <= 0 {
		c.Retry.Least = time.Second
	}
	if c.Retry.Most <= 0 {
		c.Retry.Most = time.Minute
	}
	if c.Retry.Refused <= 0 {
		c.Retry.Refused = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

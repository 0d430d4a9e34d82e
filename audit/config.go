package audit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sync says what an accepted record is. Under each of them it is in the kernel, so that the end of this process loses
// nothing.
type Sync string

// The modes.
const (
	// SyncMint puts a record on disk before a token's first hand-out to a subject, and all others within 1 s.
	SyncMint Sync = "mint"
	// SyncAlways puts each record on disk before its answer.
	SyncAlways Sync = "always"
	// SyncWritten puts records on disk within 1 s.
	SyncWritten Sync = "written"
)

// Config is what a Log is made of.
type Config struct {
	// Directory holds the files; it is made if it isn't there.
	Directory string
	// Replica names this process's file set and is part of every record: letters, digits, dots, dashes, underscores.
	Replica string
	// Key signs the log's checkpoints; its name begins the log's origin.
	Key Key
	// Witnesses keep the checkpoints elsewhere.
	Witnesses []Witness
	// Sync is SyncMint if it is left out.
	Sync Sync
	// Retention is how long finished segments are kept; 8760 h if it is left out.
	Retention time.Duration
	// RecordClaims are names of top-level claims that are recorded beside those that a rule reads.
	RecordClaims []string
	// SegmentBytes and SegmentAge say when a new file is begun; 256 MiB and 24 h if they are left out.
	SegmentBytes int64
	SegmentAge   time.Duration
	// Continue goes on in the last segment, which Close leaves open: for a program that writes a record and ends.
	Continue bool

	// Space says how many bytes are free to this process on the disk of a directory, and how many there are; the operating
	// system's word if it is left out.
	Space func(directory string) (free, size uint64, err error)

	Now     func() time.Time // time.Now if it is left out
	Random  io.Reader        // crypto/rand if it is left out; read by one goroutine at a time
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none

	disk disk // the operating system's, but for tests
}

var replicaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (c *Config) complete() error {
	switch {
	case c.Directory == "":
		return errors.New("audit.Config.Directory is missing")
	case !replicaName.MatchString(c.Replica):
		return errors.New("audit.Config.Replica must be a name of letters, digits, dots, dashes and underscores")
	case c.Key.signer == nil:
		return errors.New("audit.Config.Key is missing")
	case c.Log == nil:
		return errors.New("audit.Config.Log is missing")
	}
	if c.Sync == "" {
		c.Sync = SyncMint
	}
	if c.Sync != SyncMint && c.Sync != SyncAlways && c.Sync != SyncWritten {
		return fmt.Errorf("audit.Config.Sync is %q; use mint, always or written", c.Sync)
	}
	if c.Retention <= 0 {
		c.Retention = 8760 * time.Hour
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 256 << 20
	}
	if c.SegmentAge <= 0 {
		c.SegmentAge = 24 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Space == nil {
		c.Space = spaceOf
	}
	if c.disk == nil {
		c.disk = realDisk{}
	}
	return nil
}

package export

import (
	"fmt"
	"os"
	"time"

	"github.com/lakegate/sts/audit"
)

const (
	// scanEvery is how often the directory is looked at for logs that are not this process's own.
	scanEvery = 10 * time.Second
	// quiet is how long nothing was written to a log that nobody signs for any more.
	quiet = time.Minute
)

// logs are those in a directory that are ours to export, and how far each may be read. It is made for one export.
type logs struct {
	c      *Config
	owner  *owner // shared by all exports
	sized  map[string]stamp
	tracks []*track // the present one last
	looked time.Time
	own    string // origin of the present log, as of then
	whole  bool   // the present log had records, then
}

// stamp is how a log's newest segment looked when its records were counted.
type stamp struct {
	path    string
	bytes   int64
	written time.Time
	settled bool // nobody was writing
	size    uint64
}

// look brings the tracks up to date: those of logs that are there now, and their sizes. make makes a new one.
func (l *logs) look(make func(audit.Standing) *track) error {
	present := l.c.Log.Checkpoint()
	if now := l.c.Now(); present.Origin == l.own && (l.whole || present.Size == 0) && now.Sub(l.looked) < scanEvery && !now.Before(l.looked) {
		l.present(present)
		return nil
	}
	standing, err := audit.Logs(l.c.Directory)
	if err != nil {
		return err
	}
	known := map[string]*track{}
	for _, t := range l.tracks {
		known[t.origin] = t
	}
	var others []*track
	var own *track
	for _, s := range standing {
		mine, err := l.owner.owns(s.Replica)
		if err != nil {
			return err
		}
		if !mine {
			continue
		}
		t := known[s.Origin]
		if t == nil {
			t = make(s)
		}
		delete(known, s.Origin)
		if s.Origin == present.Origin {
			own = t
			continue
		}
		if t.size, err = l.size(s); err != nil {
			return err
		}
		others = append(others, t)
	}
	for _, gone := range known {
		gone.stop()
	}
	if own == nil && present.Size > 0 {
		return fmt.Errorf("the log %s is not in %s, or exported by another process", present.Origin, l.c.Directory)
	}
	if l.tracks = others; own != nil {
		l.tracks = append(l.tracks, own)
	}
	l.looked, l.own, l.whole = l.c.Now(), present.Origin, own != nil
	l.present(present)
	return nil
}

// present tells the track of the present log how far it may be read.
func (l *logs) present(c audit.Checkpoint) {
	for _, t := range l.tracks {
		if t.live = t.origin == c.Origin; t.live {
			t.size = c.Size
		}
	}
}

// size is how many records of a log that is not the present one may be read: those that a checkpoint covers; and all that
// there are, where nobody has written for a while, since nobody will sign for the rest.
func (l *logs) size(s audit.Standing) (uint64, error) {
	info, err := os.Stat(s.Newest)
	if err != nil {
		return 0, err
	}
	is := stamp{path: s.Newest, bytes: info.Size(), written: info.ModTime()}
	is.settled = time.Since(is.written) > quiet // files have the machine's time
	if was, ok := l.sized[s.Origin]; ok && was.path == is.path && was.bytes == is.bytes && was.written.Equal(is.written) && was.settled == is.settled {
		return was.size, nil
	}
	if is.settled {
		is.size, err = audit.CountRecords(l.c.Directory, s.Origin)
	} else if c, e := audit.NewestCheckpoint(l.c.Directory, s.Origin, l.c.Keys); e == nil {
		is.size = c.Size
	}
	if err != nil {
		return 0, err
	}
	if l.sized == nil {
		l.sized = map[string]stamp{}
	}
	l.sized[s.Origin] = is
	return is.size, nil
}

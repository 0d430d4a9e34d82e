package audit

import (
	"crypto/sha256"
	"os"
)

// File and Disk are what tests replace to make the disk fail.
type (
	File = file
	Disk = disk
)

// RealDisk is the one that a log has by itself.
var RealDisk Disk = realDisk{}

// SpaceOf is what a log asks by itself.
var SpaceOf = spaceOf

// OpenRetirement reads the note that the ledger keeps of a retirement.
func (p PublicKey) OpenRetirement(text []byte) (Retirement, error) { return p.openRetirement(text) }

// Sign makes that note.
func (r *Retirement) Sign(k Key) ([]byte, error) { return r.sign(k) }

// On makes logs of c write to d.
func (c *Config) On(d Disk) { c.disk = d }

// wrapping is a disk whose segments are wrapped.
type wrapping struct {
	disk
	wrap func(path string, f File) (File, error)
}

func (w wrapping) Open(path string, flags int) (file, error) {
	f, err := w.disk.Open(path, flags)
	if err != nil || flags&os.O_EXCL == 0 {
		return f, err
	}
	wrapped, err := w.wrap(path, f)
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
	}
	return wrapped, err
}

// FailFiles makes l open its segments through wrap from now on, the present one included.
func (l *Log) FailFiles(wrap func(path string, f File) (File, error)) error {
	l.ticks.Lock()
	defer l.ticks.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.c.disk = wrapping{l.c.disk, wrap}
	l.segment.mu.Lock()
	defer l.segment.mu.Unlock()
	wrapped, err := wrap(l.segment.path, l.segment.file)
	l.segment.file = wrapped
	return err
}

// Tick does at once what the log does twice a second.
func (l *Log) Tick() { l.tick() }

var leafHasher = sha256.New()

// HashLeaf is the hash of a line as the log takes it.
func HashLeaf(line []byte) (h Hash) {
	hashLeaf(leafHasher, line, &h)
	return h
}

// NewFolder returns a function that folds one leaf into a tree.
func NewFolder() func() {
	r, leaf := ranges.NewEmptyRange(0), []Hash{{1}}
	return func() {
		if err := extend(r, leaf); err != nil {
			panic(err)
		}
	}
}

// NewSigner returns a function that signs a checkpoint.
func NewSigner(k Key) func() {
	return func() {
		if _, err := k.sign("origin", 1, Hash{}); err != nil {
			panic(err)
		}
	}
}

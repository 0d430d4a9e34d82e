package audit_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/lakegate/sts/audit"
)

// fragile is a disk that loses power after so many operations, and forgets what was not synced then: contents until their
// file's fsync, names until their directory's. What is read before that comes from real files.
type fragile struct {
	mu    sync.Mutex
	left  int // operations until the power fails
	now   map[string]*inode
	names map[string]*inode // as they are on disk
	moves []move            // of names since they were
}

// inode is a file's content: as it is on disk, as it seems to be, and what lies between.
type inode struct {
	disk, now []byte
	changes   []change
}

// change is a write, or a truncation where data is nil.
type change struct {
	at   int64
	data []byte
}

// move gives a name to a file, takes it away (to is ""), or changes it.
type move struct {
	from, to string
	file     *inode
}

var errPower = errors.New("the power has failed")

// sector is what a disk writes whole or not at all.
const sector = 512

// plugIn is the disk that dir is on, as it was left.
func plugIn(t *testing.T, dir string, operations int) *fragile {
	t.Helper()
	d := &fragile{left: operations, now: map[string]*inode{}, names: map[string]*inode{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text := mustRead(t, path)
		d.now[path] = &inode{disk: text, now: slices.Clone(text)}
		d.names[path] = d.now[path]
	}
	return d
}

// works counts an operation. The one in which the power fails is begun and never answered.
func (d *fragile) works() error {
	if d.left--; d.left < 0 {
		return errPower
	}
	return nil
}

// off is whether nothing reaches the disk any more.
func (d *fragile) off() bool { return d.left < 0 }

func (d *fragile) Open(path string, flags int) (audit.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off() {
		return nil, errPower
	}
	f, err := audit.RealDisk.Open(path, flags)
	if err != nil {
		return nil, err
	}
	node := d.now[path]
	if node == nil {
		node = &inode{}
		d.now[path] = node
		d.moves = append(d.moves, move{to: path, file: node})
	}
	if flags&os.O_TRUNC != 0 {
		node.apply(change{at: 0})
	}
	return &fragileFile{f, d, node}, d.works()
}

func (d *fragile) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off() {
		return errPower
	}
	if err := audit.RealDisk.Rename(from, to); err != nil {
		return err
	}
	d.moves = append(d.moves, move{from, to, d.now[from]})
	d.now[to] = d.now[from]
	delete(d.now, from)
	return d.works()
}

func (d *fragile) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off() {
		return errPower
	}
	if err := audit.RealDisk.Remove(path); err != nil {
		return err
	}
	d.moves = append(d.moves, move{from: path})
	delete(d.now, path)
	return d.works()
}

func (d *fragile) SyncDirectory(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.works(); err != nil {
		return err
	}
	d.names, d.moves = moved(d.names, d.moves), nil
	return nil
}

func moved(names map[string]*inode, moves []move) map[string]*inode {
	after := map[string]*inode{}
	for name, file := range names {
		after[name] = file
	}
	for _, m := range moves {
		delete(after, m.from)
		if m.to != "" {
			after[m.to] = m.file
		}
	}
	return after
}

func (n *inode) apply(c change) {
	n.changes = append(n.changes, c)
	n.now = applied(n.now, c)
}

func applied(text []byte, c change) []byte {
	if c.data == nil {
		return append(text[:min(int(c.at), len(text))], make([]byte, max(0, int(c.at)-len(text)))...)
	}
	if grow := int(c.at) + len(c.data) - len(text); grow > 0 {
		text = append(text, make([]byte, grow)...)
	}
	copy(text[c.at:], c.data)
	return text
}

// fragileFile is an open file.
type fragileFile struct {
	audit.File
	d    *fragile
	node *inode
}

func (f *fragileFile) Write(p []byte) (int, error) {
	return f.write(p, -1, func() (int, error) { return f.File.Write(p) })
}

func (f *fragileFile) WriteAt(p []byte, at int64) (int, error) {
	return f.write(p, at, func() (int, error) { return f.File.WriteAt(p, at) })
}

func (f *fragileFile) write(p []byte, at int64, write func() (int, error)) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.off() {
		return 0, errPower
	}
	if len(p) == 0 {
		return 0, nil
	}
	if at < 0 { // every file that is written by Write is new, or appended to
		at = int64(len(f.node.now))
	}
	n, err := write()
	if err != nil {
		return n, err
	}
	f.node.apply(change{at, slices.Clone(p)})
	return n, f.d.works()
}

func (f *fragileFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.off() {
		return errPower
	}
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.node.apply(change{at: size})
	return f.d.works()
}

func (f *fragileFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.works(); err != nil {
		return err
	}
	f.node.disk, f.node.changes = slices.Clone(f.node.now), nil
	return nil
}

// lose writes into dir what is there when the power is back.
func (d *fragile) lose(t *testing.T, random *rand.Rand, dir string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	moves := d.moves[:random.IntN(len(d.moves)+1)] // a journal keeps their order
	if random.IntN(2) == 0 {                       // and not every file system has one
		moves = slices.DeleteFunc(slices.Clone(d.moves), func(move) bool { return random.IntN(2) == 0 })
	}
	for path, node := range moved(d.names, moves) {
		mustWrite(t, filepath.Join(dir, filepath.Base(path)), node.left(random))
	}
}

// left is what is left of a file: of what was not synced all, nothing, the beginning, zeros, or any sectors.
func (n *inode) left(random *rand.Rand) []byte {
	text := slices.Clone(n.disk)
	kind := random.IntN(5)
	until := random.IntN(len(n.changes) + 1)
	for i, c := range n.changes {
		switch {
		case kind == 0 || kind != 4 && i > until:
			return text
		case kind == 1 || c.data == nil:
			text = applied(text, c)
		case kind == 2 && i == until: // torn
			return applied(text, change{c.at, c.data[:random.IntN(len(c.data))+1]})
		case kind == 3 && i == until: // only the length
			return applied(text, change{c.at, make([]byte, len(c.data))})
		case kind == 4:
			text = c.sectors(text, random)
		default:
			text = applied(text, c)
		}
	}
	return text
}

// sectors applies some sectors of a write; where there was nothing before, the others are zeros.
func (c change) sectors(text []byte, random *rand.Rand) []byte {
	for at := c.at; at < c.at+int64(len(c.data)); {
		end := min((at/sector+1)*sector, c.at+int64(len(c.data)))
		if random.IntN(3) > 0 {
			text = applied(text, change{at, c.data[at-c.at : end-c.at]})
		}
		at = end
	}
	return text
}

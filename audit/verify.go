package audit

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Verification says what is verified, and against what.
type Verification struct {
	// Directories are the folders that hold the logs.
	Directories []string
	// Keys are what their checkpoints are signed with: several where a key was replaced.
	Keys PublicKeys
	// Checkpoints were kept elsewhere. A log can't show its own truncation: they do. The log of each must be there.
	Checkpoints []Checkpoint
	// Retired are logs that need not be there any more.
	Retired []Retirement
}

// Fault is something that is not as it was written: of each log the first.
type Fault struct {
	// Origin is the log's name, "" where the fault is not in a log.
	Origin string `json:"origin,omitempty"`
	// File is what is wrong; Line (from 1) and Byte (of the line's beginning) say where, if Line is not 0.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Byte int64  `json:"byte"`
	// Record is the place in the log (from 0) of the record in question, and ID its id, where it has one that can be read.
	Record uint64 `json:"record"`
	ID     string `json:"id,omitempty"`
	What   string `json:"what"`
}

// String is the fault in one line.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(cmp.Or(f.File, f.Origin))
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d: byte %d, record %d", f.Line, f.Byte, f.Record)
		if f.ID != "" {
			b.WriteString(", id " + f.ID)
		}
	}
	return b.String() + ": " + f.What
}

// Verified is what is known of one log.
type Verified struct {
	Origin   string `json:"origin"`
	Replica  string `json:"replica"`
	Segments int    `json:"segments"`
	// Records counts all that the log ever held, Dropped those of them that are past their retention.
	Records uint64 `json:"records"`
	Dropped uint64 `json:"dropped"`
	// Proven counts those that a checkpoint covers. What came in the last second before a crash, or now, may not be.
	Proven uint64 `json:"proven"`
	// Skipped are sizes of checkpoints that can't be checked any more, since the records up to them were dropped.
	Skipped []uint64 `json:"skipped,omitempty"`
	// Retired is set where somebody said that the log is gone for good. It is verified all the same where it is here; Segments
	// is 0 where it is not.
	Retired *Retirement `json:"retired,omitempty"`
}

// Verify reads all logs, and holds every byte against the checkpoints that are kept with them and elsewhere. An error is
// of the disk; what it finds are faults.
func Verify(v Verification) (logs []Verified, faults []Fault, err error) {
	w := &verifier{v: v, outside: map[string][]Checkpoint{}, kept: map[string]uint64{}}
	for _, c := range v.Checkpoints {
		w.outside[c.Origin] = append(w.outside[c.Origin], c)
	}
	for _, directory := range v.Directories {
		if err := w.directory(directory); err != nil {
			return w.logs, w.faults, fmt.Errorf("verifying the audit log: %w", err)
		}
	}
	w.gone()
	w.missing()
	return w.logs, w.faults, nil
}

type verifier struct {
	v       Verification
	outside map[string][]Checkpoint // by origin
	logs    []Verified
	faults  []Fault
	// dropped are segments that are not there, and kept says, by folder and replica, from which number on records say that
	// they must be.
	dropped []droppedSegment
	kept    map[string]uint64
}

type droppedSegment struct {
	place string // folder and replica
	seal  *seal
}

func (w *verifier) fault(f Fault) { w.faults = append(w.faults, f) }

// directory verifies the logs of one folder. It may be written to meanwhile: what was signed is read before what it was
// signed of, so that nothing seems to be missing that came in between.
func (w *verifier) directory(directory string) error {
	checkpoints, err := w.checkpoints(directory)
	if err != nil {
		return err
	}
	replicas, err := w.seals(directory)
	if err != nil {
		return err
	}
	names, err := listSegments(directory)
	if err != nil {
		return err
	}
	segments := map[string][]segmentName{}
	for _, n := range names {
		if info, err := os.Stat(n.path); err == nil && info.Size() == 0 {
			continue // begun, and nothing came yet; of one that should hold something, its seal or a checkpoint tells
		}
		segments[n.replica] = append(segments[n.replica], n)
		if _, ok := replicas[n.replica]; !ok {
			replicas[n.replica] = nil
		}
	}
	for _, replica := range slices.Sorted(maps.Keys(replicas)) {
		if err := w.replica(directory, replica, segments[replica], replicas[replica], checkpoints); err != nil {
			return err
		}
	}
	for origin, list := range checkpoints { // of which there is no record at all
		w.outside[origin] = append(w.outside[origin], list...)
	}
	return nil
}

// seals reads the seals of a folder, by replica.
func (w *verifier) seals(directory string) (map[string][]*seal, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*"+sealsSuffix))
	if err != nil {
		return nil, err
	}
	replicas := map[string][]*seal{}
	for _, path := range paths {
		replica := strings.TrimSuffix(filepath.Base(path), sealsSuffix)
		replicas[replica], err = readSeals(directory, replica, func(line int, err error) {
			w.fault(Fault{File: path, What: fmt.Sprintf("line %d: %v", line, err)})
		})
		if err != nil {
			return nil, err
		}
	}
	return replicas, nil
}

// checkpoints reads the checkpoints of a folder, by origin: the newest of each replica, and of each log that was given up.
func (w *verifier) checkpoints(directory string) (map[string][]Checkpoint, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*"+checkpointSuffix))
	if err != nil {
		return nil, err
	}
	found := map[string][]Checkpoint{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		c, err := w.v.Keys.Open(text)
		if err != nil {
			w.fault(Fault{File: path, What: err.Error()})
			continue
		}
		found[c.Origin] = append(found[c.Origin], c)
	}
	return found, nil
}

// replica puts the logs of one replica together and verifies each: there are several where one was given up.
func (w *verifier) replica(directory, replica string, segments []segmentName, seals []*seal, checkpoints map[string][]Checkpoint) error {
	chains := w.assemble(directory, replica, segments, seals)
	for i, c := range chains {
		log := &logVerifier{w: w, c: c, sealsFile: sealsPath(directory, replica), whole: ranges.NewEmptyRange(0)}
		log.stations = append(slices.Clone(checkpoints[c.origin]), w.outside[c.origin]...)
		kept := len(checkpoints[c.origin]) > 0
		delete(w.outside, c.origin)
		delete(checkpoints, c.origin)
		if err := log.verify(); err != nil {
			return err
		}
		if last := i == len(chains)-1; last && w.newest(c, kept) {
			continue
		}
		if !kept && !log.failed && log.report.Proven < log.size() {
			w.fault(Fault{Origin: c.origin, What: fmt.Sprintf("its last checkpoint is gone, so nothing proves its records from %d on", log.report.Proven)})
		}
	}
	return nil
}

// newest looks at the newest checkpoint of a replica, whose present log is c; kept says that there was one of it. There
// is one from before the first record on: without it anybody could have written that log. It reports whether it has an
// answer: a log that was begun and holds nothing yet is none.
func (w *verifier) newest(c *chain, kept bool) bool {
	path := checkpointPath(c.directory, c.replica)
	switch now, there, err := readCheckpoint(c.directory, c.replica, w.v.Keys); {
	case err != nil: // which has been told
	case !there:
		w.fault(Fault{Origin: c.origin, File: path, What: "the newest checkpoint is gone"})
	case now.Origin == c.origin || kept:
	case now.Size == 0:
		return false
	default:
		w.fault(Fault{Origin: c.origin, File: path, What: "it is the checkpoint of another log, " + now.Origin + ", and none is here of this one"})
	}
	return true
}

// assemble puts segments and seals together, in order.
func (w *verifier) assemble(directory, replica string, segments []segmentName, seals []*seal) []*chain {
	byNumber := map[uint64]*part{}
	origins := map[uint64]string{}
	for _, s := range seals { // the last of a number: one that is written again tells the same
		byNumber[s.Number] = &part{number: s.Number, seal: s, first: s.First, size: s.Size}
		origins[s.Number] = s.Origin
	}
	for _, n := range segments {
		p := byNumber[n.number]
		if p == nil {
			p = &part{number: n.number}
			byNumber[n.number] = p
		}
		if p.path != "" {
			w.fault(Fault{File: n.path, Line: 1, What: "a second file of a segment that " + filepath.Base(p.path) + " is"})
			continue
		}
		p.path = n.path
		header, err := readHeader(n.path)
		if err != nil || header == nil {
			continue // which its hash will tell, unless there is nothing to hold it against
		}
		p.header = header
		if p.seal == nil {
			p.first, origins[n.number] = header.First, header.Origin
		}
	}
	var chains []*chain
	var present *chain
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		p, origin := byNumber[number], origins[number]
		if present == nil || origin != "" && origin != present.origin {
			if i := slices.IndexFunc(chains, func(c *chain) bool { return c.origin == origin }); i >= 0 {
				present = chains[i]
			} else {
				present = &chain{directory: directory, replica: replica, origin: origin}
				chains = append(chains, present)
			}
		}
		present.parts = append(present.parts, p)
	}
	return chains
}

// gone says which segments are not there although no record says that retention dropped them.
func (w *verifier) gone() {
	for _, d := range w.dropped {
		if d.seal.Number >= w.kept[d.place] {
			w.fault(Fault{
				Origin: d.seal.Origin, File: d.seal.Segment, Record: d.seal.First,
				What: fmt.Sprintf("the segment is gone, with records %d to %d, and no record says that their retention was over", d.seal.First, d.seal.Size-1),
			})
		}
	}
}

// missing says which logs are not there at all, and were not retired.
func (w *verifier) missing() {
	for i := range w.logs {
		w.logs[i].Retired = w.retired(w.logs[i].Origin)
	}
	for _, origin := range slices.Sorted(maps.Keys(w.outside)) {
		largest := slices.MaxFunc(w.outside[origin], func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
		switch r := w.retired(origin); {
		case largest.Size == 0: // nothing was ever in it
		case r == nil:
			w.fault(Fault{Origin: origin, What: fmt.Sprintf("the log is missing, with %d records or more", largest.Size)})
		case largest.Size > r.Size:
			w.fault(Fault{Origin: origin, What: fmt.Sprintf("the log is missing, with %d records or more; it was retired with %d, and went on since", largest.Size, r.Size)})
		default:
			replica, _ := replicaOf(origin)
			w.logs = append(w.logs, Verified{Origin: origin, Replica: replica, Records: r.Size, Retired: r})
		}
	}
}

func (w *verifier) retired(origin string) *Retirement {
	i := slices.IndexFunc(w.v.Retired, func(r Retirement) bool { return r.Origin == origin })
	if i < 0 {
		return nil
	}
	return &w.v.Retired[i]
}

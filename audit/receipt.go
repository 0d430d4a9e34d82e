package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Receipt proves that a record is in a log, to whoever has the public key and nothing else. As text it is a C2SP
// tlog-proof whose extra data are the record's line: the leaf, of which the proof is.
type Receipt struct {
	// Line is the record as it stands in the log, without the line's end.
	Line []byte
	// Index is its place in the log, from 0.
	Index uint64
	// Proof are the hashes on the way from its leaf to the root, from the leaf's sibling on (RFC 6962 §2.1.1).
	Proof      []Hash
	Checkpoint Checkpoint
}

const (
	receiptHead = "c2sp.org/tlog-proof@v1"
	// maxReceipt bounds, in bytes, a receipt that is read. A record with all the groups of a large token takes some of it.
	maxReceipt = 4 << 20
	maxProof   = 64 // hashes; a tree's height
)

// Text is the receipt in its format.
func (r *Receipt) Text() []byte {
	var b bytes.Buffer
	b.WriteString(receiptHead + "\nextra " + base64.StdEncoding.EncodeToString(r.Line) + "\nindex " + strconv.FormatUint(r.Index, 10) + "\n")
	for _, h := range r.Proof {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n" + r.Checkpoint.Note)
	return b.Bytes()
}

// OpenReceipt reads a receipt and verifies it: that its record is in the log at its place, as the checkpoint of key says.
func (p PublicKey) OpenReceipt(text []byte) (*Receipt, error) {
	if len(text) > maxReceipt {
		return nil, errors.New("too long for a receipt")
	}
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return nil, errors.New("not a receipt: it has no checkpoint")
	}
	r, err := parseProof(strings.Split(string(head), "\n"))
	if err != nil {
		return nil, fmt.Errorf("not a receipt: %w", err)
	}
	if r.Checkpoint, err = p.Open(checkpoint); err != nil {
		return nil, fmt.Errorf("a receipt with %w", err)
	}
	return r, r.Verify()
}

// parseProof reads what stands before the checkpoint.
func parseProof(lines []string) (*Receipt, error) {
	if len(lines) < 3 || lines[0] != receiptHead {
		return nil, errors.New("it does not begin with " + receiptHead + " and two lines more")
	}
	extra, ok := strings.CutPrefix(lines[1], "extra ")
	if !ok {
		return nil, errors.New("it has no record")
	}
	r := new(Receipt)
	var err error
	if r.Line, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil || strings.ContainsRune(extra, '\r') {
		return nil, errors.New("its record is not base64")
	}
	index, ok := strings.CutPrefix(lines[2], "index ")
	if !ok {
		return nil, errors.New("it has no index")
	}
	if r.Index, err = parseCount(index); err != nil {
		return nil, fmt.Errorf("its index is %w", err)
	}
	if len(lines)-3 > maxProof {
		return nil, errors.New("its proof is too long")
	}
	for _, line := range lines[3:] {
		var h Hash
		if err := h.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("its proof is %w", err)
		}
		r.Proof = append(r.Proof, h)
	}
	return r, nil
}

// Verify checks the proof against the checkpoint, as it is: whether the checkpoint is signed, [PublicKey.OpenReceipt] checks.
func (r *Receipt) Verify() error {
	if r.Index >= r.Checkpoint.Size {
		return errors.New("the receipt's checkpoint is older than its record")
	}
	hashes := make([][]byte, len(r.Proof))
	for i := range r.Proof {
		hashes[i] = r.Proof[i][:]
	}
	leaf := LeafHash(r.Line)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, r.Index, r.Checkpoint.Size, leaf[:], hashes, r.Checkpoint.Root[:]); err != nil {
		return errors.New("the receipt does not prove its record: it is not the one that stands in the log at that place")
	}
	return nil
}

// MakeReceipt makes the receipt of the record at index in the log that c is of, which stands in directory. It is an error
// if the record came after c, is past its retention, or is not as it was written.
func MakeReceipt(directory string, c Checkpoint, index uint64) (*Receipt, error) {
	log, err := chainOf(directory, c.Origin)
	if err != nil {
		return nil, fmt.Errorf("making a receipt: %w", err)
	}
	r := &Receipt{Index: index, Checkpoint: c}
	if r.Line, err = log.line(index); err == nil {
		r.Proof, err = log.inclusion(index, c.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("making a receipt: %w", err)
	}
	return r, r.Verify()
}

// replicaOf takes the replica out of an origin, "<key's name>/<replica>/<log>".
func replicaOf(origin string) (string, error) {
	parts := strings.Split(origin, "/")
	if len(parts) < 3 || !replicaName.MatchString(parts[len(parts)-2]) {
		return "", errors.New("no origin of an audit log")
	}
	return parts[len(parts)-2], nil
}

// line is the text of the record at index.
func (c *chain) line(index uint64) (text []byte, err error) {
	for i, p := range c.parts {
		if index < p.first || index >= p.size && i < len(c.parts)-1 {
			continue
		}
		if p.path == "" {
			return nil, fmt.Errorf("record %d is past its retention", index)
		}
		at := p.first
		if _, err := scanLines(p.path, -1, func(l line) bool {
			if at == index {
				text = bytes.Clone(l.text)
			}
			at++
			return text == nil
		}); err != nil {
			return nil, err
		}
	}
	if text == nil {
		return nil, fmt.Errorf("record %d: %w", index, os.ErrNotExist)
	}
	return text, nil
}

// FindRecord looks through the logs of a directory for the record with an id, and says in which log it is and where. The
// index finds it sooner.
func FindRecord(directory, id string) (origin string, index uint64, err error) {
	names, err := listSegments(directory)
	if err != nil {
		return "", 0, fmt.Errorf("looking for a record: %w", err)
	}
	for _, n := range names {
		header, err := readHeader(n.path)
		if err != nil {
			return "", 0, err
		}
		if header == nil {
			continue
		}
		at, found := header.First, false
		if _, err := scanLines(n.path, -1, func(l line) bool {
			if found = idOf(l.text) == id; !found {
				at++
			}
			return !found
		}); err != nil {
			return "", 0, fmt.Errorf("looking for a record: %w", err)
		}
		if found {
			return header.Origin, at, nil
		}
	}
	return "", 0, fmt.Errorf("no record with the id %s: %w", id, os.ErrNotExist)
}

// NewestCheckpoint reads the newest checkpoint of a log that stands in directory, also of one that was given up.
func NewestCheckpoint(directory, origin string, keys PublicKeys) (newest Checkpoint, err error) {
	replica, err := replicaOf(origin)
	if err != nil {
		return Checkpoint{}, err
	}
	given, err := filepath.Glob(filepath.Join(directory, replica+".*"+checkpointSuffix))
	if err != nil {
		return Checkpoint{}, err
	}
	found := false
	for _, path := range append(given, checkpointPath(directory, replica)) {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return Checkpoint{}, fmt.Errorf("reading the newest checkpoint: %w", err)
		}
		if c, err := keys.Open(text); err == nil && c.Origin == origin && c.Size >= newest.Size {
			newest, found = c, true
		}
	}
	if !found {
		return Checkpoint{}, fmt.Errorf("no checkpoint of %s that the key signed is in %s", origin, directory)
	}
	return newest, nil
}

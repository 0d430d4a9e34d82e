package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is a signed statement on a log: so many records, and this is the root of their tree (C2SP tlog-checkpoint).
type Checkpoint struct {
	// Origin is the log's name.
	Origin string
	// Size counts its records.
	Size uint64
	Root Hash
	// Note is the signed text, which says all this.
	Note string
}

// maxCheckpoint bounds, in bytes, a checkpoint that is read; other people's signatures may be on it.
const maxCheckpoint = 64 << 10

// sign makes a checkpoint.
func (k Key) sign(origin string, size uint64, root Hash) (Checkpoint, error) {
	text := origin + "\n" + strconv.FormatUint(size, 10) + "\n" + root.String() + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, k.signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return Checkpoint{Origin: origin, Size: size, Root: root, Note: string(signed)}, nil
}

// Open reads a checkpoint that k has signed. Signatures of others are allowed beside k's and not looked at.
func (p PublicKey) Open(text []byte) (Checkpoint, error) {
	if len(text) > maxCheckpoint {
		return Checkpoint{}, errors.New("too long for a checkpoint")
	}
	n, err := note.Open(text, note.VerifierList(p.verifier))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return Checkpoint{}, fmt.Errorf("a checkpoint without a signature of %s", p.text)
	case errors.As(err, &invalid):
		return Checkpoint{}, fmt.Errorf("a checkpoint whose signature of %s is wrong", p.Name())
	case err != nil:
		return Checkpoint{}, errors.New("not a checkpoint")
	}
	for _, s := range n.Sigs { // of which note takes several texts for the same bytes
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, errors.New("a checkpoint whose signature is not written as it should be")
		}
	}
	c, err := parseBody(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if !strings.HasPrefix(c.Origin, p.Name()+"/") {
		return Checkpoint{}, fmt.Errorf("the origin of this checkpoint is not one of %s", p.Name())
	}
	c.Note = string(text)
	return c, nil
}

// parseBody reads a checkpoint's text: origin, size, root, and lines of extensions, which may not be empty and mean
// nothing to us.
func parseBody(text string) (c Checkpoint, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return c, errors.New("not a checkpoint: it needs an origin, a size and a root")
	}
	for _, line := range lines {
		if line == "" {
			return c, errors.New("not a checkpoint: it has an empty line")
		}
	}
	c.Origin = lines[0]
	if c.Size, err = parseCount(lines[1]); err != nil {
		return c, fmt.Errorf("not a checkpoint: its size is %w", err)
	}
	if err := c.Root.UnmarshalText([]byte(lines[2])); err != nil {
		return c, fmt.Errorf("not a checkpoint: its root is %w", err)
	}
	return c, nil
}

// parseCount reads a decimal number that is written in the one way in which it can be.
func parseCount(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, errors.New("not a number")
	}
	return n, nil
}

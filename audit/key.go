package audit

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/mod/sumdb/note"
)

// NewSigningKey makes an Ed25519 key that signs checkpoints of the log called name, and the key that verifies them, both
// in the text form of signed notes (C2SP signed-note). random is crypto/rand's.
func NewSigningKey(random io.Reader, name string) (signer, verifier string, err error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r == '+' || r > unicode.MaxASCII || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	}) {
		return "", "", fmt.Errorf("%q is no name of a log; write one like sts.example.com/audit, without spaces and plus signs", name)
	}
	if signer, verifier, err = note.GenerateKey(random, name); err != nil {
		return "", "", fmt.Errorf("making a signing key: %w", err)
	}
	return signer, verifier, nil
}

package audit_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/lakegate/sts/audit"
)

func TestNewSigningKey(t *testing.T) {
	const name = "sts.example.com/audit"
	private, public, err := audit.NewSigningKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: name + "\n1\nroot\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil || verifier.Name() != name {
		t.Errorf("%s: %v", verifier.Name(), err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "ä", " a"} {
		if _, _, err := audit.NewSigningKey(rand.Reader, name); err == nil || !strings.Contains(err.Error(), "name of a log") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

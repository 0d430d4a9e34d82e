package audit_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
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

// sealer reverses, so that a test sees what was sealed as what.
type sealer struct{ broken bool }

func (s *sealer) Encrypt(p, ad []byte) ([]byte, error) {
	b := slices.Concat(ad, p)
	slices.Reverse(b)
	return b, nil
}

func (s *sealer) Decrypt(c, ad []byte) ([]byte, error) {
	b := slices.Clone(c)
	slices.Reverse(b)
	p, ok := bytes.CutPrefix(b, ad)
	if !ok || s.broken {
		return nil, errors.New("does not open")
	}
	return p, nil
}

func TestLedgerKey(t *testing.T) {
	store := newLedger()
	get := func(s *sealer) (audit.Key, error) {
		return audit.LedgerKey(t.Context(), store, s, rand.Reader, "sts.example.com/audit")
	}
	if _, found, err := audit.FindLedgerKey(t.Context(), store, &sealer{}); found || err != nil {
		t.Errorf("before there is one: %v, %v", found, err)
	}
	first, err := get(&sealer{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := get(&sealer{})
	if err != nil || again.String() != first.String() || again.Private() != first.Private() {
		t.Errorf("%v and %v, %v", first, again, err)
	}
	for key, value := range store.values {
		if bytes.Contains(value, []byte("PRIVATE")) {
			t.Errorf("%s is kept in the clear", key)
		}
	}
	if _, err := get(&sealer{broken: true}); err == nil || !strings.Contains(err.Error(), "keyset") {
		t.Errorf("under another keyset: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	private, public, err := audit.NewSigningKey(rand.Reader, "sts.example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	k, err := audit.ParseKey(private + "\n")
	if err != nil || k.Public().String() != public || k.Name() != "sts.example.com/audit" {
		t.Errorf("%v, %v", k, err)
	}
	if text := fmt.Sprintf("%v %+v %s %#v", k, k, k, k); strings.Contains(text, private[strings.LastIndex(private, "+")+1:]) {
		t.Error("prints itself")
	}
	for _, wrong := range []string{"", public, private[:len(private)-4], strings.Replace(private, "sts.", "st.", 1)} {
		if _, err := audit.ParseKey(wrong); err == nil || strings.Contains(err.Error(), private[len(private)-20:]) {
			t.Errorf("%v", err)
		}
	}
	for _, wrong := range []string{"", private, public + "x"} {
		if _, err := audit.ParsePublicKey(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

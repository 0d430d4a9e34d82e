package saml_test

import (
	"testing"

	"github.com/lakegate/sts/exchange"
)

// TestAttacks holds that each attack is refused, for its own cause, and its twin accepted. The corpus is one test for each
// form: signature wrapping (XSW1 to XSW8 and relatives), tricks of XML, of signatures, and of what is signed.
func TestAttacks(t *testing.T) {
	w := newWorld(t)
	attacks := w.idp.Attacks()
	if len(attacks) < 150 {
		t.Fatalf("%d attacks; the corpus has lost some", len(attacks))
	}
	seen := map[string]bool{}
	for _, a := range attacks {
		if seen[a.Name] {
			t.Errorf("two attacks are called %q", a.Name)
		}
		seen[a.Name] = true
		t.Run(a.Name, func(t *testing.T) {
			for _, use := range []exchange.Use{exchange.UseExplain, exchange.UseActor, exchange.UseSubject} {
				_, err := w.verifyAs(t, a.Token, use)
				wantCause(t, a.Name, err, a.Cause)
			}
			id, err := w.verify(t, a.Twin)
			if err != nil {
				t.Fatalf("its twin is refused: %v", err)
			}
			if id.Subject != "u-1001" {
				t.Error("its twin is somebody else")
			}
		})
	}
	for key := range w.marks.seen {
		if len(w.marks.seen) != len(attacks) {
			t.Fatalf("%d marks for %d twins: an attack has left one, such as %s", len(w.marks.seen), len(attacks), key)
		}
	}
}

package saml_test

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
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

// TestCost holds that a document costs what its length allows, whatever it declares, and at how many places.
func TestCost(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	b.WriteString("<a>")
	for _, outer := range []string{"m", "n"} {
		b.WriteString("<a")
		for i := range 31 {
			fmt.Fprintf(&b, ` xmlns:%s%d="u"`, outer, i)
		}
		b.WriteString(">")
	}
	b.WriteString(strings.Repeat(`<a xmlns=""/>`, 3_500) + "</a></a></a>")
	token := base64.RawURLEncoding.EncodeToString([]byte(b.String()))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := w.verify(t, token)
	runtime.ReadMemStats(&after)
	wantCause(t, "namespaces everywhere", err, "not a SAML 2.0 assertion")
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("a token of %d bytes takes %d bytes to read", len(token), used)
	}
}

package saml_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

const unavailable = exchange.ReasonProviderUnavailable

// TestRotation is a new certificate that is found with the first assertion that it signs, and an old one that is gone.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	w.mustVerify(t, samlidp.Assertion{})
	old := w.idp.Token(samlidp.Assertion{})
	w.clock.move(11 * time.Second)
	if err := w.idp.Rotate(); err != nil {
		t.Fatal(err)
	}
	w.mustVerify(t, samlidp.Assertion{})
	fetched := w.fetches()
	if fetched != 2 {
		t.Errorf("%d fetches, want one more for the new certificate", fetched)
	}
	if _, err := w.verify(t, old); err != nil {
		t.Errorf("an assertion of the old key, which is still published: %v", err)
	}
	// Whoever makes up signatures makes us ask once in ten seconds.
	for range 20 {
		_, err := w.verify(t, w.idp.Token(samlidp.Assertion{Sign: func(s *samlidp.Signing) {
			s.Encode = func(v []byte) []byte { v[0] ^= 1; return v }
		}}))
		wantReason(t, "made up", err, exchange.ReasonSubjectTokenInvalid)
	}
	if again := w.fetches(); again != fetched {
		t.Errorf("%d fetches for made-up signatures", again-fetched)
	}
	w.idp.Withdraw()
	old = w.idp.Token(samlidp.Assertion{})
	if err := w.idp.Rotate(); err != nil {
		t.Fatal(err)
	}
	w.idp.Withdraw()
	w.clock.move(11 * time.Second)
	w.mustVerify(t, samlidp.Assertion{})
	_, err := w.verify(t, old)
	wantReason(t, "a key that was withdrawn", err, exchange.ReasonSubjectTokenInvalid)
}

// TestOutage is metadata that can't be had: trusted for a time, then nobody's assertions are.
func TestOutage(t *testing.T) {
	w := newWorld(t, func(p *saml.Provider) { p.MaxStale = time.Hour })
	remove := w.idp.AddFault(emulator.Fault{Route: samlidp.MetadataRoute, Status: 503})
	_, err := w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantReason(t, "never fetched", err, unavailable)
	if err := w.pool.Health(); err == nil || !strings.Contains(err.Error(), "legacy") {
		t.Errorf("health says %v", err)
	}
	remove()
	w.clock.move(11 * time.Second)
	w.mustVerify(t, samlidp.Assertion{})
	if err := w.pool.Health(); err != nil {
		t.Errorf("health says %v", err)
	}
	w.idp.AddFault(emulator.Fault{Route: samlidp.MetadataRoute, Status: 503})
	w.clock.move(time.Hour - time.Second)
	w.mustVerify(t, samlidp.Assertion{})
	w.clock.move(2 * time.Second)
	_, err = w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantReason(t, "stale", err, unavailable)
}

// TestBadMetadata is metadata that is refused, with the reason, while what was there before stays.
func TestBadMetadata(t *testing.T) {
	w := newWorld(t)
	good := w.idp.Metadata()
	entity := w.idp.EntityID()
	if keys, skipped, err := saml.ParseMetadata([]byte(good), entity); keys != 2 || skipped != 0 || err != nil {
		t.Fatalf("%d keys, %d skipped, %v; want the two for signing", keys, skipped, err)
	}
	change := func(old, changed string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the metadata has no %q", old)
		}
		return strings.ReplaceAll(good, old, changed)
	}
	for _, c := range []struct{ name, text, want string }{
		{"another entity", change(entity, entity+"/"), "another entity"},
		{"no document", "nonsense", "not well-formed"},
		{"half a document", good[:len(good)/2], "not well-formed"},
		{"DOCTYPE", "<!DOCTYPE x>" + strings.TrimPrefix(good, `<?xml version="1.0" encoding="UTF-8"?>`), "DOCTYPE"},
		{"a service's", change("IDPSSODescriptor", "SPSSODescriptor"), "no IDPSSODescriptor"},
		{"for encryption alone", change(`use="signing"`, `use="encryption"`), ""},
		{"several entities", change("EntityDescriptor", "EntitiesDescriptor"), "several entities"},
		{"another root", change("EntityDescriptor", "Thing"), "no EntityDescriptor"},
		{"no certificates", change("X509Certificate>", "X509Thing>"), "no certificate for signing"},
		{"certificates that are none", change("X509Certificate>\nMII", "X509Certificate>\nMIIA"), "no certificate for signing"},
		{"a bad end", change("<md:EntityDescriptor", `<md:EntityDescriptor validUntil="tomorrow"`), "validUntil is no time"},
		{"too large", good + strings.Repeat(" ", 1<<20), "larger than"},
	} {
		_, _, err := saml.ParseMetadata([]byte(c.text), entity)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestMetadataFile is a file that is looked at every second, and kept while the new one is bad.
func TestMetadataFile(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "idp.xml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(w.idp.Metadata())
	w.pool = w.newPool(t, w.provider(func(p *saml.Provider) { p.MetadataURI, p.MetadataFile = "", file }))
	w.mustVerify(t, samlidp.Assertion{})
	write("half")
	w.clock.move(11 * time.Second)
	w.mustVerify(t, samlidp.Assertion{})
	if err := w.idp.Rotate(); err != nil {
		t.Fatal(err)
	}
	_, err := w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantReason(t, "while the file is bad", err, unavailable)
	write(w.idp.Metadata())
	w.clock.move(11 * time.Second)
	w.mustVerify(t, samlidp.Assertion{})
}

// TestCertificatesEnd holds that a certificate is good between its own dates, and metadata until its own.
func TestCertificatesEnd(t *testing.T) {
	w := newWorld(t)
	if err := w.idp.RotateFor(time.Hour); err != nil {
		t.Fatal(err)
	}
	w.mustVerify(t, samlidp.Assertion{})
	w.clock.move(2 * time.Hour)
	_, err := w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantReason(t, "a certificate that has expired", err, exchange.ReasonSubjectTokenInvalid)

	file := filepath.Join(t.TempDir(), "idp.xml")
	until := strings.Replace(w.idp.Metadata(), "<md:EntityDescriptor", `<md:EntityDescriptor validUntil="2026-11-24T15:00:00Z"`, 1)
	if err := os.WriteFile(file, []byte(until), 0o600); err != nil {
		t.Fatal(err)
	}
	w.pool = w.newPool(t, w.provider(func(p *saml.Provider) { p.MetadataURI, p.MetadataFile = "", file }))
	w.mustVerify(t, samlidp.Assertion{Algorithm: "ecdsa-sha256"})
	w.clock.move(time.Hour)
	_, err = w.verify(t, w.idp.Token(samlidp.Assertion{Algorithm: "ecdsa-sha256"}))
	wantReason(t, "metadata past its end", err, unavailable)
	if err := w.pool.Health(); err == nil || !strings.Contains(err.Error(), "validUntil") {
		t.Errorf("health says %v", err)
	}
}

// TestReload keeps the metadata of a provider that stays, and forgets one that goes.
func TestReload(t *testing.T) {
	w := newWorld(t)
	w.mustVerify(t, samlidp.Assertion{})
	reload := func(providers ...saml.Provider) {
		t.Helper()
		prepared, err := w.pool.Prepare(providers)
		if err != nil {
			t.Fatal(err)
		}
		prepared.Commit()
	}
	reload(w.provider(func(p *saml.Provider) { p.Audience = "urn:other" }))
	_, err := w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantCause(t, "another audience", err, "another audience")
	reload(w.provider())
	w.mustVerify(t, samlidp.Assertion{})
	if n := w.fetches(); n != 1 {
		t.Errorf("%d fetches, want the first alone", n)
	}
	reload()
	_, err = w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantReason(t, "a provider that is gone", err, exchange.ReasonIssuerUnknown)
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	good := w.provider()
	for _, c := range []struct {
		name   string
		change func(*saml.Provider)
		want   string
	}{
		{"no name", func(p *saml.Provider) { p.Name = "" }, "no name"},
		{"no entity", func(p *saml.Provider) { p.EntityID = "" }, "entity_id must be printable"},
		{"no audience", func(p *saml.Provider) { p.Audience = "" }, "audience must be printable"},
		{"no recipient", func(p *saml.Provider) { p.Recipient = "a b" }, "recipient must be printable"},
		{"no metadata", func(p *saml.Provider) { p.MetadataURI = "" }, "needs metadata_file or metadata_uri"},
		{"two metadata", func(p *saml.Provider) { p.MetadataFile = "x" }, "needs metadata_file or metadata_uri"},
		{"in the clear", func(p *saml.Provider) { p.MetadataURI = "http://idp.example/x" }, "must be an https URL"},
		{"skew", func(p *saml.Provider) { p.ClockSkew = time.Hour }, "clock_skew"},
		{"age", func(p *saml.Provider) { p.MaxTokenAge = -1 }, "can't be negative"},
		{"subject", func(p *saml.Provider) { p.SubjectAttribute = "act" }, "subject_attribute"},
	} {
		p := good
		c.change(&p)
		if _, err := saml.New(saml.Config{Providers: []saml.Provider{p}, Once: w.marks}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	other := good
	other.Name = "other"
	if _, err := saml.New(saml.Config{Providers: []saml.Provider{good, other}}); err == nil || !strings.Contains(err.Error(), "same entity") || !strings.Contains(err.Error(), "store of marks") {
		t.Errorf("two of one entity, and no marks: %v", err)
	}
}

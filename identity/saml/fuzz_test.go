package saml_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

// FuzzSAML holds that whatever is accepted says what the provider signed, and nothing else: in any bytes that can be made
// of its assertions and of the attacks on them.
func FuzzSAML(f *testing.F) {
	w := newWorld(f)
	signed := samlidp.Assertion{Subject: "u-1001", Groups: []string{"data-eng"}, Attributes: []samlidp.Attribute{{Name: "department", Values: []string{"sales"}}}}
	for _, a := range []samlidp.Assertion{signed, {Groups: signed.Groups, Attributes: signed.Attributes, Typed: true}, {Groups: signed.Groups, Attributes: signed.Attributes, Dressed: true}} {
		f.Add([]byte(w.idp.Document(a)))
	}
	for _, attack := range w.idp.Attacks() {
		if document, err := base64.RawURLEncoding.DecodeString(attack.Token); err == nil {
			f.Add(document)
		}
	}
	// Of the twins of the attacks, which aren't seeds, none is ever seen; all that is signed is this.
	f.Fuzz(func(t *testing.T, document []byte) {
		id, err := w.verifyAs(t, base64.RawURLEncoding.EncodeToString(document), exchange.UseExplain)
		var refusal *exchange.Error
		switch {
		case errors.As(err, &refusal) && (refusal.Code == exchange.CodeInvalidRequest || refusal.Code == exchange.CodeUnavailable):
			return
		case err != nil:
			t.Fatalf("not a refusal: %v", err)
		}
		if id.Subject != "u-1001" || id.Issuer != w.idp.EntityID() || id.Groups.Overage ||
			id.Groups.Known && !slices.Equal(id.Groups.Names, signed.Groups) ||
			id.Claims["department"] != nil && id.Claims["department"] != "sales" {
			t.Fatalf("accepted as %s of %s, in %v, with %v, which nobody signed", id.Subject, id.Issuer, id.Groups, id.Claims)
		}
		if !id.Expiry.After(w.clock.Now()) {
			t.Fatalf("accepted, and ends at %s", id.Expiry)
		}
	})
}

// FuzzXML holds that what is written in canonical form is read as what it was written of.
func FuzzXML(f *testing.F) {
	w := newWorld(f)
	f.Add(w.idp.Document(samlidp.Assertion{Dressed: true, Typed: true, Groups: []string{"<&>\"'"}}))
	f.Add(`<a xmlns="urn:a" xmlns:b="urn:b" b:x="&#9;1&#xA;" x='"'><b:c xmlns=""><d/></b:c>` + "\r\n&#13;&amp;</a>")
	f.Add(`<a xml:lang="de"><b xmlns:xs="urn:x"/></a>`)
	f.Fuzz(func(t *testing.T, text string) {
		once, twice, err := saml.Canonicalize(text)
		if once != nil && (err != nil || !bytes.Equal(once, twice)) {
			t.Fatalf("%q is written as %q and read as %q: %v", text, once, twice, err)
		}
	})
}

// FuzzMetadata holds that metadata gives keys or an error, and no more keys than are taken.
func FuzzMetadata(f *testing.F) {
	w := newWorld(f)
	f.Add([]byte(w.idp.Metadata()))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, skipped, err := saml.ParseMetadata(text, w.idp.EntityID())
		if err == nil && (keys == 0 || keys+skipped > 16) {
			t.Fatalf("%d keys and %d skipped", keys, skipped)
		}
	})
}

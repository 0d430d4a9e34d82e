package saml_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

// TestIdentity is what is read of a good assertion.
func TestIdentity(t *testing.T) {
	w := newWorld(t)
	id := w.mustVerify(t, samlidp.Assertion{
		Subject: "ann <b> & \"c\"", Groups: []string{"data-eng", "all", "all"},
		Attributes: []samlidp.Attribute{{Name: "department", Values: []string{"sales"}}, {Name: "roles", Values: []string{"a", "b"}}, {Name: "none"}},
	})
	now := w.clock.Now()
	if id.TokenID == "" || !strings.HasPrefix(id.TokenID, "_") || id.TokenSHA256 == [32]byte{} {
		t.Errorf("its ID is %q, its hash %x", id.TokenID, id.TokenSHA256)
	}
	want := &exchange.Identity{
		Provider: "legacy", Issuer: w.idp.EntityID(), Subject: "ann <b> & \"c\"",
		Groups: exchange.Groups{Known: true, Names: []string{"all", "data-eng"}},
		Claims: map[string]any{
			"iss": w.idp.EntityID(), "sub": "ann <b> & \"c\"", "aud": audience, "jti": id.TokenID,
			"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": now.Add(-time.Minute).Unix(),
			"acr":     "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
			"name_id": "ann <b> & \"c\"", "name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
			"groups": []any{"data-eng", "all", "all"}, "department": "sales", "roles": []any{"a", "b"}, "none": []any{},
		},
		TokenType: exchange.TypeSAML2, TokenID: id.TokenID, TokenSHA256: id.TokenSHA256,
		IssuedAt: now, Expiry: now.Add(5 * time.Minute),
	}
	if diff := cmp.Diff(want, id, cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".derived" || p.Last().String() == ".deriveOnce"
	}, cmp.Ignore())); diff != "" {
		t.Errorf("the identity differs (-want +got):\n%s", diff)
	}
}

// TestGood are forms of one meaning, and all algorithms.
func TestGood(t *testing.T) {
	w := newWorld(t)
	edit := func(old, changed string) func(*samlidp.Draft) {
		return func(d *samlidp.Draft) { d.Replace(old, changed) }
	}
	for name, a := range map[string]samlidp.Assertion{
		"plain": {}, "typed": {Typed: true, Groups: []string{"a"}}, "dressed": {Dressed: true, Groups: []string{"a"}}, "dressed and typed": {Dressed: true, Typed: true, Groups: []string{"ä", "<&>"}},
		"rsa-sha384": {Algorithm: "rsa-sha384"}, "rsa-sha512": {Algorithm: "rsa-sha512"},
		"ecdsa-sha256": {Algorithm: "ecdsa-sha256"}, "ecdsa-sha384": {Algorithm: "ecdsa-sha384"}, "ecdsa-sha512": {Algorithm: "ecdsa-sha512"},
		"no KeyInfo":        {Sign: func(s *samlidp.Signing) { s.KeyInfo = "" }},
		"foreign KeyInfo":   {Sign: func(s *samlidp.Signing) { s.KeyInfo = "<ds:KeyInfo><ds:KeyName>x</ds:KeyName></ds:KeyInfo>" }},
		"SHA-512 digest":    {Sign: func(s *samlidp.Signing) { s.References[0].Digest = "http://www.w3.org/2001/04/xmlenc#sha512" }},
		"used once":         {Edit: edit("</saml:Conditions>", "<saml:OneTimeUse></saml:OneTimeUse></saml:Conditions>")},
		"two restrictions":  {Edit: edit("</saml:Conditions>", "<saml:AudienceRestriction><saml:Audience>x</saml:Audience><saml:Audience>"+audience+"</saml:Audience></saml:AudienceRestriction></saml:Conditions>")},
		"answers a request": {Edit: edit("<saml:SubjectConfirmationData", `<saml:SubjectConfirmationData InResponseTo="_x"`)},
		"qualified":         {Edit: edit(">u-1001", ` NameQualifier="`+w.idp.EntityID()+`" SPNameQualifier="`+audience+`">u-1001`)},
		"Advice":            {Edit: edit("<saml:AuthnStatement", "<saml:Advice><saml:AssertionIDRef>x</saml:AssertionIDRef></saml:Advice><saml:AuthnStatement")},
	} {
		if id, err := w.verify(t, w.idp.Token(a)); err != nil || id.Subject != "u-1001" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// C17, F26: an assertion is accepted once, on all replicas, and an explanation doesn't use it up.
func TestOnce(t *testing.T) {
	w := newWorld(t)
	other := w.newPool(t, w.provider())
	token := w.idp.Token(samlidp.Assertion{})
	for range 2 {
		if _, err := w.verifyAs(t, token, exchange.UseExplain); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.verify(t, token); err != nil {
		t.Fatal(err)
	}
	for _, pool := range []*saml.Pool{w.pool, other} {
		id, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeSAML2}, exchange.UseSubject)
		wantReason(t, "again", err, exchange.ReasonSubjectTokenReplayed)
		if id == nil || id.Subject != "u-1001" {
			t.Error("the record isn't told whose it was")
		}
	}
	// The same assertion in another text: what isn't signed can be rewritten.
	document, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.verify(t, base64.RawURLEncoding.EncodeToString(append(document, '\n')))
	wantReason(t, "in another text", err, exchange.ReasonSubjectTokenReplayed)
	if _, err := w.verifyAs(t, token, exchange.UseActor); err == nil {
		t.Error("it is accepted again as an actor token")
	}
	for key, span := range w.marks.seen {
		if !strings.Contains(key, w.idp.EntityID()) || !span[0].Equal(w.clock.Now().Add(-30*time.Second)) || !span[1].Equal(w.clock.Now().Add(5*time.Minute)) {
			t.Errorf("the mark is %s, from %s to %s", key, span[0], span[1])
		}
	}
	w.marks.fault = errors.New("no marks today")
	_, err = w.verify(t, w.idp.Token(samlidp.Assertion{}))
	wantReason(t, "outage", err, exchange.ReasonReplayCheckUnavailable)
	if !strings.Contains(err.Error(), "subject token") {
		t.Errorf("outage: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.pool.Verify(ctx, exchange.Presented{Token: exchange.Secret(w.idp.Token(samlidp.Assertion{}))}, exchange.UseSubject); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who left: %v", err)
	}
}

func TestUses(t *testing.T) {
	w := newWorld(t)
	for _, use := range []exchange.Use{exchange.UseClient, exchange.UseBearer} {
		if _, err := w.verifyAs(t, w.idp.Token(samlidp.Assertion{}), use); err == nil {
			t.Errorf("an assertion is accepted as %s", use)
		}
	}
	_, err := w.verifyAs(t, "x", exchange.UseActor)
	wantReason(t, "actor", err, exchange.ReasonActorTokenInvalid)
}

// TestEnds is the end that is the earliest of all, and the leeway, which is for the beginning alone.
func TestEnds(t *testing.T) {
	w := newWorld(t)
	id := w.mustVerify(t, samlidp.Assertion{Edit: func(d *samlidp.Draft) {
		d.Replace("><saml:AuthnContext>", ` SessionNotOnOrAfter="2026-11-24T12:02:00.9Z"><saml:AuthnContext>`)
	}})
	if want := w.clock.Now().Add(2 * time.Minute); !id.Expiry.Equal(want) {
		t.Errorf("it ends at %s, want with its session at %s", id.Expiry, want)
	}
	for _, step := range []struct {
		after time.Duration
		want  exchange.Reason
	}{
		{-31 * time.Second, exchange.ReasonSubjectTokenNotYetValid}, {-30 * time.Second, ""},
		{5*time.Minute - time.Second, ""}, {5 * time.Minute, exchange.ReasonSubjectTokenExpired},
	} {
		token := w.idp.Token(samlidp.Assertion{})
		w.clock.move(step.after)
		_, err := w.verify(t, token)
		w.clock.move(-step.after)
		if step.want == "" {
			if err != nil {
				t.Errorf("after %s: %v", step.after, err)
			}
			continue
		}
		wantReason(t, step.after.String(), err, step.want)
	}
}

func TestReasons(t *testing.T) {
	w := newWorld(t)
	link := samlidp.Attribute{Name: "http://schemas.microsoft.com/claims/groups.link", Values: []string{"https://graph.windows.net/x"}}
	if id := w.mustVerify(t, samlidp.Assertion{Attributes: []samlidp.Attribute{link}}); !id.Groups.Overage || id.Groups.Known {
		t.Errorf("too many groups are %+v", id.Groups)
	}
	if id := w.mustVerify(t, samlidp.Assertion{}); id.Groups.Overage || id.Groups.Known {
		t.Errorf("no groups attribute is %+v", id.Groups)
	}
	if id := w.mustVerify(t, samlidp.Assertion{Groups: []string{}}); !id.Groups.Known {
		t.Errorf("an empty groups attribute is %+v", id.Groups)
	}
	for _, attack := range w.idp.Attacks() {
		want, known := map[string]exchange.Reason{
			"holder of key":         exchange.ReasonSenderConstrained,
			"group that is empty":   exchange.ReasonGroupsMalformed,
			"Issuer of nobody":      exchange.ReasonIssuerUnknown,
			"Conditions are over":   exchange.ReasonSubjectTokenExpired,
			"issued long ago":       exchange.ReasonSubjectTokenExpired,
			"issued later":          exchange.ReasonSubjectTokenNotYetValid,
			"comment in the NameID": exchange.ReasonSubjectTokenInvalid,
		}[attack.Name]
		if known {
			_, err := w.verify(t, attack.Token)
			wantReason(t, attack.Name, err, want)
		}
	}
}

// TestSubjectAttribute is a provider whose subjects are told apart by an attribute.
func TestSubjectAttribute(t *testing.T) {
	w := newWorld(t, func(p *saml.Provider) { p.SubjectAttribute, p.GroupsAttribute = "employee", "urn:groups" })
	format := "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	id := w.mustVerify(t, samlidp.Assertion{Format: format, Attributes: []samlidp.Attribute{{Name: "employee", Values: []string{"e-7"}}, {Name: "urn:groups", Values: []string{"g"}}}})
	if id.Subject != "e-7" || id.Claims["sub"] != "e-7" || id.Claims["name_id"] != "u-1001" || !id.Groups.Known {
		t.Errorf("the subject is %s, the claims %v", id.Subject, id.Claims)
	}
	for name, values := range map[string][]string{"two": {"a", "b"}, "none": {}, "empty": {""}} {
		_, err := w.verify(t, w.idp.Token(samlidp.Assertion{Attributes: []samlidp.Attribute{{Name: "employee", Values: values}}}))
		wantReason(t, name, err, exchange.ReasonSubjectTokenInvalid)
	}
}

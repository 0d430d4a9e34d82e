package identity_test

import (
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// FuzzVerify: whatever is presented, only what the key signed is accepted, and of that only what is good.
func FuzzVerify(f *testing.F) {
	c := newClock()
	p := newIDP(f, c)
	pool := newPool(f, c, p.provider())
	good := p.good(f)
	bad := sign(f, p.key, goodHeader(), both2(goodClaims(c), set("aud", "another")))
	forged := sign(f, newECKey(f), goodHeader(), goodClaims(c))
	signed := good[:strings.LastIndexByte(good, '.')]
	for _, seed := range []string{good, bad, forged, signed + ".", "", "..", "a.b.c", good + ".AA.AA"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, actor bool) {
		use := exchange.UseSubject
		if actor {
			use = exchange.UseActor
		}
		got, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(text), Type: exchange.TypeJWT}, use)
		if err != nil {
			if e := exchange.AsError(err); e.Code != exchange.CodeInvalidRequest {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if !strings.HasPrefix(text, signed+".") || got.Subject != "alice" {
			t.Errorf("%q is accepted as %s", text, got.Subject)
		}
	})
}

// FuzzDiscovery: whatever a discovery document says, it speaks for its own issuer alone, once, and of an address that may be
// dialled.
func FuzzDiscovery(f *testing.F) {
	f.Add(`{"issuer":"https://idp.example","jwks_uri":"https://idp.example/keys"}`, "https://idp.example")
	f.Add(`{"issuer":"http://127.0.0.1:1/x","jwks_uri":"http://localhost/keys?a=b"}`, "http://127.0.0.1:1/x")
	f.Add(`{"issuer":"https://idp.example","jwks_uri":"file:///etc/passwd"}`, "https://idp.example")
	f.Add(`{"issuer":"https://idp.example/","jwks_uri":"https://user@idp.example/#x"}`, "https://idp.example")
	f.Add(`{"jwks_uri":["https://idp.example"],"issuer":null}`, "")
	f.Fuzz(func(t *testing.T, document, issuer string) {
		found, err := identity.ReadDiscovery(document, issuer)
		if err != nil {
			return
		}
		u, err := url.Parse(found)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q is to be dialled: %v", found, err)
		}
		if loopback := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback(); u.Scheme != "https" && (u.Scheme != "http" || !loopback || !strings.HasPrefix(issuer, "http:")) {
			t.Errorf("%q is to be dialled for %q", found, issuer)
		}
		var said map[string]any
		if err := json.Unmarshal([]byte(document), &said); err != nil || said["issuer"] != issuer || said["jwks_uri"] != found {
			t.Errorf("%q says of %q that its keys are at %q (%v)", document, issuer, found, err)
		}
		end := strings.LastIndexByte(document, '}')
		for _, again := range []string{`"issuer":"x"`, `"jwks_uri":"https://evil.example"`, `"jwks_ur\u0069":"https://evil.example"`} {
			if _, err := identity.ReadDiscovery(document[:end]+","+again+"}", issuer); err == nil {
				t.Errorf("%q twice in %q", again, document)
			}
		}
	})
}

package jwt_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/lakegate/sts/internal/jwt"
)

func TestParseSPIFFEID(t *testing.T) {
	for _, c := range []struct{ id, domain, fault string }{
		{"spiffe://acme.example/nightly-etl", "acme.example", ""},
		{"spiffe://acme.example/ns/data/sa/Etl_1.2", "acme.example", ""},
		{"spiffe://a_b-c.1/x", "a_b-c.1", ""},
		{"spiffe://acme.example/...", "acme.example", ""},
		{"", "", "spiffe://"},
		{"alice", "", "spiffe://"},
		{"SPIFFE://acme.example/x", "", "spiffe://"},
		{"https://acme.example/x", "", "spiffe://"},
		{"spiffe:///x", "", "trust domain"},
		{"spiffe://Acme.example/x", "", "trust domain"},
		{"spiffe://acme.example:443/x", "", "trust domain"},
		{"spiffe://user@acme.example/x", "", "trust domain"},
		{"spiffe://acmé.example/x", "", "trust domain"},
		{"spiffe://acme.example?x/y", "", "trust domain"},
		{"spiffe://" + strings.Repeat("a", 256) + "/x", "", "trust domain"},
		{"spiffe://acme.example", "", "no path"},
		{"spiffe://acme.example/", "", "empty segment"},
		{"spiffe://acme.example/x/", "", "empty segment"},
		{"spiffe://acme.example//x", "", "empty segment"},
		{"spiffe://acme.example/./x", "", ". or .."},
		{"spiffe://acme.example/x/..", "", ". or .."},
		{"spiffe://acme.example/%65tl", "", "characters"},
		{"spiffe://acme.example/a b", "", "characters"},
		{"spiffe://acme.example/a?x=1", "", "characters"},
		{"spiffe://acme.example/a#x", "", "characters"},
		{"spiffe://acme.example/é", "", "characters"},
		{"spiffe://acme.example/a\n", "", "characters"},
	} {
		domain, err := jwt.ParseSPIFFEID(c.id)
		switch {
		case domain != c.domain:
			t.Errorf("%q: %q, want %q", c.id, domain, c.domain)
		case c.fault == "" && err != nil, c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%q: %v, want one about %q", c.id, err, c.fault)
		}
	}
}

// What is accepted is a URI that any other reader takes apart in the same way, and writes as it was written.
func FuzzParseSPIFFEID(f *testing.F) {
	for _, seed := range []string{"spiffe://acme.example/nightly-etl", "spiffe://a/b/c", "spiffe://A/b", "spiffe://a/../b", "spiffe://a/%2e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		domain, err := jwt.ParseSPIFFEID(id)
		if err != nil {
			return
		}
		u, err := url.Parse(id)
		if err != nil || u.String() != id || u.Scheme != "spiffe" || u.Host != domain || u.EscapedPath() != u.Path || u.JoinPath().String() != id {
			t.Errorf("%q is read as %q by us, and as %v, %v by another", id, domain, u, err)
		}
	})
}

func TestParseBundle(t *testing.T) {
	const key = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	keys, skipped, err := jwt.ParseBundle([]byte(`{"spiffe_sequence":7,"spiffe_refresh_hint":300,"keys":[
		{"kid":"x","use":"x509-svid",` + key + `,"x5c":["AAAA"]},
		{"kid":"svid","use":"jwt-svid",` + key + `},
		{"kid":"sig","use":"sig",` + key + `},
		{"kid":"none",` + key + `}]}`))
	if err != nil || len(keys) != 1 || keys[0].ID != "svid" {
		t.Fatalf("%v, %v", keys, err)
	}
	if len(skipped) != 2 || skipped[0].ID != "sig" || skipped[1].ID != "none" || !strings.Contains(skipped[0].Reason.Error(), "jwt-svid") {
		t.Errorf("skipped %v", skipped)
	}
	keys, skipped, err = jwt.ParseKeySet([]byte(`{"keys":[{"kid":"svid","use":"jwt-svid",` + key + `}]}`))
	if err != nil || len(keys) != 0 || len(skipped) != 1 {
		t.Errorf("a key for JWT-SVIDs verifies other tokens: %v, %v", keys, err)
	}
}

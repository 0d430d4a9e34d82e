package saml_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/saml"
)

// TestDialects takes assertions and metadata as well-known providers lay them out: order of attributes, prefixes, line breaks of
// base64, redeclared namespaces, types of values. The files of testdata/dialects were made for this test and signed by xmlsec1,
// so that libxml2 has written the canonical form, and no code of ours or of goxmldsig.
func TestDialects(t *testing.T) {
	const (
		microsoft = "http://schemas.microsoft.com/identity/claims/"
		windows   = "http://schemas.microsoft.com/ws/2008/06/identity/claims/"
		soap      = "http://schemas.xmlsoap.org/"
	)
	for _, d := range []struct {
		name, entity, groupsAttribute string
		subject                       string
		groups                        []string
		claims                        map[string]any
		lifetime                      time.Duration
	}{
		{"okta", "http://www.okta.com/exk1a2b3c4d5e6f7g8h9", "groups",
			"00u1qwertyASDFGH5d7", []string{"Everyone", "data-eng"}, map[string]any{"department": "R&D – Zürich"}, 5 * time.Minute},
		{"entra", "https://sts.windows.net/7b9c2f1e-0d3a-4a55-9f0e-2d6b1c4e8a10/", windows + "groups",
			"c2f7a0de-9a51-4b0c-b1f2-3a8f6f0d5e77", []string{"11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000002"},
			map[string]any{microsoft + "displayname": "Ann O'Hara <Risk>", "acr": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"}, time.Hour},
		{"adfs", "http://adfs.acme.example/adfs/services/trust", soap + "claims/Group",
			"k3Jx+0Wz5k2m8v4nqH1b7A==", []string{`ACME\data-eng`, "Domain Users"},
			map[string]any{soap + "ws/2005/05/identity/claims/upn": "ann@acme.example", "employeeID": "4711", "acr": "urn:federation:authentication:windows"}, 5 * time.Minute},
		{"keycloak", "https://sso.acme.example/realms/acme", "groups",
			"G-4f1f2a0c-7f6d-4c6b-8c83-2c7e1b9a5d10", []string{"/data-eng", "/staff"},
			map[string]any{"urn:oid:2.5.4.11": "risk", "Role": []any{"offline_access", "uma_authorization"}}, 58 * time.Second},
	} {
		t.Run(d.name, func(t *testing.T) {
			dir := filepath.Join("testdata", "dialects", d.name)
			w := &world{clock: &clock{now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}, marks: newMarks()}
			w.pool = w.newPool(t, saml.Provider{
				Name: d.name, EntityID: d.entity, MetadataFile: filepath.Join(dir, "metadata.xml"),
				Audience: audience, Recipient: recipient, GroupsAttribute: d.groupsAttribute, ClockSkew: time.Second,
			})
			response, err := os.ReadFile(filepath.Join(dir, "response.xml"))
			if err != nil {
				t.Fatal(err)
			}
			token, err := subjectToken(base64.StdEncoding.EncodeToString(response))
			if err != nil {
				t.Fatal(err)
			}
			id, err := w.verify(t, token)
			if err != nil {
				t.Fatal(err)
			}
			if id.Subject != d.subject || !cmp.Equal(id.Groups.Names, d.groups) || !id.Groups.Known {
				t.Errorf("it is %s in %v", id.Subject, id.Groups)
			}
			for name, want := range d.claims {
				if !cmp.Equal(id.Claims[name], want) {
					t.Errorf("%s is %v, want %v", name, id.Claims[name], want)
				}
			}
			if want := w.clock.Now().Add(d.lifetime); !id.Expiry.Equal(want) {
				t.Errorf("it ends at %s, want %s", id.Expiry, want)
			}
			// Whatever is changed in what was signed is found, whoever wrote the canonical form.
			for _, old := range []string{d.subject[1:], d.groups[0], audience, "AuthnInstant=\"2026-"} {
				changed := strings.Replace(string(response), old, "x"+old, 1)
				if token, err = subjectToken(base64.StdEncoding.EncodeToString([]byte(changed))); err != nil {
					t.Fatal(err)
				}
				_, err = w.verifyAs(t, token, exchange.UseExplain)
				wantCause(t, old, err, "changed after it was signed")
			}
		})
	}
}

var (
	responseTag = regexp.MustCompile(`<([\w.-]+:)?Response\s[^>]*>`)
	assertion   = regexp.MustCompile(`(?s)(<([\w.-]+:)?Assertion)(\s[^>]*>.*</([\w.-]+:)?Assertion>)`)
	declaration = regexp.MustCompile(`\s(xmlns(:[\w.-]+)?=)("[^"]*"|'[^']*')`)
)

// subjectToken makes a subject token of a SAMLResponse: the assertion in it, byte for byte, with the namespaces that
// only the response declares.
func subjectToken(samlResponse string) (string, error) {
	document, err := base64.StdEncoding.DecodeString(samlResponse)
	if err != nil {
		return "", err
	}
	found := assertion.FindSubmatch(document)
	if found == nil {
		return "", errors.New("there is no assertion in the clear")
	}
	start, rest := string(found[1]), string(found[3])
	tag, _, _ := strings.Cut(rest, ">")
	for _, d := range declaration.FindAllStringSubmatch(responseTag.FindString(string(document)), -1) {
		if !strings.Contains(tag, d[1]) {
			start += d[0]
		}
	}
	return base64.RawURLEncoding.EncodeToString([]byte(start + rest)), nil
}

// What docs/identity/saml.md shows is what TestDialects tries.
func TestSnippet(t *testing.T) {
	page, err := os.ReadFile("../../docs/identity/saml.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("dialects_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\nvar (\n")
	code, _, _ = strings.Cut(code, "\n}\n\n// What ")
	if !strings.Contains(string(page), "var (\n"+code+"\n}\n") {
		t.Error("the page shows another program than the one that is tried here")
	}
}

package clients_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

func register(t testing.TB, registrations ...clients.Registration) *clients.Registry {
	t.Helper()
	snapshot, err := clients.Prepare(registrations)
	if err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, clients.Config{})
	r.Commit(snapshot)
	return r
}

func newRegistry(t testing.TB, c clients.Config) *clients.Registry {
	t.Helper()
	r, err := clients.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func client(id string, method clients.Method, secrets ...string) clients.Registration {
	r := clients.Registration{Client: exchange.Client{ID: id}, Method: method}
	for _, s := range secrets {
		r.SecretSHA256 = append(r.SecretSHA256, sha256.Sum256([]byte(s)))
	}
	return r
}

func basic(id, secret string) exchange.Secret {
	return "Basic " + exchange.Secret(base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))))
}

func raw(text string) exchange.Secret {
	return "Basic " + exchange.Secret(base64.StdEncoding.EncodeToString([]byte(text)))
}

func TestAuthenticate(t *testing.T) {
	const odd = "a:b%c+d e"
	registry := register(t,
		client("kong", clients.MethodBasic, "old", "new"),
		client("job", clients.MethodPost, "secret"),
		client(odd, clients.MethodBasic, odd+"é"),
	)
	none := clients.Credentials{}
	for _, row := range []struct {
		name        string
		credentials clients.Credentials
		client      string // "" where it is refused
		code        exchange.Code
	}{
		{"basic", clients.Credentials{Authorization: basic("kong", "new")}, "kong", ""},
		{"H26 both secrets during a rotation", clients.Credentials{Authorization: basic("kong", "old")}, "kong", ""},
		{"H26 none after it", clients.Credentials{Authorization: basic("job", "old")}, "", exchange.CodeInvalidClient},
		{"scheme in other case", clients.Credentials{Authorization: "bAsIc  " + basic("kong", "new")[6:]}, "kong", ""},
		{"H05 escapes", clients.Credentials{Authorization: basic(odd, odd+"é")}, odd, ""},
		{"H05 unescaped colon ends the id", clients.Credentials{Authorization: raw("a:b%25c%2Bd+e:x")}, "", exchange.CodeInvalidClient},
		{"post", clients.Credentials{ClientID: "job", ClientSecret: "secret"}, "job", ""},
		{"H01 wrong secret", clients.Credentials{Authorization: basic("kong", "wrong")}, "", exchange.CodeInvalidClient},
		{"H02 wrong secret in the body", clients.Credentials{ClientID: "job", ClientSecret: "wrong"}, "", exchange.CodeInvalidClient},
		{"H03 unknown", clients.Credentials{Authorization: basic("nobody", "new")}, "", exchange.CodeInvalidClient},
		{"H04 nothing", none, "", exchange.CodeInvalidClient},
		{"H04 id alone", clients.Credentials{ClientID: "job"}, "", exchange.CodeInvalidClient},
		{"H04 empty secret", clients.Credentials{Authorization: basic("kong", "")}, "", exchange.CodeInvalidClient},
		{"H07 same client_id", clients.Credentials{Authorization: basic("kong", "new"), ClientID: "kong"}, "kong", ""},
		{"H07 another client_id", clients.Credentials{Authorization: basic("kong", "new"), ClientID: "job"}, "", exchange.CodeInvalidRequest},
		{"H07 both secrets", clients.Credentials{Authorization: basic("kong", "new"), ClientID: "kong", ClientSecret: "new"}, "", exchange.CodeInvalidRequest},
		{"H08 Basic and assertion", clients.Credentials{Authorization: basic("kong", "new"), Assertion: "x"}, "", exchange.CodeInvalidRequest},
		{"H08 Basic and assertion type", clients.Credentials{Authorization: basic("kong", "new"), AssertionType: "x"}, "", exchange.CodeInvalidRequest},
		{"secret and assertion", clients.Credentials{ClientID: "job", ClientSecret: "secret", Assertion: "x"}, "", exchange.CodeInvalidRequest},
		{"assertion alone", clients.Credentials{Assertion: "x", AssertionType: "y"}, "", exchange.CodeInvalidClient},
		{"H18 post instead of basic", clients.Credentials{ClientID: "kong", ClientSecret: "new"}, "", exchange.CodeInvalidClient},
		{"H18 basic instead of post", clients.Credentials{Authorization: basic("job", "secret")}, "", exchange.CodeInvalidClient},
		{"another scheme", clients.Credentials{Authorization: "Bearer x"}, "", exchange.CodeInvalidClient},
		{"not base64", clients.Credentials{Authorization: "Basic ???"}, "", exchange.CodeInvalidClient},
		{"no colon", clients.Credentials{Authorization: raw("kong")}, "", exchange.CodeInvalidClient},
		{"bad escape", clients.Credentials{Authorization: raw("kong:%zz")}, "", exchange.CodeInvalidClient},
		{"empty id", clients.Credentials{Authorization: raw(":")}, "", exchange.CodeInvalidClient},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := registry.Authenticate(t.Context(), row.credentials)
			if row.client != "" {
				if err != nil || c.ID != row.client {
					t.Fatalf("%+v, %v", c, err)
				}
				return
			}
			var refused *exchange.Error
			if !errors.As(err, &refused) || refused.Code != row.code || c != nil {
				t.Fatalf("%+v, %v", c, err)
			}
		})
	}
}

// H03: an unknown client costs as many comparisons as a wrong secret and a right one, of one secret or two, and gets
// the same answer.
func TestUnknownClientLooksLikeAWrongSecret(t *testing.T) {
	registry := register(t, client("one", clients.MethodBasic, "a"), client("two", clients.MethodBasic, "a", "b"), client("post", clients.MethodPost, "a"))
	comparisons := 0
	clients.CountComparisons(registry, &comparisons)
	_, want := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("one", "wrong")})
	for _, row := range []struct {
		name        string
		credentials clients.Credentials
		refused     bool
	}{
		{"unknown", clients.Credentials{Authorization: basic("nobody", "a")}, true},
		{"unknown, in the body", clients.Credentials{ClientID: "nobody", ClientSecret: "a"}, true},
		{"wrong of two", clients.Credentials{Authorization: basic("two", "wrong")}, true},
		{"wrong method", clients.Credentials{Authorization: basic("post", "a")}, true},
		{"right, the first of two", clients.Credentials{Authorization: basic("two", "a")}, false},
		{"right, the only one", clients.Credentials{Authorization: basic("one", "a")}, false},
	} {
		comparisons = 0
		_, err := registry.Authenticate(t.Context(), row.credentials)
		if comparisons != 2 {
			t.Errorf("%s: %d comparisons, want 2", row.name, comparisons)
		}
		if row.refused && !cmp.Equal(want, err) {
			t.Errorf("%s: %v, want %v", row.name, err, want)
		}
		if !row.refused && err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	for _, row := range []struct {
		name          string
		registrations []clients.Registration
		want          string
	}{
		{"no id", []clients.Registration{client("", clients.MethodBasic, "a")}, "printable ASCII"},
		{"id with a control character", []clients.Registration{client("a\n", clients.MethodBasic, "a")}, "printable ASCII"},
		{"twice", []clients.Registration{client("a", clients.MethodBasic, "a"), client("a", clients.MethodPost, "b")}, "registered twice"},
		{"another method", []clients.Registration{client("a", "client_secret_jwt", "a")}, "not known here"},
		{"no secret", []clients.Registration{client("a", clients.MethodBasic)}, "0 secret hashes"},
		{"three secrets", []clients.Registration{client("a", clients.MethodBasic, "a", "b", "c")}, "3 secret hashes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := clients.Prepare(row.registrations); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A reload takes effect as a whole, and only once it is committed; a client keeps what it was given.
func TestReload(t *testing.T) {
	registry := register(t, client("a", clients.MethodBasic, "old"))
	before, err := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("a", "old")})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := clients.Prepare([]clients.Registration{client("b", clients.MethodBasic, "new")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("b", "new")}); err == nil {
		t.Error("prepared is in force already")
	}
	registry.Commit(snapshot)
	if _, err := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("b", "new")}); err != nil {
		t.Error(err)
	}
	if _, err := registry.Authenticate(t.Context(), clients.Credentials{Authorization: basic("a", "old")}); err == nil {
		t.Error("a client that is gone still gets in")
	}
	if before.ID != "a" {
		t.Errorf("a client in use has changed: %+v", before)
	}
	if _, err := newRegistry(t, clients.Config{}).Authenticate(t.Context(), clients.Credentials{Authorization: basic("a", "old")}); err == nil {
		t.Error("an empty registry let somebody in")
	}
}

func TestNewSecret(t *testing.T) {
	secret, hash, err := clients.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(secret.Reveal()))
	if bits, err := base64.RawURLEncoding.DecodeString(secret.Reveal()); err != nil || len(bits) != 32 {
		t.Errorf("%d bytes, %v", len(bits), err)
	}
	if hash != hex.EncodeToString(sum[:]) {
		t.Errorf("hash %s is not the secret's", hash)
	}
	if url.QueryEscape(secret.Reveal()) != secret.Reveal() {
		t.Error("the secret needs escaping in a Basic header, which clients forget")
	}
	if _, _, err := clients.NewSecret(bytes.NewReader(nil)); err == nil {
		t.Error("made a secret of no randomness")
	}
}

// What is accepted means one id and one secret: encoded as RFC 6749 §2.3.1 says, they are read the same again. And
// whatever id and secret there are, they come through.
func FuzzBasic(f *testing.F) {
	f.Add(basic("kong", "secret").Reveal(), "a:b", "%+ é")
	f.Add("Basic ", "", "")
	f.Add("Basic Ojo6", ":", ":")
	f.Add(raw("a%zz:b").Reveal(), "a", "\x00\xff")
	f.Fuzz(func(t *testing.T, header, id, secret string) {
		if gotID, gotSecret, ok := clients.DecodeBasic(exchange.Secret(header)); ok {
			againID, againSecret, ok := clients.DecodeBasic(basic(gotID, gotSecret.Reveal()))
			if !ok || againID != gotID || againSecret != gotSecret {
				t.Fatalf("%q was read as %q, then as %q", header, gotID, againID)
			}
		}
		gotID, gotSecret, ok := clients.DecodeBasic(basic(id, secret))
		if !ok || gotID != id || gotSecret.Reveal() != secret {
			t.Fatalf("%q %q came as %q", id, secret, gotID)
		}
	})
}

func TestClient(t *testing.T) {
	r, err := clients.New(clients.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Client("kong") != nil {
		t.Error("a client before any is in force")
	}
	snapshot, err := clients.Prepare([]clients.Registration{{Client: exchange.Client{ID: "kong", Audiences: []string{"prod"}}, Method: clients.MethodNone}})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(snapshot)
	kong := r.Client("kong")
	if kong == nil || kong.ID != "kong" || len(kong.Audiences) != 1 || r.Client("") != nil || r.Client("gong") != nil {
		t.Errorf("%+v", kong)
	}
	kong.AnyParty = true
	if r.Client("kong").AnyParty {
		t.Error("what was changed is the registry's own")
	}
}

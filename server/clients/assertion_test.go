package clients_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
)

const (
	issuer        = "https://sts.example"
	tokenEndpoint = "https://sts.example/oauth2/token"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// signer is a client's private key.
type signer struct {
	id  string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func newSigner(t testing.TB, id string, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, alg, key}
}

// sign makes a JWT; typ "" leaves it out.
func (s signer) sign(t testing.TB, typ string, claims map[string]any) exchange.Secret {
	t.Helper()
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := made.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return exchange.Secret(text)
}

// keySet is the JWK set of the signers' public halves.
func keySet(t testing.TB, signers ...signer) []byte {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// marks is an exchange.Once without an end.
type marks struct {
	mu    sync.Mutex
	seen  map[string][2]time.Time // the earliest use, and the end
	fault error
}

func (m *marks) Claim(_ context.Context, key string, earliest, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return false, m.fault
	}
	_, there := m.seen[key]
	m.seen[key] = [2]time.Time{earliest, until}
	return !there, nil
}

func signing(id string, set []byte) clients.Registration {
	return clients.Registration{Client: exchange.Client{ID: id}, Method: clients.MethodPrivateKeyJWT, KeySet: set}
}

// assertions is a registry of clients that sign.
func assertions(t testing.TB, registrations ...clients.Registration) (*clients.Registry, *marks) {
	t.Helper()
	m := &marks{seen: map[string][2]time.Time{}}
	r := newRegistry(t, clients.Config{Issuer: issuer, TokenEndpoint: tokenEndpoint, Once: m, Now: func() time.Time { return now }})
	snapshot, err := clients.Prepare(registrations)
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(snapshot)
	return r, m
}

// claims are those of a good assertion of etl, with changes laid over; nil takes one out.
func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": "etl", "sub": "etl", "aud": issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func at(d time.Duration) int64 { return now.Add(d).Unix() }

type set = map[string]any

func TestAssertion(t *testing.T) {
	key, stranger := newSigner(t, "1", jose.ES256), newSigner(t, "1", jose.ES256)
	loose := signing("loose", keySet(t, key))
	loose.AudienceTokenEndpoint = true
	registry, m := assertions(t, signing("etl", keySet(t, key)), loose, client("kong", clients.MethodBasic, "secret"))
	for _, row := range []struct {
		name   string
		signer signer
		typ    string
		claims set
		says   string // "" where it is accepted
	}{
		{"H10", key, "", nil, ""},
		{"H10 as a list", key, "", set{"aud": []string{issuer}}, ""},
		{"typ JWT", key, "JWT", nil, ""},
		{"its own typ", key, "client-authentication+jwt", nil, ""},
		{"H11", key, "", set{"aud": tokenEndpoint}, "audience"},
		{"H11 where it is allowed", key, "", set{"iss": "loose", "sub": "loose", "aud": tokenEndpoint}, ""},
		{"H11 the issuer there, too", key, "", set{"iss": "loose", "sub": "loose"}, ""},
		{"H12", key, "", set{"aud": []string{issuer, "https://other.example"}}, "audience"},
		{"H12 both of ours", key, "", set{"iss": "loose", "sub": "loose", "aud": []string{issuer, tokenEndpoint}}, "audience"},
		{"H12 an empty list", key, "", set{"aud": []string{}}, "audience"},
		{"H12 none", key, "", set{"aud": nil}, "audience"},
		{"H12 another with a slash", key, "", set{"aud": issuer + "/"}, "audience"},
		{"H12 a number", key, "", set{"aud": 1}, "audience"},
		{"H13 another iss", key, "", set{"iss": "kong"}, "iss and sub"},
		{"H13 another sub", key, "", set{"sub": "kong"}, "authentication failed"},
		{"H13 no iss", key, "", set{"iss": nil}, "iss and sub"},
		{"H13 no sub", key, "", set{"sub": nil}, "authentication failed"},
		{"H14 no exp", key, "", set{"exp": nil}, "exp"},
		{"H14 expired", key, "", set{"exp": at(0)}, "expired"},
		{"H14 no leeway", key, "", set{"iat": at(-time.Minute), "exp": at(-time.Second)}, "expired"},
		{"H14 too long", key, "", set{"exp": at(10*time.Minute + time.Second)}, "longer"},
		{"H14 too long, without iat", key, "", set{"iat": nil, "exp": at(11 * time.Minute)}, "longer"},
		{"H14 too long, since long ago", key, "", set{"iat": at(-10 * time.Minute), "exp": at(time.Minute)}, "longer"},
		{"H14 just so long", key, "", set{"exp": at(10 * time.Minute)}, ""},
		{"H14 exp as text", key, "", set{"exp": "soon"}, "exp"},
		{"no iat", key, "", set{"iat": nil}, ""},
		{"iat ahead, within the leeway", key, "", set{"iat": at(10 * time.Second)}, ""},
		{"iat ahead", key, "", set{"iat": at(11 * time.Second)}, "ahead"},
		{"iat as text", key, "", set{"iat": "now"}, "no time"},
		{"nbf", key, "", set{"nbf": at(0)}, ""},
		{"nbf ahead", key, "", set{"nbf": at(11 * time.Second)}, "ahead"},
		{"H15 no jti", key, "", set{"jti": nil}, "jti"},
		{"H15 an empty jti", key, "", set{"jti": ""}, "jti"},
		{"H15 a number", key, "", set{"jti": 7}, "jti"},
		{"H15 a long one", key, "", set{"jti": strings.Repeat("x", 257)}, "jti"},
		{"H16 another's key", stranger, "", nil, "authentication failed"},
		{"H16 an algorithm that the key isn't for", newSigner(t, "1", jose.RS256), "", nil, "authentication failed"},
		{"H16 an algorithm that nobody may use", newSigner(t, "1", jose.ES384), "", nil, "not signed with"},
		{"H16 another kid", signer{"2", jose.ES256, key.key}, "", nil, "authentication failed"},
		{"H16 no kid", signer{"", jose.ES256, key.key}, "", nil, ""},
		{"H18 a client with a secret", key, "", set{"iss": "kong", "sub": "kong"}, "authentication failed"},
		{"H22 an access token", key, "at+jwt", nil, "typ"},
		{"H03 unknown", key, "", set{"iss": "nobody", "sub": "nobody"}, "authentication failed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(m.seen)
			c, err := registry.Authenticate(t.Context(), clients.Credentials{
				Assertion: row.signer.sign(t, row.typ, claims(row.claims)), AssertionType: assertionType,
			})
			if row.says == "" {
				if err != nil || c == nil || len(m.seen) != before+1 {
					t.Fatalf("%+v, %v, %d marks", c, err, len(m.seen)-before)
				}
				return
			}
			var refused *exchange.Error
			if !errors.As(err, &refused) || refused.Code != exchange.CodeInvalidClient || !strings.Contains(refused.Message, row.says) {
				t.Fatalf("%+v, %v", c, err)
			}
			if len(m.seen) != before {
				t.Error("what was refused has left a mark")
			}
		})
	}
}

func TestAssertionAlgorithms(t *testing.T) {
	for _, alg := range clients.AssertionAlgorithms() {
		key := newSigner(t, "k", jose.SignatureAlgorithm(alg))
		registry, _ := assertions(t, signing("etl", keySet(t, key)))
		good := clients.Credentials{Assertion: key.sign(t, "", claims(nil)), AssertionType: assertionType}
		if _, err := registry.Authenticate(t.Context(), good); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := registry.Authenticate(t.Context(), clients.Credentials{
			Assertion: newSigner(t, "k", jose.SignatureAlgorithm(alg)).sign(t, "", claims(nil)), AssertionType: assertionType,
		}); err == nil {
			t.Errorf("%s: another's key got in", alg)
		}
	}
}

func TestAssertionForms(t *testing.T) {
	key := newSigner(t, "1", jose.ES256)
	registry, _ := assertions(t, signing("etl", keySet(t, key)), client("kong", clients.MethodPost, "secret"))
	good := func() exchange.Secret { return key.sign(t, "", claims(nil)) }
	unsigned := exchange.Secret("eyJhbGciOiJub25lIn0." + strings.Split(good().Reveal(), ".")[1] + ".")
	hs256, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: keySet(t, key)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := hs256.Sign([]byte(`{"iss":"etl","sub":"etl"}`))
	if err != nil {
		t.Fatal(err)
	}
	confused, err := symmetric.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		c    clients.Credentials
		code exchange.Code // "" where it is accepted
	}{
		{"with client_id", clients.Credentials{Assertion: good(), AssertionType: assertionType, ClientID: "etl"}, ""},
		{"H13 with another client_id", clients.Credentials{Assertion: good(), AssertionType: assertionType, ClientID: "kong"}, exchange.CodeInvalidClient},
		{"no type", clients.Credentials{Assertion: good()}, exchange.CodeInvalidClient},
		{"SAML's type", clients.Credentials{Assertion: good(), AssertionType: "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, exchange.CodeInvalidClient},
		{"type alone", clients.Credentials{AssertionType: assertionType, ClientID: "etl"}, exchange.CodeInvalidClient},
		{"H08 with a secret", clients.Credentials{Assertion: good(), AssertionType: assertionType, ClientID: "etl", ClientSecret: "x"}, exchange.CodeInvalidRequest},
		{"H16 unsigned", clients.Credentials{Assertion: unsigned, AssertionType: assertionType}, exchange.CodeInvalidClient},
		{"H16 HS256 by the public key", clients.Credentials{Assertion: exchange.Secret(confused), AssertionType: assertionType}, exchange.CodeInvalidClient},
		{"not a JWT", clients.Credentials{Assertion: "opaque", AssertionType: assertionType}, exchange.CodeInvalidClient},
		{"H18 a secret instead", clients.Credentials{ClientID: "etl", ClientSecret: "secret"}, exchange.CodeInvalidClient},
		{"H18 Basic instead", clients.Credentials{Authorization: basic("etl", "secret")}, exchange.CodeInvalidClient},
		{"H04 the id alone", clients.Credentials{ClientID: "etl"}, exchange.CodeInvalidClient},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := registry.Authenticate(t.Context(), row.c)
			var refused *exchange.Error
			if row.code == "" && err != nil || row.code != "" && (!errors.As(err, &refused) || refused.Code != row.code) {
				t.Fatal(err)
			}
		})
	}
	if _, err := register(t, signing("etl", keySet(t, key))).Authenticate(t.Context(), clients.Credentials{Assertion: good(), AssertionType: assertionType}); err == nil {
		t.Error("a registry without marks took an assertion")
	}
}

// H15: an assertion is used once; another client may use the same jti; marks that can't be asked refuse.
func TestAssertionIsUsedOnce(t *testing.T) {
	key := newSigner(t, "1", jose.ES256)
	registry, m := assertions(t, signing("etl", keySet(t, key)), signing("other", keySet(t, key)))
	use := func(c map[string]any) *exchange.Error {
		_, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: key.sign(t, "", c), AssertionType: assertionType})
		return exchange.AsError(err)
	}
	if err := use(claims(set{"jti": "a"})); err != nil {
		t.Fatal(err)
	}
	if err := use(claims(set{"jti": "a", "exp": at(2 * time.Minute)})); err == nil || err.Code != exchange.CodeInvalidClient || !strings.Contains(err.Message, "before") {
		t.Errorf("the second use: %v", err)
	}
	if err := use(claims(set{"jti": "a", "iss": "other", "sub": "other"})); err != nil {
		t.Errorf("another client's: %v", err)
	}
	m.fault = errors.New("redis is gone")
	if err := use(claims(nil)); err == nil || err.Code != exchange.CodeUnavailable || err.Reason != exchange.ReasonReplayCheckUnavailable || err.RetryAfter <= 0 {
		t.Errorf("without marks: %v", err)
	}
	if err := use(claims(set{"aud": "x"})); err == nil || err.Code != exchange.CodeInvalidClient {
		t.Errorf("a bad one without marks: %v", err)
	}
}

// No assertion that is accepted can have been used earlier than its mark says, and none is accepted after the mark's end.
func TestMarkCoversEveryUse(t *testing.T) {
	key := newSigner(t, "1", jose.ES256)
	registry, m := assertions(t, signing("etl", keySet(t, key)))
	for _, c := range []set{nil, {"iat": nil}, {"iat": at(10 * time.Second)}, {"iat": at(-9 * time.Minute)}, {"iat": nil, "nbf": at(-time.Minute)}, {"exp": at(10 * time.Minute)}} {
		clear(m.seen)
		full := claims(c)
		if _, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: key.sign(t, "", full), AssertionType: assertionType}); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		for _, mark := range m.seen {
			earliest, until := mark[0], mark[1]
			exp := time.Unix(full["exp"].(int64), 0)
			if !until.Equal(exp) {
				t.Errorf("%v: the mark ends at %s, the assertion at %s", c, until, exp)
			}
			if iat, there := full["iat"].(int64); there && earliest.After(time.Unix(iat, 0).Add(-clients.AssertionLeeway)) {
				t.Errorf("%v: it can have been used before %s", c, earliest)
			}
			if first := exp.Add(-clients.MaxAssertionLifetime - clients.AssertionLeeway); earliest.Before(first) {
				t.Errorf("%v: it is no assertion before %s, the mark says %s", c, first, earliest)
			}
		}
	}
}

// H03: unknown clients, other methods, other keys and one key or two cost two signatures each, and get one answer.
func TestUnknownClientLooksLikeAWrongKey(t *testing.T) {
	key, second, wrong := newSigner(t, "1", jose.ES256), newSigner(t, "2", jose.ES256), newSigner(t, "", jose.ES256)
	registry, _ := assertions(t, signing("etl", keySet(t, key)), signing("two", keySet(t, key, second)),
		signing("rsa", keySet(t, newSigner(t, "", jose.RS256))), client("kong", clients.MethodBasic, "secret"))
	verified := 0
	clients.CountVerifications(registry, &verified)
	var want error
	for _, id := range []string{"etl", "two", "rsa", "kong", "nobody"} {
		verified = 0
		_, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: wrong.sign(t, "", claims(set{"iss": id, "sub": id})), AssertionType: assertionType})
		if verified != 2 {
			t.Errorf("%s: %d signatures checked, want 2", id, verified)
		}
		if want == nil {
			want = err
		}
		if !cmp.Equal(want, err) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
}

// Two keys are in force during a rotation, whether or not assertions name them.
func TestKeyRotation(t *testing.T) {
	for _, ids := range [][2]string{{"1", "2"}, {"", ""}} {
		old, next := newSigner(t, ids[0], jose.ES256), newSigner(t, ids[1], jose.ES256)
		registry, _ := assertions(t)
		works := func(s signer) bool {
			_, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: s.sign(t, "", claims(nil)), AssertionType: assertionType})
			return err == nil
		}
		for _, step := range []struct {
			keys      []signer
			old, next bool
		}{{[]signer{old}, true, false}, {[]signer{old, next}, true, true}, {[]signer{next}, false, true}} {
			snapshot, err := clients.Prepare([]clients.Registration{signing("etl", keySet(t, step.keys...))})
			if err != nil {
				t.Fatal(err)
			}
			registry.Commit(snapshot)
			if works(old) != step.old || works(next) != step.next {
				t.Errorf("with %d keys: old %v, next %v", len(step.keys), works(old), works(next))
			}
		}
	}
}

func TestPrepareRefusesKeys(t *testing.T) {
	es := func() signer { return newSigner(t, "k", jose.ES256) }
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: es().key, KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		set  []byte
		want string
	}{
		{"nothing", nil, "jwks_file"},
		{"no keys", []byte(`{"keys":[]}`), "no key"},
		{"a symmetric key", []byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`), "kty"},
		{"a private key", private, "private"},
		{"three keys", keySet(t, es(), es(), es()), "3 keys for ES256"},
		{"a curve for nothing here", keySet(t, newSigner(t, "k", jose.ES384)), "none of"},
	} {
		if _, err := clients.Prepare([]clients.Registration{signing("etl", row.set)}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if _, err := clients.Prepare([]clients.Registration{signing("etl", keySet(t, es(), es(), newSigner(t, "r", jose.RS256)))}); err != nil {
		t.Errorf("two keys of one kind and one of another: %v", err)
	}
}

// H24: a public client is told so, and nothing that it sends makes it more.
func TestPublicClient(t *testing.T) {
	registry, _ := assertions(t, clients.Registration{Client: exchange.Client{ID: "door"}, Method: clients.MethodNone})
	for _, row := range []struct {
		name string
		c    clients.Credentials
		code exchange.Code
	}{
		{"H24", clients.Credentials{ClientID: "door"}, exchange.CodeUnauthorizedClient},
		{"with a certificate", clients.Credentials{ClientID: "door", Forwarded: "x"}, exchange.CodeUnauthorizedClient},
		{"with a secret", clients.Credentials{ClientID: "door", ClientSecret: "x"}, exchange.CodeInvalidClient},
		{"with an empty secret", clients.Credentials{Authorization: basic("door", "")}, exchange.CodeInvalidClient},
		{"unknown", clients.Credentials{ClientID: "nobody"}, exchange.CodeInvalidClient},
	} {
		if c, err := registry.Authenticate(t.Context(), row.c); c != nil || exchange.AsError(err).Code != row.code {
			t.Errorf("%s: %+v, %v", row.name, c, err)
		}
	}
}

// FuzzAssertion holds that nobody gets in without a signature, whatever he writes, and that nothing of it is told.
func FuzzAssertion(f *testing.F) {
	key := newSigner(f, "1", jose.ES256)
	m := &marks{seen: map[string][2]time.Time{}}
	nobody := &verdict{err: exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonIssuerUnknown, "unknown")}
	registry := newRegistry(f, clients.Config{Issuer: issuer, TokenEndpoint: tokenEndpoint, Once: m, Verifier: nobody, Now: func() time.Time { return now }})
	snapshot, err := clients.Prepare([]clients.Registration{signing("etl", keySet(f, key)), federated("nightly", cluster, account)})
	if err != nil {
		f.Fatal(err)
	}
	registry.Commit(snapshot)
	good := newSigner(f, "1", jose.ES256).sign(f, "", claims(nil)).Reveal()
	f.Add(good, assertionType, "etl")
	f.Add(key.sign(f, "", map[string]any{"iss": cluster, "sub": account, "aud": issuer}).Reveal(), assertionType, "nightly")
	f.Add(key.sign(f, "JOSE", map[string]any{"sub": trustDomain + "/agent", "aud": issuer}).Reveal(), spiffeType, "")
	f.Add(key.sign(f, "", map[string]any{"iss": []any{}, "sub": []any{}}).Reveal(), assertionType, "")
	f.Add("eyJhbGciOiJub25lIn0.e30.", assertionType, "")
	f.Add("a.b.c", "", "")
	f.Fuzz(func(t *testing.T, assertion, kind, id string) {
		c, err := registry.Authenticate(t.Context(), clients.Credentials{Assertion: exchange.Secret(assertion), AssertionType: kind, ClientID: id})
		if c != nil || err == nil {
			t.Fatalf("%q got in", assertion)
		}
		if len(assertion) > 40 && strings.Contains(err.Error(), assertion) {
			t.Fatalf("%q is told", assertion)
		}
	})
}

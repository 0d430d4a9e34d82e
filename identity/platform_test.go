package identity_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// cluster is a Kubernetes API server, as far as its keys go: TLS by its own CA, and keys for who has a token.
type cluster struct {
	*httptest.Server
	keySet string
	token  atomic.Pointer[string] // the one that it takes
	asked  atomic.Int64
	seen   atomic.Pointer[string] // the Authorization header of the last request
	handle atomic.Pointer[http.HandlerFunc]
}

func newCluster(t *testing.T, keySet string) *cluster {
	t.Helper()
	k := &cluster{keySet: keySet}
	k.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		authorization := r.Header.Get("Authorization")
		k.seen.Store(&authorization)
		switch handle := k.handle.Load(); {
		case handle != nil:
			(*handle)(w, r)
		case authorization != "Bearer "+*k.token.Load():
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = io.WriteString(w, k.keySet)
		}
	}))
	k.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(k.Close)
	return k
}

func (k *cluster) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw}))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The keys of a cluster are asked for with its CA and a token, both as their files are at that moment.
func TestClusterKeys(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	k := newCluster(t, `{"keys":[`+jwk(t, "k1", p.key.Public())+`]}`)
	first, second := "first.token-0123456789", "second.token-0123456789"
	k.token.Store(&first)
	caFile, tokenFile := filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "token")
	write(t, caFile, k.ca())
	write(t, tokenFile, first+"\n")

	provider := p.provider()
	provider.JWKSURI, provider.JWKSCAFile, provider.JWKSTokenFile = k.URL+"/openid/v1/jwks", caFile, tokenFile
	var log bytes.Buffer
	pool, err := identity.New(identity.Config{Now: c.Now, Providers: []identity.Provider{provider}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(step, fault string) {
		t.Helper()
		switch err := pool.Refresh(t.Context()); {
		case fault == "" && err != nil, fault != "" && (err == nil || !strings.Contains(err.Error(), fault)):
			t.Errorf("%s: %v, want one about %q", step, err, fault)
		case err != nil && (strings.Contains(err.Error(), first) || strings.Contains(err.Error(), second)):
			t.Errorf("%s: the error holds the token", step)
		}
	}
	refresh("the first fetch", "")
	if _, err := verify(t, pool, p.good(t)); err != nil {
		t.Fatal(err)
	}

	k.token.Store(&second)
	refresh("a token that has expired", "401")
	write(t, tokenFile, second)
	refresh("its successor", "")
	for name, text := range map[string]string{"empty": "\n", "two lines": second + "\n" + second, "too long": strings.Repeat("x", 20<<10)} {
		write(t, tokenFile, text)
		before := k.asked.Load()
		refresh(name, "jwks_token_file")
		if k.asked.Load() != before {
			t.Errorf("%s: the cluster was asked all the same", name)
		}
	}
	write(t, tokenFile, second)

	other := newCluster(t, "")
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/keys", http.StatusFound) })
	k.handle.Store(&redirect)
	refresh("a redirect", "redirect")
	if other.asked.Load() != 0 {
		t.Error("a redirect was followed, with the token")
	}
	k.handle.Store(nil)

	asked := k.asked.Load()
	write(t, caFile, unrelatedCA(t))
	refresh("another CA", "certificate")
	if k.asked.Load() != asked {
		t.Error("the token was sent to a server that the CA does not vouch for")
	}
	write(t, caFile, "no certificate")
	refresh("no CA", "jwks_ca_file")
	if err := os.Remove(caFile); err != nil {
		t.Fatal(err)
	}
	refresh("the file is gone", "jwks_ca_file")
	if _, err := verify(t, pool, p.good(t)); err != nil {
		t.Errorf("the keys from before do not outlive the trouble: %v", err)
	}
	write(t, caFile, unrelatedCA(t)+k.ca())
	refresh("both CAs, as in a rotation", "")
	if got := *k.seen.Load(); got != "Bearer "+second {
		t.Errorf("sent %q", got)
	}
	if strings.Contains(log.String(), first) || strings.Contains(log.String(), second) {
		t.Error("the log holds the token")
	}
}

// unrelatedCA is a CA that vouches for nobody here.
func unrelatedCA(t *testing.T) string {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// never is a store of marks that nobody may ask.
type never struct{ t *testing.T }

func (n never) Claim(context.Context, string, time.Time, time.Time) (bool, error) {
	n.t.Error("a client's token was used up")
	return false, nil
}

func TestProviderFaultsOfPlatforms(t *testing.T) {
	p := newIDP(t, newClock())
	for name, c := range map[string]struct {
		change func(*identity.Provider)
		want   string
	}{
		"a token by discovery":          {func(p *identity.Provider) { p.JWKSURI, p.JWKSTokenFile = "", "token" }, "jwks_token_file needs"},
		"a token in the clear":          {func(p *identity.Provider) { p.JWKSURI, p.JWKSTokenFile = "http://127.0.0.1/keys", "token" }, "jwks_token_file needs"},
		"a CA beside a file":            {func(p *identity.Provider) { p.JWKSURI, p.JWKSFile, p.JWKSCAFile = "", "keys", "ca" }, "jwks_ca_file is for"},
		"a trust domain without bundle": {func(p *identity.Provider) { p.Issuer, p.TrustDomain, p.JWKSURI = "spiffe://a", "a", "" }, "trust bundle"},
		"another issuer":                {func(p *identity.Provider) { p.TrustDomain = "a" }, "trust_domain must"},
		"a trust domain in capitals":    {func(p *identity.Provider) { p.Issuer, p.TrustDomain = "spiffe://A", "A" }, "trust_domain must"},
		"another subject": {func(p *identity.Provider) {
			p.Issuer, p.TrustDomain, p.SubjectClaims = "spiffe://a", "a", map[exchange.TokenType]string{exchange.TypeJWT: "uid"}
		}, "subject_claim"},
	} {
		provider := p.provider()
		c.change(&provider)
		if _, err := identity.New(identity.Config{Providers: []identity.Provider{provider}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A JWT-SVID's issuer is its trust domain, whatever its iss says, and no other's keys make it good.
func TestJWTSVIDs(t *testing.T) {
	c := newClock()
	p, q := newIDP(t, c), newIDP(t, c)
	bundle := func(of *idp) {
		of.publish(strings.Replace(jwk(t, "k1", of.key.Public()), `"use":"sig"`, `"use":"jwt-svid"`, 1))
	}
	bundle(p)
	bundle(q)
	domain := func(of *idp, name string) identity.Provider {
		provider := of.provider()
		provider.Name, provider.Issuer, provider.TrustDomain = name, "spiffe://"+name+".example", name+".example"
		provider.TokenTypes = []exchange.TokenType{exchange.TypeJWT}
		return provider
	}
	plain := newIDP(t, c)
	pool := newPool(t, c, domain(p, "acme"), domain(q, "other"), plain.provider())

	const workload = "spiffe://acme.example/ns/data/sa/etl"
	svid := both(set("sub", workload), drop("iss"), drop("jti"), drop("azp"), drop("groups"))
	for _, test := range []struct {
		name   string
		key    *idp
		header func(object)
		claims func(object)
		want   exchange.Reason
		says   string
	}{
		{name: "good", claims: func(object) {}},
		{name: "SPIRE's own iss", claims: set("iss", "https://oidc-discovery.acme.example")},
		{name: "its trust domain as iss", claims: set("iss", "spiffe://acme.example")},
		{name: "typ JOSE", header: set("typ", "JOSE"), claims: func(object) {}},
		{name: "no typ", header: drop("typ"), claims: func(object) {}},
		{name: "no kid", header: drop("kid"), claims: func(object) {}},
		{name: "by another domain's key", key: q, claims: func(object) {}, want: exchange.ReasonSubjectTokenInvalid, says: "signature"},
		{name: "by an ordinary provider's key", key: plain, claims: func(object) {}, want: exchange.ReasonSubjectTokenInvalid, says: "signature"},
		{name: "another workload's domain under our iss", claims: both(set("iss", "spiffe://acme.example"), set("sub", "spiffe://other.example/x")), want: exchange.ReasonSubjectTokenInvalid, says: "another trust domain"},
		{name: "no SPIFFE ID under our iss", claims: both(set("iss", "spiffe://acme.example"), set("sub", "alice")), want: exchange.ReasonSubjectTokenInvalid, says: "SPIFFE ID"},
		{name: "an ordinary provider's iss", claims: set("iss", issuer), want: exchange.ReasonSubjectTokenInvalid, says: "signature"},
		{name: "an iss that is no text", claims: set("iss", 1), want: exchange.ReasonSubjectTokenInvalid, says: "iss"},
		{name: "a domain that is not configured", claims: set("sub", "spiffe://acme.example.evil/x"), want: exchange.ReasonSubjectTokenInvalid, says: "no iss"},
		{name: "capitals in the domain", claims: set("sub", "spiffe://ACME.example/x"), want: exchange.ReasonSubjectTokenInvalid, says: "no iss"},
		{name: "a path with dots", claims: set("sub", "spiffe://acme.example/x/../y"), want: exchange.ReasonSubjectTokenInvalid, says: "no iss"},
		{name: "the domain itself", claims: set("sub", "spiffe://acme.example"), want: exchange.ReasonSubjectTokenInvalid, says: "no iss"},
		{name: "longer than a subject", claims: set("sub", "spiffe://acme.example/"+strings.Repeat("x", 255)), want: exchange.ReasonSubjectTokenInvalid, says: "255"},
		{name: "no iat", claims: drop("iat"), want: exchange.ReasonSubjectTokenInvalid, says: "iat"},
		{name: "no exp", claims: drop("exp"), want: exchange.ReasonSubjectTokenInvalid, says: "exp"},
		{name: "no aud", claims: drop("aud"), want: exchange.ReasonSubjectTokenInvalid, says: "aud"},
		{name: "typ of something else", header: set("typ", "wit+jwt"), claims: func(object) {}, want: exchange.ReasonSubjectTokenInvalid, says: "typ"},
		{name: "at+jwt", header: set("typ", "at+jwt"), claims: func(object) {}, want: exchange.ReasonSubjectTokenInvalid, says: "access token"},
	} {
		header, claims, key := goodHeader(), goodClaims(c), p
		if test.header != nil {
			test.header(header)
		}
		if test.key != nil {
			key = test.key
		}
		both(svid, test.claims)(claims)
		got, err := verify(t, pool, sign(t, key.key, header, claims))
		wantReason(t, test.name, err, test.want)
		switch {
		case err != nil && !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: %v, want one about %q", test.name, err, test.says)
		case err == nil && (got.Issuer != "spiffe://acme.example" || got.Subject != workload || got.Provider != "acme"):
			t.Errorf("%s: it is %s of %s", test.name, got.Subject, got.Issuer)
		}
	}
}

// A provider that becomes one of another kind, at the same address and under the same name, has neither the keys nor the
// tokens of before.
func TestProviderChangesKind(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	p.publish(strings.Replace(jwk(t, "svid", p.key.Public()), `"use":"sig"`, `"use":"jwt-svid"`, 1), jwk(t, "plain", rsaKey().Public()))
	plain := p.provider()
	domain := p.provider()
	domain.Issuer, domain.TrustDomain, domain.TokenTypes = "spiffe://acme.example", "acme.example", []exchange.TokenType{exchange.TypeJWT}
	headed := func(algorithm, kid string) object { return object{"alg": algorithm, "kid": kid} }
	svid := both2(goodClaims(c), set("sub", "spiffe://acme.example/etl"))
	workload, person := sign(t, p.key, headed("ES256", "svid"), svid), sign(t, rsaKey(), headed("RS256", "plain"), goodClaims(c))
	crossed := []string{sign(t, rsaKey(), headed("RS256", "plain"), both2(svid, drop("iss"))), sign(t, p.key, headed("ES256", "svid"), goodClaims(c))}

	pool := newPool(t, c, domain)
	for round, step := range []struct {
		of        identity.Provider
		good, bad string
	}{{domain, workload, person}, {plain, person, crossed[1]}, {domain, workload, crossed[0]}, {plain, person, crossed[1]}} {
		prepared, err := pool.Prepare([]identity.Provider{step.of})
		if err != nil {
			t.Fatal(err)
		}
		prepared.Commit()
		for range 2 {
			if got, err := verify(t, pool, step.good); err != nil || got.Issuer != step.of.Issuer {
				t.Errorf("round %d: %+v, %v", round, got, err)
			}
			if got, err := verify(t, pool, step.bad); err == nil {
				t.Errorf("round %d: %s of %s is accepted", round, got.Subject, got.Issuer)
			}
		}
	}
}

// A service account's token of the old kind has the same issuer in every cluster, and never expires.
func TestLegacyServiceAccountToken(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	claims := object{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:data:etl", "kubernetes.io/serviceaccount/namespace": "data"}
	_, err := verify(t, newPool(t, c, p.provider()), sign(t, p.key, goodHeader(), claims))
	wantReason(t, "legacy", err, exchange.ReasonIssuerUnknown)
	if err == nil || !strings.Contains(err.Error(), "projected") {
		t.Errorf("%v does not say what to do", err)
	}
}

// A token that authenticates a client is for us alone, and never passes for a subject's, nor the other way round.
func TestClientUse(t *testing.T) {
	const us = "https://sts.example"
	c := newClock()
	p := newIDP(t, c)
	once := p.provider()
	once.Name, once.Issuer, once.SingleUse = "once", "https://once.example", true
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{p.provider(), once}, ClientAudience: us, Once: never{t}})
	as := func(use exchange.Use, typ exchange.TokenType, header, claims func(object)) error {
		h, o := goodHeader(), goodClaims(c)
		header(h)
		claims(o)
		_, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(sign(t, p.key, h, o)), Type: typ}, use)
		return err
	}
	same := func(object) {}
	for _, test := range []struct {
		name           string
		header, claims func(object)
		typ            exchange.TokenType
		want           exchange.Reason
	}{
		{"good", same, set("aud", us), exchange.TypeJWT, ""},
		{"good, as Kubernetes has it", same, set("aud", []string{us}), exchange.TypeJWT, ""},
		{"of a provider of tokens for a single use", same, both(set("aud", us), set("iss", once.Issuer)), exchange.TypeJWT, ""},
		{"a subject's audience", same, same, exchange.TypeJWT, exchange.ReasonClientAuthenticationFailed},
		{"ours and a subject's", same, set("aud", []string{us, audience}), exchange.TypeJWT, exchange.ReasonClientAuthenticationFailed},
		{"ours twice", same, set("aud", []string{us, us}), exchange.TypeJWT, exchange.ReasonClientAuthenticationFailed},
		{"ours and a slash", same, set("aud", us+"/"), exchange.TypeJWT, exchange.ReasonClientAuthenticationFailed},
		{"no audience", same, drop("aud"), exchange.TypeJWT, exchange.ReasonClientAuthenticationFailed},
		{"an ID token", same, both(set("aud", us), set("nonce", "n")), exchange.TypeJWT, exchange.ReasonSubjectTokenInvalid},
		{"an access token", set("typ", "at+jwt"), set("aud", us), exchange.TypeJWT, exchange.ReasonSubjectTokenInvalid},
		{"expired", same, both(set("aud", us), in("exp", -1)), exchange.TypeJWT, exchange.ReasonSubjectTokenExpired},
	} {
		wantReason(t, test.name, as(exchange.UseClient, test.typ, test.header, test.claims), test.want)
	}
	// What was verified for one use isn't found for another.
	wantReason(t, "a client's token as a subject's", as(exchange.UseSubject, exchange.TypeJWT, same, set("aud", us)), exchange.ReasonSubjectTokenInvalid)
	wantReason(t, "a subject's token", as(exchange.UseSubject, exchange.TypeJWT, same, same), "")
	token := exchange.Presented{Token: exchange.Secret(sign(t, p.key, goodHeader(), both2(goodClaims(c), set("aud", us)))), Type: exchange.TypeJWT}
	for range 2 {
		_, err := pool.Verify(t.Context(), token, exchange.UseClient)
		wantReason(t, "used again", err, "")
		for _, use := range []exchange.Use{exchange.UseSubject, exchange.UseActor, exchange.UseBearer, exchange.UseExplain} {
			if _, err := pool.Verify(t.Context(), token, use); err == nil {
				t.Errorf("a token that was verified for a client is one for a %s", use)
			}
		}
	}
	c.move(time.Hour)
	_, err := pool.Verify(t.Context(), token, exchange.UseClient)
	wantReason(t, "later", err, exchange.ReasonSubjectTokenExpired)

	nobody := newPool(t, c, p.provider())
	_, err = nobody.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(sign(t, p.key, goodHeader(), both2(goodClaims(c), set("aud", "")))), Type: exchange.TypeJWT}, exchange.UseClient)
	wantReason(t, "without an issuer of ours", err, exchange.ReasonClientAuthenticationFailed)
}

package idp_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func start(t *testing.T, issuers ...idp.IssuerConfig) *idp.Server {
	t.Helper()
	s, err := idp.New(idp.Config{Issuers: issuers, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, resp.StatusCode, err)
	}
}

// published fetches the keys the way a verifier does.
func published(t *testing.T, i *idp.Issuer) jose.JSONWebKeySet {
	t.Helper()
	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	get(t, i.URL()+"/.well-known/openid-configuration", &discovery)
	if discovery.Issuer != i.URL() {
		t.Fatalf("discovery document of %s says issuer %s", i.URL(), discovery.Issuer)
	}
	var keys jose.JSONWebKeySet
	get(t, discovery.JWKSURI, &keys)
	return keys
}

var allAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// verifies reports whether a lenient library accepts the token under one of the issuer's published keys.
func verifies(keys jose.JSONWebKeySet, token string) bool {
	jws, err := jose.ParseSignedCompact(token, allAlgorithms)
	if err != nil {
		return false
	}
	for _, k := range keys.Key(jws.Signatures[0].Header.KeyID) {
		if _, err := jws.Verify(k); err == nil {
			return true
		}
	}
	return false
}

func decode(t *testing.T, token string) (header, payload string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts in %s", len(parts), token)
	}
	var texts [2]string
	for i := range texts {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	return texts[0], texts[1]
}

func TestGoodTokens(t *testing.T) {
	s := start(t, idp.IssuerConfig{Name: "a", Audience: "aud"})
	for _, alg := range allAlgorithms {
		token := s.MustMint(idp.Token{Algorithm: string(alg)})
		if keys := published(t, s.Issuer("a")); !verifies(keys, token) {
			t.Errorf("%s: does not verify by %d keys", alg, len(keys.Keys))
		}
	}
	header, payload := decode(t, s.MustMint(idp.Token{
		Claims:   map[string]any{"sub": "ada", "groups": []string{"g"}, "jti": nil},
		Header:   map[string]any{"typ": "at+jwt", "kid": nil},
		Lifetime: 10 * time.Minute,
	}))
	var got map[string]any
	if err := json.Unmarshal([]byte(payload), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": s.URL() + "/a", "sub": "ada", "aud": "aud", "groups": []any{"g"},
		"iat": float64(now.Unix()), "exp": float64(now.Unix() + 600),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if header != `{"alg":"RS256","typ":"at+jwt"}` {
		t.Errorf("header %s", header)
	}
}

func TestBadTokens(t *testing.T) {
	s := start(t, idp.IssuerConfig{Name: "a"}, idp.IssuerConfig{Name: "b"})
	other, err := s.Issuer("a").AddKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		token idp.Token
	}{
		{"none", idp.Token{Algorithm: "none"}},
		{"nOnE", idp.Token{Algorithm: "nOnE"}},
		{"confused", idp.Token{Algorithm: "HS256"}},
		{"forged", idp.Token{Forged: true}},
		{"forged ES256", idp.Token{Algorithm: "ES256", Forged: true}},
		{"unpublished key", idp.Token{Key: other}},
		{"unknown kid", idp.Token{Header: map[string]any{"kid": "../../etc"}}},
		{"another issuer's key", idp.Token{Issuer: "b"}},
		{"alg of another family", idp.Token{Header: map[string]any{"alg": "ES256"}}},
		{"raw header", idp.Token{RawHeader: `{"alg":"none"}`}},
		{"signature", idp.Token{Tamper: idp.TamperSignature}},
		{"payload", idp.Token{Tamper: idp.TamperPayload}},
		{"header", idp.Token{Tamper: idp.TamperHeader}},
		{"strip", idp.Token{Tamper: idp.TamperStrip}},
		{"DER", idp.Token{Algorithm: "ES256", Tamper: idp.TamperDER}},
	}
	keys := published(t, s.Issuer("a"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if token := s.MustMint(tt.token); verifies(keys, token) {
				t.Errorf("verifies: %s", token)
			}
		})
	}
}

// What only a strict verifier refuses: the twin of each token is the same but for one thing, and accepted.
func TestTokensForStrictVerifiers(t *testing.T) {
	s := start(t)
	issuer := s.Issuer("")
	good := s.MustMint(idp.Token{Claims: map[string]any{"jti": "1"}})
	odd := s.MustMint(idp.Token{Claims: map[string]any{"jti": "1"}, Tamper: idp.TamperNoncanonical})
	if odd == good || odd[:len(odd)-1] != good[:len(good)-1] {
		t.Errorf("noncanonical: %s", odd[len(odd)-5:])
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(odd[strings.LastIndexByte(odd, '.')+1:]); err == nil {
		t.Error("noncanonical: a strict decoder takes it")
	}
	if padded := s.MustMint(idp.Token{Tamper: idp.TamperPadding}); !strings.HasSuffix(padded, "=") {
		t.Errorf("padding: %s", padded[len(padded)-5:])
	}
	salted := s.MustMint(idp.Token{Algorithm: "PS256", SaltLength: 20})
	if !verifies(published(t, issuer), salted) { // go-jose accepts any salt
		t.Error("odd salt: not a signature at all")
	}
	_, payload := decode(t, s.MustMint(idp.Token{RawPayload: `{"sub":"a","sub":"b"}`}))
	if payload != `{"sub":"a","sub":"b"}` {
		t.Errorf("raw payload became %s", payload)
	}
}

func TestRotation(t *testing.T) {
	s := start(t, idp.IssuerConfig{Name: "a", Algorithms: []string{"ES256"}})
	issuer := s.Issuer("a")
	kids := func() []string {
		var kids []string
		for _, k := range published(t, issuer).Keys {
			kids = append(kids, k.KeyID)
		}
		return kids
	}
	first := issuer.KeyID("ES256")
	before := s.MustMint(idp.Token{})
	second, err := issuer.Rotate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	if got := kids(); !slices.Equal(got, []string{first, second}) || issuer.KeyID("ES256") != second {
		t.Errorf("after rotation %v, signing %s", got, issuer.KeyID("ES256"))
	}
	if keys := published(t, issuer); !verifies(keys, before) || !verifies(keys, s.MustMint(idp.Token{})) {
		t.Error("old or new token does not verify during the overlap")
	}
	if err := issuer.Withdraw(first); err != nil {
		t.Fatal(err)
	}
	if verifies(published(t, issuer), before) {
		t.Error("a withdrawn key still verifies")
	}
	third, err := issuer.AddKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	if got := kids(); !slices.Equal(got, []string{second}) || issuer.KeyID("ES256") != second {
		t.Errorf("an unpublished key shows: %v", got)
	}
	if err := issuer.Publish(third); err != nil || issuer.KeyID("ES256") != third {
		t.Errorf("published key does not sign: %v", err)
	}
	if err := issuer.Withdraw("nope"); err == nil {
		t.Error("withdrew a key that doesn't exist")
	}
}

func TestRefusedRecipes(t *testing.T) {
	s := start(t)
	for name, token := range map[string]idp.Token{
		"unknown issuer":        {Issuer: "nope"},
		"unknown algorithm":     {Algorithm: "ES256K"},
		"unknown key":           {Key: "nope"},
		"algorithm against key": {Algorithm: "PS256", Key: s.Issuer("").KeyID("ES256")},
		"unknown tampering":     {Tamper: "nope"},
		"nothing to tamper":     {Algorithm: "none", Tamper: idp.TamperSignature},
		"short algorithm":       {Algorithm: "X", Key: s.Issuer("").KeyID("ES256")},
	} {
		if got, err := s.Mint(token); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{"", "A", "a/", "/a", "a//b", "..", "{x}"} {
		if _, err := idp.New(idp.Config{Issuers: []idp.IssuerConfig{{Name: name}}}); err == nil {
			t.Errorf("issuer %q was taken", name)
		}
	}
}

func TestMintMany(t *testing.T) {
	s := start(t, idp.IssuerConfig{Name: "a", Algorithms: []string{"ES256"}})
	tokens, err := s.MintMany(100, func(i int) idp.Token { return idp.Token{Claims: map[string]any{"sub": i}} })
	if err != nil {
		t.Fatal(err)
	}
	for i, token := range tokens {
		_, payload := decode(t, token)
		var claims struct{ Sub int }
		if err := json.Unmarshal([]byte(payload), &claims); err != nil || claims.Sub != i {
			t.Fatalf("token %d: %s, %v", i, payload, err)
		}
	}
	if got := s.Secrets(); len(got) != 100 {
		t.Errorf("%d tokens are remembered", len(got))
	}
	if _, err := s.MintMany(3, func(int) idp.Token { return idp.Token{Issuer: "nope"} }); err == nil {
		t.Error("no error from a bad recipe")
	}
}

func TestClaimedIssuer(t *testing.T) {
	s := start(t, idp.IssuerConfig{Name: "a", Issuer: "https://idp.acme.example/x"})
	if _, payload := decode(t, s.MustMint(idp.Token{})); !strings.Contains(payload, `"iss":"https://idp.acme.example/x"`) {
		t.Errorf("payload %s", payload)
	}
	var keys jose.JSONWebKeySet
	if get(t, s.Issuer("a").JWKSURI(), &keys); len(keys.Keys) != 2 {
		t.Errorf("%d keys", len(keys.Keys))
	}
}

func TestFaultsOfDiscoveryAndKeys(t *testing.T) {
	s := start(t, idp.IssuerConfig{Name: "a"}, idp.IssuerConfig{Name: "b"})
	s.AddFault(emulator.Fault{Route: s.Issuer("a").JWKSRoute(), Status: 500})
	s.AddFault(emulator.Fault{Route: s.Issuer("a").DiscoveryRoute(), Set: map[string]json.RawMessage{"issuer": json.RawMessage(`"evil"`)}})
	resp, err := http.Get(s.Issuer("a").JWKSURI())
	if err != nil || resp.StatusCode != 500 {
		t.Errorf("keys: %v, %v", resp, err)
	}
	var discovery map[string]any
	if get(t, s.Issuer("a").URL()+"/.well-known/openid-configuration", &discovery); discovery["issuer"] != "evil" {
		t.Errorf("discovery: %v", discovery)
	}
	if published(t, s.Issuer("b")); s.Totals()[s.Issuer("b").JWKSRoute()].OK != 1 {
		t.Errorf("totals: %v", s.Totals())
	}
}

func TestControl(t *testing.T) {
	s := start(t)
	post := func(path, accept, body string) (int, string) {
		req, _ := http.NewRequest(http.MethodPost, s.URL()+"/_emulator/"+path, strings.NewReader(body))
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	status, token := post("tokens", "text/plain", `{"claims":{"sub":"ada","exp":1.7e9},"lifetime":"5m","algorithm":"ES256"}`)
	if status != 200 || !verifies(published(t, s.Issuer("")), token) {
		t.Fatalf("%d %s", status, token)
	}
	if _, payload := decode(t, token); !strings.Contains(payload, `"exp":1.7e9`) {
		t.Errorf("a number was rewritten: %s", payload)
	}
	status, answer := post("tokens", "*/*", `{}`)
	var in struct{ Token string }
	if err := json.Unmarshal([]byte(answer), &in); err != nil || status != 200 || !verifies(published(t, s.Issuer("")), in.Token) {
		t.Errorf("%d %s", status, answer)
	}
	for _, tt := range []struct {
		path, body string
		want       int
	}{
		{"tokens", `{"issuer":"nope"}`, 400},
		{"tokens", `{"sub":"ada"}`, 400},
		{"keys", `{"action":"rotate","algorithm":"ES256"}`, 200},
		{"keys", `{"action":"add","algorithm":"EdDSA"}`, 200},
		{"keys", `{"action":"withdraw","kid":"nope"}`, 400},
		{"keys", `{"action":"melt"}`, 400},
		{"keys", `{"action":"rotate","issuer":"nope"}`, 400},
	} {
		if status, answer := post(tt.path, "*/*", tt.body); status != tt.want {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, status, answer)
		}
	}
	if got := len(published(t, s.Issuer("")).Keys); got != 3 {
		t.Errorf("%d keys after one rotation", got)
	}
}

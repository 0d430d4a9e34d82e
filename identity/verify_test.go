package identity_test

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

func TestVerifyFillsTheIdentity(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPool(t, c, p.provider())
	token := p.good(t)
	got, err := verify(t, pool, token)
	if err != nil {
		t.Fatal(err)
	}
	now := c.Now()
	want := &exchange.Identity{
		Provider: "okta", Issuer: issuer, Subject: "alice", Party: "gateway-web", TokenType: exchange.TypeJWT, TokenID: "j1",
		TokenSHA256: sha256.Sum256([]byte(token)), IssuedAt: now, Expiry: now.Add(30 * time.Minute),
		Groups: exchange.Groups{Known: true, Names: []string{"data", "ml"}},
		Claims: map[string]any{
			"iss": issuer, "sub": "alice", "aud": audience, "iat": now.Unix(), "exp": now.Unix() + 1800, "jti": "j1",
			"azp": "gateway-web", "groups": []any{"ml", "data", "ml"},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(exchange.Identity{}), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Error(diff)
	}
}

// attack is a token that differs from the good one in one thing.
type attack struct {
	name     string
	header   func(object)
	claims   func(object)
	text     func(string) string
	provider func(*identity.Provider)
	declared exchange.TokenType // default jwt
	want     exchange.Reason    // "" where it is none
}

func set(name string, value any) func(object) { return func(o object) { o[name] = value } }
func drop(name string) func(object)           { return func(o object) { delete(o, name) } }

// in sets a date that many seconds from now.
func in(name string, seconds float64) func(object) {
	return func(o object) { o[name] = float64(newClock().Now().Unix()) + seconds }
}

func both(changes ...func(object)) func(object) {
	return func(o object) {
		for _, change := range changes {
			change(o)
		}
	}
}

func requireATJWT(p *identity.Provider) { p.RequireTyp = "at+jwt" }

// splitSubject is a provider that names people otherwise in its access tokens.
func splitSubject(p *identity.Provider) {
	p.SubjectClaims = map[exchange.TokenType]string{exchange.TypeAccessToken: "uid", exchange.TypeIDToken: "sub"}
}

func TestVerify(t *testing.T) {
	const (
		invalid     = exchange.ReasonSubjectTokenInvalid
		expired     = exchange.ReasonSubjectTokenExpired
		notYet      = exchange.ReasonSubjectTokenNotYetValid
		unknown     = exchange.ReasonIssuerUnknown
		constrained = exchange.ReasonSenderConstrained
		groups      = exchange.ReasonGroupsMalformed
		access      = exchange.TypeAccessToken
		id          = exchange.TypeIDToken
	)
	attacks := []attack{
		{name: "good"},
		{name: "good, no typ", header: drop("typ")},

		{name: "C10 opaque", text: func(string) string { return "dapi0123456789abcdef" }, want: invalid},
		{name: "C11 at+jwt as ID token", header: set("typ", "at+jwt"), declared: id, want: invalid},
		{name: "C11 application/AT+JWT as ID token", header: set("typ", "application/AT+JWT"), declared: id, want: invalid},
		{name: "C11 twin: at+jwt as access token", header: set("typ", "application/AT+JWT"), declared: access},
		{name: "C12 ID token where at+jwt is asked for", claims: set("at_hash", "x"), provider: requireATJWT, declared: access, want: invalid},
		{name: "C12 ID token by nonce as access token", claims: set("nonce", "x"), declared: access, want: invalid},
		{name: "C12 twin: at+jwt", header: set("typ", "at+jwt"), provider: requireATJWT, declared: access},
		{name: "C12 plain JWT where at+jwt is asked for", provider: requireATJWT, declared: access, want: invalid},
		{name: "C12 twin: nonce as ID token", claims: set("nonce", "x"), declared: id},
		{name: "C18 plain as access token", declared: access},
		{name: "C18 plain as ID token", declared: id},
		{name: "C18 at+jwt as jwt", header: set("typ", "at+jwt"), want: invalid},
		{name: "C18 at_hash as jwt", claims: set("at_hash", "x"), want: invalid},
		{name: "C18 nonce as jwt", claims: set("nonce", "x"), want: invalid},
		{name: "C18 Keycloak's access token as ID token", claims: set("typ", "Bearer"), declared: id, want: invalid},
		{name: "C18 Keycloak's access token with nonce", claims: both(set("typ", "Bearer"), set("nonce", "x")), declared: access},
		{name: "C18 Keycloak's ID token as access token", claims: set("typ", "ID"), declared: access, want: invalid},
		{name: "C18 Cognito's ID token as access token", claims: set("token_use", "id"), declared: access, want: invalid},
		{name: "C18 logout token", header: set("typ", "logout+jwt"), want: invalid},
		{name: "C18 logout token without typ", claims: set("events", object{"http://schemas.openid.net/event/backchannel-logout": object{}}), declared: id, want: invalid},
		{name: "C18 Keycloak's refresh token", claims: set("typ", "Refresh"), want: invalid},
		{name: "C18 Keycloak's logout token", claims: set("typ", "Logout"), want: invalid},
		{name: "C18 security event", header: set("typ", "secevent+jwt"), declared: access, want: invalid},
		{name: "C18 type not of the provider", provider: func(p *identity.Provider) { p.TokenTypes = []exchange.TokenType{access} }, want: exchange.ReasonTokenTypeUnsupported},

		{name: "F01 none", header: set("alg", "none"), want: invalid},
		{name: "F01 none without signature", header: set("alg", "none"), text: func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }, want: invalid},
		{name: "F01 nOnE", header: set("alg", "nOnE"), want: invalid},
		{name: "F03 algorithm not of the provider", provider: func(p *identity.Provider) { p.Algorithms = []string{"RS256"} }, want: invalid},
		{name: "F03 HS256", header: set("alg", "HS256"), want: invalid},
		{name: "F03 the key of another algorithm", header: set("kid", "r1"), want: invalid},
		{name: "F04 unknown kid", header: set("kid", "k2"), want: invalid},
		{name: "F05 jku, x5u, jwk", header: both(set("jku", "http://127.0.0.1:1/"), set("x5u", "http://127.0.0.1:1/"))},
		{name: "F05 kid with a path", header: set("kid", "../../k1"), want: invalid},
		{name: "F05 kid with SQL", header: set("kid", "k1' OR '1'='1"), want: invalid},
		{name: "F05 no kid", header: drop("kid")},
		{name: "F05 crit", header: both(set("crit", []string{"exp"}), set("exp", 1)), want: invalid},
		{name: "F07 b64", header: set("b64", false), want: invalid},
		{name: "F08 JWE", text: func(s string) string { return s + ".AA.AA" }, want: invalid},
		{name: "F09 trailing slash", claims: set("iss", issuer+"/"), want: unknown},
		{name: "F09 letter case", claims: set("iss", "https://IDP.example"), want: unknown},
		{name: "F09 no iss", claims: drop("iss"), want: invalid},
		{name: "F09 iss of another type", claims: set("iss", []string{issuer}), want: invalid},
		{name: "F09 iss in another letter case of its name", claims: both(drop("iss"), set("ISS", issuer)), want: invalid},
		{name: "F11 no aud", claims: drop("aud"), want: invalid},
		{name: "F11 empty aud", claims: set("aud", []string{}), want: invalid},
		{name: "F11 null aud", claims: set("aud", nil), want: invalid},
		{name: "F12 another API", claims: set("aud", "gateway-web"), want: invalid},
		{name: "F12 a prefix of ours", claims: set("aud", audience+"/"), want: invalid},
		{name: "F13 array with ours", claims: set("aud", []string{"gateway-web", audience})},
		{name: "F13 array with something else", claims: set("aud", []any{audience, 1}), want: invalid},
		{name: "F13 object", claims: set("aud", object{audience: true}), want: invalid},
		{name: "F14 no exp", claims: drop("exp"), want: invalid},
		{name: "F14 null exp", claims: set("exp", nil), want: invalid},
		{name: "F16 expired within the leeway", claims: in("exp", -1), want: expired},
		{name: "F16 expires now", claims: in("exp", 0), want: expired},
		{name: "F16 expires within this second", claims: in("exp", 0.9), want: expired},
		{name: "F16 twin: one second left", claims: in("exp", 1)},
		{name: "F17 iat 4 s ahead", claims: in("iat", 4)},
		{name: "F17 nbf 30 s ahead", claims: in("nbf", 30)},
		{name: "F17 nbf 31 s ahead", claims: in("nbf", 31), want: notYet},
		{name: "F17 bad nbf", claims: set("nbf", "soon"), want: invalid},
		{name: "F18 iat 31 s ahead", claims: in("iat", 31), want: notYet},
		{name: "F18 iat far ahead", claims: in("iat", 1e6), want: notYet},
		{name: "F18 no iat", claims: drop("iat"), want: invalid},
		{name: "F18 as old as allowed", claims: in("iat", -86400)},
		{name: "F18 too old", claims: in("iat", -86401), want: expired},
		{name: "F19 float", claims: in("exp", 100.5)},
		{name: "F19 string", claims: set("exp", "1795521600"), want: invalid},
		{name: "F19 negative", claims: set("exp", -1), want: invalid},
		{name: "F19 huge", claims: set("exp", 1e300), want: invalid},
		{name: "F19 array", claims: set("exp", []int{1795521600}), want: invalid},
		{name: "F21 no sub", claims: drop("sub"), want: invalid},
		{name: "F21 empty sub", claims: set("sub", ""), want: invalid},
		{name: "F21 number", claims: set("sub", 7), want: invalid},
		{name: "F21 255 bytes", claims: set("sub", strings.Repeat("a", 255))},
		{name: "F21 256 bytes", claims: set("sub", strings.Repeat("a", 256)), want: invalid},
		{name: "F21 newline", claims: set("sub", "alice\n"), want: invalid},
		{name: "F21 NUL", claims: set("sub", "alice\x00"), want: invalid},
		{name: "F21 C1 control", claims: set("sub", "alice\u0085"), want: invalid},
		{name: "F21 Sub", claims: both(drop("sub"), set("Sub", "alice")), want: invalid},
		{name: "F22 string", claims: set("groups", "ml"), want: groups},
		{name: "F22 object", claims: set("groups", object{"ml": true}), want: groups},
		{name: "F22 array with a number", claims: set("groups", []any{"ml", 1}), want: groups},
		{name: "F22 array in an array", claims: set("groups", []any{[]string{"ml"}}), want: groups},
		{name: "F22 empty name", claims: set("groups", []string{""}), want: groups},
		{name: "F24 leading space", text: func(s string) string { return " " + s }, want: invalid},
		{name: "F24 trailing newline", text: func(s string) string { return s + "\n" }, want: invalid},
		{name: "F24 padding", text: func(s string) string { return s + "=" }, want: invalid},
		{name: "F24 extra dot", text: func(s string) string { return s + "." }, want: invalid},
		{name: "F25 larger than 16 KiB", claims: set("pad", strings.Repeat("a", 16<<10)), want: invalid},
		{name: "F27 DPoP", claims: set("cnf", object{"jkt": "x"}), want: constrained},
		{name: "F27 mutual TLS", claims: set("cnf", object{"x5t#S256": "x"}), want: constrained},
		{name: "F27 any other", claims: set("cnf", "x"), want: constrained},
		{name: "F30 our own token", claims: set("iss", "https://sts.acme.example"), want: unknown},
		{name: "F30 a token of Databricks", claims: set("iss", "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com/oidc"), want: unknown},

		{name: "jti of another type", claims: set("jti", 1), want: invalid},
		{name: "azp of another type", claims: set("azp", 1), want: invalid},
		{name: "P11 access token", claims: set("uid", "00u1"), provider: splitSubject, declared: access},
		{name: "P11 access token as ID token", claims: set("uid", "00u1"), provider: splitSubject, declared: id, want: invalid},
		{name: "P11 access token as jwt", claims: set("uid", "00u1"), provider: splitSubject, want: invalid},
		{name: "P11 ID token as access token", provider: splitSubject, declared: access, want: invalid},
		{name: "P11 ID token", provider: splitSubject, declared: id},
		{name: "P11 bad uid", claims: set("uid", "a\nb"), provider: splitSubject, declared: access, want: invalid},
	}
	c := newClock()
	idp := newIDP(t, c)
	for _, test := range attacks {
		t.Run(test.name, func(t *testing.T) {
			header, claims, provider := goodHeader(), goodClaims(c), idp.provider()
			if test.provider != nil {
				test.provider(&provider)
			}
			if test.header != nil {
				test.header(header)
			}
			if test.claims != nil {
				test.claims(claims)
			}
			token := sign(t, idp.key, header, claims)
			if test.text != nil {
				token = test.text(token)
			}
			declared := test.declared
			if declared == "" {
				declared = exchange.TypeJWT
			}
			pool := newPool(t, c, provider)
			presented := exchange.Presented{Token: exchange.Secret(token), Type: declared}
			got, err := pool.Verify(t.Context(), presented, exchange.UseSubject)
			wantReason(t, "subject", err, test.want)
			if err == nil && (got.TokenType != declared || got.Provider != "okta") {
				t.Errorf("identity of %s as %s", got.Provider, got.TokenType)
			}
			if err != nil {
				checkMessage(t, token, exchange.AsError(err))
			}
			_, err = pool.Verify(t.Context(), presented, exchange.UseActor)
			wantReason(t, "actor", err, actorTwin(test.want))
		})
	}
}

func actorTwin(r exchange.Reason) exchange.Reason {
	switch r {
	case exchange.ReasonSubjectTokenInvalid, exchange.ReasonSubjectTokenNotYetValid:
		return exchange.ReasonActorTokenInvalid
	case exchange.ReasonSubjectTokenExpired:
		return exchange.ReasonActorTokenExpired
	}
	return r
}

// checkMessage holds an error to what may be shown (RFC 6749 §5.2), and to showing nothing of the token.
func checkMessage(t *testing.T, token string, err *exchange.Error) {
	t.Helper()
	if err.Code != exchange.CodeInvalidRequest {
		t.Errorf("code %s", err.Code)
	}
	if strings.ContainsFunc(err.Message, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("the message %q holds what RFC 6749 does not allow", err.Message)
	}
	for _, secret := range append(strings.Split(token, "."), "alice", "gateway-web", "00u1", "ml") {
		if len(secret) > 2 && strings.Contains(err.Error(), secret) {
			t.Errorf("the message %q holds text of the token", err)
		}
	}
}

// F20: duplicates in text that no map can hold.
func TestVerifyRefusesDuplicates(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	pool := newPool(t, c, p.provider())
	const payload = `{"iss":"` + issuer + `","sub":"alice","aud":"` + audience + `","iat":1795521600,"exp":1795523400`
	const header = `{"alg":"ES256","kid":"k1"`
	for _, test := range []struct {
		name, header, claims string
		want                 exchange.Reason
	}{
		{"good", header + "}", payload + "}", ""},
		{"name in another letter case", header + "}", payload + `,"Sub":"bob","SUB":"eve"}`, ""},
		{"duplicate claim", header + "}", payload + `,"sub":"alice"}`, exchange.ReasonSubjectTokenInvalid},
		{"duplicate claim by an escape", header + "}", payload + `,"s\u0075b":"bob"}`, exchange.ReasonSubjectTokenInvalid},
		{"duplicate in a claim", header + "}", payload + `,"x":{"a":1,"a":1}}`, exchange.ReasonSubjectTokenInvalid},
		{"duplicate header", header + `,"kid":"k1"}`, payload + "}", exchange.ReasonSubjectTokenInvalid},
		{"number out of range", header + "}", payload + `,"x":1e400}`, exchange.ReasonSubjectTokenInvalid},
		{"32 deep", header + "}", payload + `,"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + "}", ""},
		{"33 deep", header + "}", payload + `,"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}", exchange.ReasonSubjectTokenInvalid},
		{"bytes behind", header + "}", payload + "}{}", exchange.ReasonSubjectTokenInvalid},
		{"invalid UTF-8", header + "}", payload + ",\"x\":\"\xff\"}", exchange.ReasonSubjectTokenInvalid},
	} {
		got, err := verify(t, pool, signText(t, p.key, test.header, test.claims))
		wantReason(t, test.name, err, test.want)
		if err == nil && got.Subject != "alice" {
			t.Errorf("%s: subject %s", test.name, got.Subject)
		}
	}
}

// Invariant 3: a key verifies only its own issuer's tokens, whatever its kid.
func TestKeysAreTheirIssuersOwn(t *testing.T) {
	c := newClock()
	one, other := newIDP(t, c), newIDP(t, c) // both call their key k1
	second := other.provider()
	second.Name, second.Issuer = "entra", "https://other.example"
	pool := newPool(t, c, one.provider(), second)
	claims := goodClaims(c)
	_, err := verify(t, pool, sign(t, one.key, goodHeader(), claims))
	wantReason(t, "its own key", err, "")
	_, err = verify(t, pool, sign(t, other.key, goodHeader(), claims))
	wantReason(t, "another issuer's key", err, exchange.ReasonSubjectTokenInvalid)
	claims["iss"] = "https://other.example"
	got, err := verify(t, pool, sign(t, other.key, goodHeader(), claims))
	wantReason(t, "the other issuer's token", err, "")
	if err == nil && got.Provider != "entra" {
		t.Errorf("provider %s", got.Provider)
	}
}

func TestPartyAndSubjectClaims(t *testing.T) {
	for _, test := range []struct {
		name           string
		claims         func(object)
		provider       func(*identity.Provider)
		declared       exchange.TokenType
		subject, party string
	}{
		{"azp before client_id", set("client_id", "batch"), nil, exchange.TypeJWT, "alice", "gateway-web"},
		{"client_id", both(drop("azp"), set("client_id", "batch")), nil, exchange.TypeJWT, "alice", "batch"},
		{"neither", drop("azp"), nil, exchange.TypeJWT, "alice", ""},
		{"null azp", both(set("azp", nil), set("client_id", "batch")), nil, exchange.TypeJWT, "alice", "batch"},
		{"a provider's own", both(drop("azp"), set("cid", "okta-app")), func(p *identity.Provider) { p.PartyClaims = []string{"azp", "cid"} }, exchange.TypeJWT, "alice", "okta-app"},
		{"P11 by access token", both(set("sub", "alice@acme"), set("uid", "00u1")), splitSubject, exchange.TypeAccessToken, "00u1", "gateway-web"},
		{"P11 by ID token", set("sub", "00u1"), splitSubject, exchange.TypeIDToken, "00u1", "gateway-web"},
	} {
		c := newClock()
		p := newIDP(t, c)
		provider, claims := p.provider(), goodClaims(c)
		if test.provider != nil {
			test.provider(&provider)
		}
		test.claims(claims)
		got, err := newPool(t, c, provider).Verify(t.Context(),
			exchange.Presented{Token: exchange.Secret(sign(t, p.key, goodHeader(), claims)), Type: test.declared}, exchange.UseSubject)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got.Subject != test.subject || got.Party != test.party {
			t.Errorf("%s: subject %q, party %q; want %q, %q", test.name, got.Subject, got.Party, test.subject, test.party)
		}
	}
}

// F22, F23
func TestGroups(t *testing.T) {
	known := func(names ...string) exchange.Groups { return exchange.Groups{Known: true, Names: names} }
	unknown, overage := exchange.Groups{}, exchange.Groups{Overage: true}
	nested := set("realm_access", object{"roles": []string{"b", "a"}})
	for _, test := range []struct {
		name, claim string
		claims      func(object)
		want        exchange.Groups
		reason      exchange.Reason
	}{
		{"sorted and unique", "", set("groups", []string{"b", "a", "b"}), known("a", "b"), ""},
		{"none", "", set("groups", []string{}), known(), ""},
		{"missing is unknown", "", drop("groups"), unknown, ""},
		{"null is unknown", "", set("groups", nil), unknown, ""},
		{"name in another letter case", "", both(drop("groups"), set("Groups", []string{"a"})), unknown, ""},
		{"dotted path", "realm_access.roles", nested, known("a", "b"), ""},
		{"JSON pointer", "/realm_access/roles", nested, known("a", "b"), ""},
		{"JSON pointer with escapes", "/a~1b/c~0d", set("a/b", object{"c~d": []string{"a"}}), known("a"), ""},
		{"namespaced", "https://acme.example/groups", set("https://acme.example/groups", []string{"a"}), known("a"), ""},
		{"path that ends early", "realm_access.roles", set("realm_access", object{}), unknown, ""},
		{"path that isn't there", "realm_access.roles", drop("groups"), unknown, ""},
		{"path through a string", "realm_access.roles", set("realm_access", "roles"), unknown, exchange.ReasonGroupsMalformed},
		{"path through an array", "/groups/0", set("groups", []string{"a"}), unknown, exchange.ReasonGroupsMalformed},
		{"F23 _claim_names", "", both(drop("groups"), set("_claim_names", object{"groups": "src1"})), overage, ""},
		{"F23 hasgroups", "", both(drop("groups"), set("hasgroups", true)), overage, ""},
		{"F23 hasgroups as text", "", both(drop("groups"), set("hasgroups", "true")), overage, ""},
		{"F23 beside groups", "", set("_claim_names", object{"groups": "src1"}), overage, ""},
		{"F23 malformed", "", set("_claim_names", "groups"), overage, ""},
		{"F23 of a claim that isn't groups", "", set("_claim_names", object{"roles": "src1"}), known("data", "ml"), ""},
		{"F23 of the claim that holds them", "roles", set("_claim_names", object{"roles": "src1"}), overage, ""},
		{"F23 not so", "", set("hasgroups", false), known("data", "ml"), ""},
	} {
		c := newClock()
		p := newIDP(t, c)
		provider, claims := p.provider(), goodClaims(c)
		provider.GroupsClaim = test.claim
		test.claims(claims)
		got, err := verify(t, newPool(t, c, provider), sign(t, p.key, goodHeader(), claims))
		wantReason(t, test.name, err, test.reason)
		if err == nil {
			if diff := cmp.Diff(test.want, got.Groups, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s", test.name, diff)
			}
		}
	}
}

// The one who reads the message must know which clock to mend.
func TestMessagesExplainClocks(t *testing.T) {
	for _, test := range []struct {
		name   string
		skew   time.Duration
		claims func(object)
		want   []string
	}{
		{"their clock is ahead", 94 * time.Second, in("iat", 94), []string{"not valid yet: the provider's clock is 94 s ahead of ours", "leeway is 30 s", "its iat is 94 s ahead", "clock_skew", "okta"}},
		{"a date in the year 9999", 0, set("nbf", 253402300799), []string{"its nbf is 9223372037 s ahead"}},
		{"clocks agree", 0, in("nbf", 94), []string{"not valid yet: its nbf is 94 s ahead", "agrees with ours", "made for later"}},
		{"their clock is behind", -time.Hour, in("exp", -42), []string{"expired 42 s ago", "the provider's clock is 3600 s behind ours"}},
		{"too old", 0, in("iat", -90000), []string{"issued 90000 s ago", "max_token_age", "86400 s"}},
		{"another audience", 0, set("aud", "x"), []string{audience, "okta"}},
		{"nearly the issuer", 0, set("iss", issuer+"/"), []string{"trailing slash", "okta"}},
	} {
		c := newClock()
		p := newIDP(t, c)
		p.skew = test.skew
		claims := goodClaims(c)
		test.claims(claims)
		_, err := verify(t, newPool(t, c, p.provider()), sign(t, p.key, goodHeader(), claims))
		for _, want := range test.want {
			if err == nil || !strings.Contains(exchange.AsError(err).Message, want) {
				t.Errorf("%s: %v does not say %q", test.name, err, want)
			}
		}
	}
}

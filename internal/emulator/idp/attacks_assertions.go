package idp

import (
	"fmt"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// AssertionAttackConfig says which client is attacked.
type AssertionAttackConfig struct {
	// Issuer is the issuer whose keys are the client's: its JWKS, once this has returned, is what is registered. Other is
	// the issuer whose keys are another client's.
	Issuer, Other string
	// Client and OtherClient are their ids.
	Client, OtherClient string
	// Audience is the service's own issuer identifier.
	Audience string
	// Canary is the URL of a server that nobody may ever call.
	Canary string
}

// AssertionAlgorithms are those that a client may sign by.
func AssertionAlgorithms() []string { return []string{"RS256", "PS256", "ES256", "EdDSA"} }

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// unproved is what whoever doesn't prove himself is told, whatever is the cause.
const unproved = "client authentication failed"

// AssertionAttacks makes client assertions (RFC 7523 §2.2) that must be refused, each with its twin. Twins are accepted
// once, as all assertions are; several attacks may have the same, or twins of the same jti.
func (s *Server) AssertionAttacks(c AssertionAttackConfig) ([]emulator.Attack, error) {
	f := &forger{
		srv: s, victim: s.Issuer(c.Issuer), other: s.Issuer(c.Other), canary: c.Canary, subject: c.Client, tokenType: assertionType,
		cause: causes{algorithm: "is not signed with one of", key: unproved, signature: unproved},
	}
	if err := f.takeKeys(AssertionAlgorithms()); err != nil {
		return nil, err
	}
	f.claims = func() map[string]any {
		now := s.Now().Unix()
		return map[string]any{"iss": c.Client, "sub": c.Client, "aud": c.Audience, "jti": randomHex(16), "iat": now, "exp": now + 120}
	}
	f.common()
	f.names("iss", "sub", "aud", "exp", "iat", "jti")
	f.clients(c)
	f.assertionClaims(c)
	f.assertionTimes()
	return f.list, f.err
}

// clients passes one client for another, and other kinds of tokens for assertions.
func (f *forger) clients(c AssertionAttackConfig) {
	es, twin := f.es(), f.good()
	theirs, err := f.other.find("ES256", "")
	if err != nil {
		f.fail(err)
		return
	}
	as := func(id string) change { return change{"iss": id, "sub": id} }
	f.add(unproved, "another client's key under its own kid", f.signed(theirs, f.header(theirs), f.payload()), twin)
	f.add(unproved, "another client's key under ours", f.signed(theirs, f.header(es), f.payload()), twin)
	f.add(unproved, "another client's key without kid", f.signed(theirs, f.header(es, change{"kid": nil}), f.payload()), twin)
	f.add(unproved, "nobody's key", f.signed(f.stranger, f.header(es), f.payload()), twin)
	f.add(unproved, "nobody's key without kid", f.signed(f.stranger, f.header(es, change{"kid": nil}), f.payload()), f.signed(es, f.header(es, change{"kid": nil}), f.payload()))
	f.add(unproved, "our key for another client", f.good(as(c.OtherClient)), f.signed(theirs, f.header(theirs), f.payload(as(c.OtherClient))))
	f.add(unproved, "for a client that isn't there", f.good(as("nobody")), twin)
	for _, id := range []string{strings.ToUpper(c.Client), c.Client + " ", c.Client + "\u0000", c.Client + "/", "*", ""} {
		f.add(unproved, fmt.Sprintf("client %q", id), f.good(as(id)), twin)
	}
	const both = "must have the client id as both iss and sub"
	for _, iss := range []string{`"` + c.OtherClient + `"`, `"` + c.Audience + `"`, `null`, `7`, `""`, `["` + c.Client + `"]`, `{}`, `"` + strings.ToUpper(c.Client) + `"`} {
		f.add(both, "iss "+iss, f.good(change{"iss": raw(iss)}), twin)
	}
	f.add(both, "no iss", f.good(change{"iss": nil}), twin)
	for _, sub := range []string{`null`, `7`, `""`, `["` + c.Client + `"]`, `{}`, `true`} {
		f.add(unproved, "sub "+sub, f.good(change{"sub": raw(sub)}), twin)
	}
	f.add(unproved, "no sub", f.good(change{"sub": nil}), twin)
	for _, name := range []string{"Sub", "SUB", "ſub", "sub ", `sub\u0000`} {
		f.add(unproved, name+" for sub", f.signed(es, f.header(es), strings.Replace(f.payload(), `"sub":`, `"`+name+`":`, 1)), twin)
	}
	for _, typ := range []string{"at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "id+jwt", "JWS", "jwt ", "client-authentication+jwt\u0000", "oauth-authz-req+jwt"} {
		f.add("has a typ that is not a client assertion's", fmt.Sprintf("typ %q", typ), f.signed(es, f.header(es, change{"typ": typ}), f.payload()), twin)
	}
	// What the provider gives its users is no client's credential (RFC 8725 §3.12), nor is what it gives his services.
	for name, claims := range map[string]change{
		"an ID token": {"nonce": "n", "aud": c.Client, "iss": f.victim.URL(), "sub": "alice"}, "an access token for us": {"iss": f.victim.URL(), "sub": "alice", "scope": "x"}, "a token of the client itself": {"iss": f.victim.URL()},
	} {
		cause := both
		if claims["sub"] != nil && claims["sub"] != c.Client {
			cause = unproved
		}
		f.add(cause, name, f.good(claims), twin)
	}
}

// assertionClaims are wrong in their audience or their jti.
func (f *forger) assertionClaims(c AssertionAttackConfig) {
	twin, own := f.good(), c.Audience
	const only = "as its only audience"
	for _, aud := range []string{
		`null`, `7`, `true`, `""`, `[]`, `{}`, `"*"`, `"` + own + `/"`, `"` + own + ` "`, `"` + strings.ToUpper(own) + `"`, `"` + own + `\u0000"`, `"` + own + `/oauth2/token"`, `"` + own + "," + own + `"`,
		`["` + own + `","https://other.example"]`, `["` + own + `","` + own + `"]`, `[["` + own + `"]]`, `["` + own + `",7]`, `{"` + own + `":true}`, `"https://other.example"`, `"` + c.Client + `"`,
	} {
		f.add(only, "aud "+aud, f.good(change{"aud": raw(aud)}), twin)
	}
	f.add(only, "no aud", f.good(change{"aud": nil}), twin)
	f.add(only, "AUD for aud", f.good(change{"aud": nil, "AUD": own}), twin)
	const jti = "must have a jti"
	for _, id := range []string{`null`, `7`, `true`, `""`, `[]`, `["x"]`, `{}`, `"` + strings.Repeat("j", 257) + `"`} {
		f.add(jti, "jti "+id[:min(len(id), 20)], f.good(change{"jti": raw(id)}), twin)
	}
	f.add(jti, "no jti", f.good(change{"jti": nil}), f.good(change{"jti": randomHex(16)}))
	used := f.good(change{"jti": "used"})
	f.add("was used before", "the same jti in another assertion", f.good(change{"jti": "used", "x": 1}), used)
}

// assertionTimes are no times, or the wrong ones.
func (f *forger) assertionTimes() {
	twin := f.good()
	now := f.srv.Now()
	at := func(name string, d time.Duration) change { return change{name: now.Add(d).Unix()} }
	for _, value := range []string{`null`, `"soon"`, `true`, `[]`, `{}`, `-1`, `1e300`, `9223372036854775807`, `""`} {
		f.add("must have an exp", "exp "+value, f.good(change{"exp": raw(value)}), twin)
		f.add("that is no time", "iat "+value, f.good(change{"iat": raw(value)}), twin)
		f.add("that is no time", "nbf "+value, f.good(change{"nbf": raw(value)}), twin)
	}
	f.add("out of range", "exp 1e400", f.good(change{"exp": raw("1e400")}), twin)
	f.add("must have an exp", "no exp", f.good(change{"exp": nil}), twin)
	f.add("must have an exp", "EXP for exp", f.good(change{"exp": nil, "EXP": now.Unix() + 60}), twin)
	for _, zero := range []string{"0", "-0", "0.0", "1e3"} {
		f.add("has expired", "exp "+zero, f.good(change{"exp": raw(zero)}), twin)
	}
	f.add("has expired", "expired a second ago", f.good(at("exp", -time.Second), at("iat", -time.Minute)), twin)
	f.add("lives longer", "for a day", f.good(at("exp", 24*time.Hour)), twin)
	f.add("lives longer", "for a day, without iat", f.good(at("exp", 24*time.Hour), change{"iat": nil}), f.good(at("exp", 10*time.Minute), change{"iat": nil}))
	f.add("lives longer", "since yesterday", f.good(at("iat", -24*time.Hour)), twin)
	f.add("ahead", "from the future, by iat", f.good(at("iat", 8*time.Minute), at("exp", 9*time.Minute)), twin)
	f.add("ahead", "from the future, by nbf", f.good(at("nbf", 8*time.Minute), at("exp", 9*time.Minute)), twin)
}

package idp

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// types passes one kind of token for another (RFC 8725 §3.11, §3.12).
func (f *forger) types() {
	es := f.es()
	of := func(typ string, claims ...change) string {
		return f.signed(es, f.header(es, change{"typ": typ}), f.payload(claims...))
	}
	const (
		isAccess  = "is an access token, by the marks it carries"
		isID      = "is an ID token, by the marks it carries"
		isForeign = "neither an access token nor an ID token"
	)
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"} {
		f.addOf(urnIDToken, isAccess, typ+" as an ID token", of(typ, change{"nonce": "n"}), of("JWT", change{"nonce": "n"}))
		f.addOf(urnJWT, isAccess, typ+" as a plain JWT", of(typ), of("JWT"))
	}
	for _, mark := range []string{"nonce", "at_hash", "c_hash"} {
		f.addOf(urnAccessToken, isID, "an ID token, by "+mark+", as an access token", of("JWT", change{mark: "n"}), of("JWT"))
		f.addOf(urnJWT, isID, "an ID token, by "+mark+", as a plain JWT", of("JWT", change{mark: "n"}), of("JWT"))
	}
	f.addOf(urnAccessToken, isID, "an ID token by token_use", of("JWT", change{"token_use": "id"}), of("JWT", change{"token_use": "access"}))
	f.addOf(urnIDToken, isAccess, "an access token by token_use", of("JWT", change{"token_use": "access"}), of("JWT", change{"token_use": "id"}))
	for _, typ := range []string{
		"logout+jwt", "secevent+jwt", "dpop+jwt", "rt+jwt", "refresh+jwt", "entity-statement+jwt", "oauth-authz-req+jwt", "client-authentication+jwt",
		"kb+jwt", "vc+sd-jwt", "token-introspection+jwt", "wit+jwt", "at+jwt ", "at+jwt\u0000", "application/jwt+x", "JWE", "x",
	} {
		for _, as := range []string{urnJWT, urnAccessToken, urnIDToken} {
			f.addOf(as, isForeign, fmt.Sprintf("typ %q as %s", typ, as[strings.LastIndexByte(as, ':')+1:]), of(typ), of("JWT"))
		}
	}
	for _, typ := range []string{"Refresh", "Offline", "Logout"} {
		f.add(isForeign, "claim typ "+typ, of("JWT", change{"typ": typ}), of("JWT"))
	}
	event := change{"events": change{"http://schemas.openid.net/event/backchannel-logout": change{}}}
	f.add(isForeign, "a logout token without its typ", of("JWT", event), of("JWT"))
	f.addOf(urnIDToken, isForeign, "a logout token with a nonce", of("JWT", event, change{"nonce": "n"}), of("JWT", change{"nonce": "n"}))
	for _, typ := range []string{`null`, `7`, `["JWT"]`, `{}`} {
		f.add("typ is not a string", "typ is "+typ, f.signed(es, f.header(es, change{"typ": raw(typ)}), f.payload()), of("JWT"))
	}
}

// claimTypes gives every claim every type of value that it can't have.
func (f *forger) claimTypes() {
	twin := f.good()
	values := map[string]string{
		"null": `null`, "true": `true`, "false": `false`, "a number": `7`, "a fraction": `1.5`, "an empty string": `""`, "an empty array": `[]`, "an empty object": `{}`,
		"an array of a number": `[7]`, "an array of null": `[null]`, "an array of an array": `[["x"]]`, "an array of an object": `[{}]`, "an object": `{"x":"y"}`,
	}
	claims := map[string]struct {
		cause string
		may   []string // values that are no attack
	}{
		"iss":    {"has an iss that is not a string", []string{"an empty string"}},
		"sub":    {"has no sub, or one that is empty or not a string", nil},
		"aud":    {"has no aud, or one that is neither a string nor an array of strings", []string{"an empty string", "an array of a number", "an array of null", "an array of an array", "an array of an object"}},
		"iat":    {"has a bad iat", []string{"a number", "a fraction"}},
		"exp":    {"has a bad exp", []string{"a number", "a fraction"}},
		"nbf":    {"has a bad nbf", []string{"a number", "a fraction"}},
		"jti":    {"has a jti that is not a string", []string{"null", "an empty string"}},
		"azp":    {"has a azp that is not a string", []string{"null", "an empty string"}},
		"groups": {"that is not an array of strings", []string{"null", "an empty array"}},
	}
	for claim, of := range claims {
		for name, value := range values {
			if !slices.Contains(of.may, name) {
				f.add(of.cause, claim+" is "+name, f.good(change{claim: raw(value)}), twin)
			}
		}
	}
	f.add("has no iss", "iss is an empty string", f.good(change{"iss": ""}), twin)
	for _, claim := range []string{"iss", "sub", "aud", "iat", "exp"} {
		f.add("has no "+claim, "no "+claim, f.good(change{claim: nil}), twin)
	}
	for name, value := range map[string]string{"one": `"admin"`, "an empty one among them": `["admin",""]`, "a number among them": `["admin",7]`, "null among them": `["admin",null]`} {
		f.add(claims["groups"].cause, "groups: "+name, f.good(change{"groups": raw(value)}), twin)
	}
	for name, value := range map[string]string{"NUL": "alice\u0000", "a line break": "alice\nbob", "an escape": "alice\x1b[31m", "a C1 control": "alice\u0085"} {
		f.add("has a sub with control characters", "sub with "+name, f.good(change{"sub": value}), twin)
	}
	f.add("has a sub of more than 255 bytes", "a long sub", f.good(change{"sub": strings.Repeat("a", 256)}), f.good(change{"sub": strings.Repeat("a", 255)}))
}

// bindings binds the token to a key of its sender (RFC 7800), in every form and in those that are none.
func (f *forger) bindings() {
	const thumbprint = `"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"`
	twin := f.good()
	for name, cnf := range map[string]string{
		"jkt": `{"jkt":` + thumbprint + `}`, "x5t#S256": `{"x5t#S256":` + thumbprint + `}`, "jwk": `{"jwk":{"kty":"OKP","crv":"Ed25519","x":` + thumbprint + `}}`,
		"kid": `{"kid":"k"}`, "jwe": `{"jwe":"a.b.c.d.e"}`, "jku": `{"jku":"` + f.canary + `/jwks"}`, "two": `{"jkt":` + thumbprint + `,"kid":"k"}`,
		"of a form that nobody knows": `{"x":1}`, "an empty object": `{}`, "an object of null": `{"jkt":null}`,
		"a string": `"k"`, "an empty string": `""`, "an array": `[]`, "a number": `0`, "true": `true`, "false": `false`,
	} {
		for _, as := range []string{urnJWT, urnAccessToken, urnIDToken} {
			f.addOf(as, "bound to a key of its sender (cnf)", "cnf: "+name+", as "+as[strings.LastIndexByte(as, ':')+1:], f.good(change{"cnf": raw(cnf)}), twin)
		}
	}
}

// times are off by as little as can be.
func (f *forger) times(leeway time.Duration) {
	now := f.srv.Now()
	twin := f.good()
	at := func(name string, d time.Duration) change { return change{name: now.Add(d).Unix()} }
	f.add("expired", "expired a second ago", f.good(at("exp", -time.Second)), twin)
	f.add("expired", "expired within the leeway", f.good(at("exp", -leeway/2)), twin)
	f.add("expired", "expired long ago", f.good(at("exp", -20*365*24*time.Hour)), twin)
	// Far enough for a run of some minutes.
	f.add("not valid yet", "from the future, by iat", f.good(at("iat", leeway+time.Hour), at("exp", 3*time.Hour)), f.good(at("iat", leeway/2)))
	f.add("not valid yet", "from the future, by nbf", f.good(at("nbf", leeway+time.Hour), at("exp", 3*time.Hour)), f.good(at("nbf", leeway/2)))
	f.add("more than max_token_age", "issued long ago", f.good(at("iat", -25*time.Hour)), f.good(at("iat", -23*time.Hour)))
	f.add("more than max_token_age", "issued in 1970", f.good(change{"iat": 0}), twin)
}

// audiences look like ours (RFC 7519 §4.1.3: byte for byte).
func (f *forger) audiences() {
	own, twin := f.victim.cfg.Audience, f.good()
	for _, aud := range []any{
		"", "*", own + "/", own + " ", " " + own, own + "\u0000", own + "/x", own[:len(own)-1], strings.ToUpper(own), own + "," + own, own + " " + own, "x" + own,
		strings.Replace(own, ":", "%3A", 1), `["` + own + `"]`, own + "\u200b", []any{"https://other.example", own + "#"}, []any{""}, f.victim.URL(), "kong",
	} {
		f.add("is for another audience", fmt.Sprintf("aud %.60q", fmt.Sprint(aud)), f.good(change{"aud": aud}), twin)
	}
	for _, rest := range []string{`7`, `null`, `true`, `["x"]`, `{}`} {
		f.add("aud that is neither a string nor an array of strings", "aud ours, and "+rest, f.good(change{"aud": raw(`["` + own + `",` + rest + `]`)}), f.good(change{"aud": raw(`["` + own + `","x"]`)}))
	}
	f.add("has no aud", "aud is an object of ours", f.good(change{"aud": raw(`{"` + own + `":true}`)}), twin)
}

// issuers look like a trusted one (RFC 8725 §3.8: byte for byte).
func (f *forger) issuers() {
	own, twin := f.victim.URL(), f.good()
	scheme, rest, _ := strings.Cut(own, "://")
	host, path, _ := strings.Cut(rest, "/")
	for _, iss := range []string{
		own + "/", own + "//", strings.ToUpper(own), strings.ToUpper(scheme) + "://" + rest, own + "#", own + "?", own + "/.", own + "/../" + path, scheme + "://" + host + "//" + path,
		scheme + "://x@" + rest, scheme + "://" + host + "./" + path, scheme + "://" + host + "/%" + fmt.Sprintf("%02x", path[0]) + path[1:], own + " ", " " + own, own + "\u0000", own + "\n", own + "/.well-known/openid-configuration",
		rest, "//" + rest, own[:len(own)-1], own + "x", "*", "https://accounts.google.com", f.canary, "file:///dev/null", "null", "__proto__", own + "\u200b", strings.Repeat("i", 8<<10),
	} {
		f.add("has an iss that", fmt.Sprintf("iss %.60q", iss), f.good(change{"iss": iss}), twin)
	}
}

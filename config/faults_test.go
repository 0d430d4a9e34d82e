package config_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/internal/strictyaml"
)

var update = flag.Bool("update", false, "write testdata/wrong.txt anew")

func checkPositions(t *testing.T, lines int, err error) {
	t.Helper()
	var faults strictyaml.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("%v is no Faults", err)
	}
	for _, f := range faults {
		if f.Pos.Line < 1 || f.Pos.Line > lines || f.Pos.Column < 1 {
			t.Fatalf("%v is outside of %d lines", f, lines)
		}
		if f.Message == "" {
			t.Fatalf("%v says nothing", f)
		}
	}
}

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

const (
	digest   = "383bd1b11b3f1f631e962bc33de8f264ec5eb2b0fd8d2ca39a6e4547140bb411"
	provider = "{issuer: https://okta.example, audiences: [lakegate], token_types: [jwt]}"
	account  = "{id: 11111111-2222-3333-4444-555555555555, host: https://accounts.example/}"
)

// method is how the client of small authenticates, its secret included.
const method = "client_secret_basic\n    secret_sha256: [" + digest + "]"

// Each case replaces one part of small; want is every fault, "sts.yaml:" before each left out.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "policy: {", "log: {levl: info}\npolicy: {", `15:7: log: unknown key "levl"; did you mean "level"?`},
		{"missing sections", "policy: {files: [policy.yaml]}", "", `1:1: missing key "policy"; add it`},
		{"wrong type", "audiences: [prod]", "audiences: prod", `11:16: clients.kong.audiences: wanted a list, found a text`},

		{"issuer in the clear", "issuer: https://sts.example", "issuer: http://sts.example", `1:9: issuer: http:// is for a loopback host only, and "sts.example" is none; use https://`},
		{"issuer with a query", "issuer: https://sts.example", "issuer: https://sts.example?x=1", `1:9: issuer: an issuer has no query; leave the query out`},
		{"issuer with a fragment", "issuer: https://sts.example", "issuer: https://sts.example#x", `1:9: issuer: a URL with a fragment; leave it out`},
		{"issuer with a slash", "issuer: https://sts.example", "issuer: https://sts.example/", `1:9: issuer: an issuer of ours with a slash at its end; leave the slash out`},
		{"issuer with a password", "issuer: https://sts.example", "issuer: https://u:p@sts.example", `1:9: issuer: a URL with a user or a password; leave it out; a credential has keys of its own`},
		{"issuer of another scheme", "issuer: https://sts.example", "issuer: ftp://sts.example", `1:9: issuer: a URL with another scheme than https; use https://`},
		{"issuer that is no URL", "issuer: https://sts.example", "issuer: sts", `1:9: issuer: not a URL; write it like https://host.example/path`},
		{"port that is none", "issuer: https://sts.example", "issuer: https://sts.example:70000", `1:9: issuer: a URL with the port 70000; ports end at 65535`},

		{"address", "http: 127.0.0.1:0", "http: 127.0.0.1", `2:16: listen.http: "127.0.0.1" is no address to listen at; write host:port, like 0.0.0.0:8443`},
		{"address with a name for a port", "http: 127.0.0.1:0", "http: 127.0.0.1:https", `2:16: listen.http: "127.0.0.1:https" is no address to listen at; write host:port, like 0.0.0.0:8443`},
		{"no TLS", "http: 127.0.0.1:0", "http: 0.0.0.0:0", `2:16: listen.http: listens at "0.0.0.0:0" without TLS; add listen.tls, or listen.plaintext: true behind a mesh that encrypts, or listen at the loopback`},
		{"no TLS at all hosts", "http: 127.0.0.1:0", "http: :0", `2:16: listen.http: listens at ":0" without TLS; add listen.tls, or listen.plaintext: true behind a mesh that encrypts, or listen at the loopback`},
		{"gRPC without TLS", "admin: 127.0.0.1:0}", "admin: 127.0.0.1:0, grpc: 0.0.0.0:0}", `2:55: listen.grpc: listens at "0.0.0.0:0" without TLS; add listen.tls, or listen.plaintext: true behind a mesh that encrypts, or listen at the loopback`},
		{"reflection without gRPC", "policy: {", "grpc: {reflection: true}\npolicy: {", `15:20: grpc.reflection: gRPC is not served; add listen.grpc, or leave this out`},
		{"plaintext beside TLS", "admin: 127.0.0.1:0}", "admin: 127.0.0.1:0, plaintext: true, tls: {cert_file: there, key_file: there}}", `2:60: listen.plaintext: plaintext beside tls; keep one of them; of tls, client_ca_file alone may stay`},
		{"half a TLS", "admin: 127.0.0.1:0}", "admin: 127.0.0.1:0, tls: {cert_file: there}}", `2:54: listen.tls: missing key "key_file"; add it`},
		{"no such file", "admin: 127.0.0.1:0}", "admin: 127.0.0.1:0, tls: {cert_file: gone, key_file: folder}}", `2:66: listen.tls.cert_file: there is no such file; make it, or mend the path; relative paths start at this file's folder
2:82: listen.tls.key_file: a folder; name a file in it`},
		{"empty TLS", "admin: 127.0.0.1:0}", "admin: 127.0.0.1:0, tls: {}}", `2:54: listen.tls: missing key "cert_file"; add it
2:54: listen.tls: missing key "key_file"; add it`},
		{"client CA alone is no TLS", "listen: {http: 127.0.0.1:0, admin: 127.0.0.1:0}", "listen: {http: 0.0.0.0:0, admin: 127.0.0.1:0, tls: {client_ca_file: there}}", `2:16: listen.http: listens at "0.0.0.0:0" without TLS; add listen.tls, or listen.plaintext: true behind a mesh that encrypts, or listen at the loopback`},
		{"proxies", "admin: 127.0.0.1:0}", "admin: 127.0.0.1:0, trusted_proxies: [10.0.0.1/8, 0.0.0.0/0, mesh, \"::ffff:10.0.0.0/104\"]}", `2:67: listen.trusted_proxies[0]: "10.0.0.1/8" is an address within a network; write 10.0.0.0/8
2:79: listen.trusted_proxies[1]: "0.0.0.0/0" is everybody; name the networks of the proxies alone
2:90: listen.trusted_proxies[2]: "mesh" is no network; write it like 10.0.0.0/8 or 2001:db8::/32
2:96: listen.trusted_proxies[3]: "::ffff:10.0.0.0/104" is no network; write it like 10.0.0.0/8 or 2001:db8::/32`},
		{"empty path", "policy: {", "audit: {directory: \"\"}\npolicy: {", `15:20: audit.directory: an empty path; name a file or folder, or leave the key out`},
		{"database", "policy: {", "database: mysql:x\npolicy: {", `15:11: database: not a database that we know; write sqlite: and a path, like sqlite:data/sts.db, or postgres://USER@HOST:PORT/DATABASE?passfile=FILE`},

		{"a claim that is recorded as actors", "policy: {", "audit: {record_claims: [department, act]}\npolicy: {", `15:37: audit.record_claims: the claim act; who acts is recorded anyway, as actors; leave it out`},
		{"exports", "policy: {", `audit:
  exports:
    - {name: a, file: a, url: "https://h"}
    - {name: a, formt: json}
    - {file: a, format: cef}
    - {name: B, volume: /Volumes/main/x, principal: etl, authorization_file: gone}
    - {name: c, otlp: "http://h:4317", format: json}
    - {name: d, command: []}
    - {name: e, command: ["", x]}
    - {name: f, file: a}
    - {name: g, url: "https://h", authorization_file: there, workspace: prod}
policy: {`, `17:7: audit.exports[0]: more than one destination: file, url; name one of otlp, file, command, url, volume
18:7: audit.exports[1]: no destination; name one of otlp, file, command, url, volume
18:14: audit.exports[1].name: the name of another export, too; give each its own: its cursor is kept under it
18:17: audit.exports[1]: unknown key "formt"; did you mean "format"?
19:7: audit.exports[2]: missing key "name"; add it
19:25: audit.exports[2].format: unknown value "cef"; write json or ocsf
20:7: audit.exports[3]: missing key "workspace"; add it: the policy's name of the workspace that the volume is written with
20:14: audit.exports[3].name: "B" is not a name; names match [a-z0-9][a-z0-9._-]*
20:25: audit.exports[3].volume: not a folder of a volume; write it like /Volumes/catalog/schema/volume/folder, in letters, digits, dots, dashes and underscores
20:58: audit.exports[3]: "authorization_file" goes with url, and this export's destination is volume; leave it out
20:78: audit.exports[3].authorization_file: there is no such file; make it, or mend the path; relative paths start at this file's folder
21:23: audit.exports[4].otlp: http:// is for a loopback host only, and "h" is none; use https://
21:40: audit.exports[4]: "format" goes with file, command, url, and this export's destination is otlp; leave it out
22:26: audit.exports[5].command: an empty list; name a program, and its arguments
23:27: audit.exports[6].command: an empty text; fill it in, or leave it out
24:23: audit.exports[7].file: the same as that of audit.exports[2]; give each its own: what one has written the other would cut off, or write again
25:62: audit.exports[8]: "workspace" goes with volume, and this export's destination is url; leave it out`},

		{"provider's name", "  okta:", "  Okta:", `4:3: identity_providers: "Okta" is not a name; names match [a-z0-9][a-z0-9._-]*
9:26: clients.kong.identity_providers: unknown identity provider "okta"; did you mean "Okta"? Else add it under identity_providers`},
		{"provider without keys", provider, "{}", `4:9: identity_providers.okta: missing key "issuer"; add it
4:9: identity_providers.okta: missing key "audiences"; add it: what the provider's tokens have in aud when they are meant for us
4:9: identity_providers.okta: missing key "token_types"; add it: access_token, id_token, jwt`},
		{"provider that is a text", provider, "x", `4:9: identity_providers.okta: wanted a mapping, found a text`},
		{"preset", provider, "{preset: oktta, issuer: https://o, audiences: [a], token_types: [jwt]}", `4:18: identity_providers.okta.preset: unknown value "oktta"; did you mean "okta"?`},
		{"preset far off", provider, "{preset: salesforce, issuer: https://o, audiences: [a], token_types: [jwt]}", `4:18: identity_providers.okta.preset: unknown value "salesforce"; write entra, github_actions, gitlab, google, keycloak, kubernetes, okta or spiffe`},
		{"github not shared", provider, "{preset: github_actions, audiences: [a], shared: false}", `4:58: identity_providers.okta.shared: this issuer is everybody's; leave it out`},
		{"same issuer twice", "clients:\n", "  other: {issuer: https://okta.example, audiences: [a], token_types: [jwt]}\nclients:\n", `5:3: identity_providers.other: has the issuer of "okta" too; make one provider of them: a person is one identity`},
		{"symmetric algorithm", "token_types: [jwt]", "token_types: [jwt], algorithms: [HS256, none]", `4:96: identity_providers.okta.algorithms[0]: HS256 proves nothing: the key would be no secret; name asymmetric algorithms
4:103: identity_providers.okta.algorithms[1]: none proves nothing: the key would be no secret; name asymmetric algorithms`},
		{"token type", "token_types: [jwt]", "token_types: [acess_token]", `4:77: identity_providers.okta.token_types[0]: unknown value "acess_token"; did you mean "access_token"?`},
		{"empty list", "token_types: [jwt]", "token_types: []", `4:76: identity_providers.okta.token_types: an empty list; name at least one`},
		{"repeated value", "token_types: [jwt]", "token_types: [jwt, jwt]", `4:82: identity_providers.okta.token_types: the same value again; keep one`},
		{"two sources of keys", "token_types: [jwt]", "token_types: [jwt], jwks_uri: https://k, jwks_file: there}#", `4:115: identity_providers.okta: both jwks_uri and jwks_file; keep one`},
		{"keys in the clear", "token_types: [jwt]", "token_types: [jwt], jwks_uri: http://k", `4:93: identity_providers.okta.jwks_uri: http:// is for a loopback host only, and "k" is none; use https://`},
		{"subject claim", "token_types: [jwt]", "token_types: [jwt], subject_claim: [sub]", `4:98: identity_providers.okta.subject_claim: wanted a claim, or a mapping of token types to claims, found a list`},
		{"subject claim per type", "token_types: [jwt]", "token_types: [jwt], subject_claim: {acces_token: uid}", `4:99: identity_providers.okta.subject_claim: unknown key "acces_token"; did you mean "access_token"?`},
		{"empty subject claim", "token_types: [jwt]", "token_types: [jwt], subject_claim: \"\"", `4:98: identity_providers.okta.subject_claim: an empty claim name; name a claim, or leave the key out`},
		{"empty subject claim per type", "token_types: [jwt]", "token_types: [jwt], subject_claim: {jwt: \"\"}", `4:104: identity_providers.okta.subject_claim.jwt: not the name of a claim; write it in printable ASCII without spaces and quotes`},
		{"groups claim", "token_types: [jwt]", "token_types: [jwt], groups_claim: a..b", `4:97: identity_providers.okta.groups_claim: "a..b" has an empty part; leave the extra dot out`},
		{"groups claim as a pointer", "token_types: [jwt]", "token_types: [jwt], groups_claim: /a~2b", `4:97: identity_providers.okta.groups_claim: "/a~2b" is no JSON pointer; write ~0 for ~ and ~1 for / (RFC 6901)`},
		{"overage", "token_types: [jwt]", "token_types: [jwt], groups_overage: allow", `4:99: identity_providers.okta.groups_overage: unknown value "allow"; write deny or graph`},
		{"clock skew", "token_types: [jwt]", "token_types: [jwt], clock_skew: 11m, max_token_age: 0s", `4:95: identity_providers.okta.clock_skew: longer than 10m; make it shorter, or leave it out for 30s
4:115: identity_providers.okta.max_token_age: shorter than 1s; make it longer, or leave it out for 24h`},
		{"introspection", "token_types: [jwt]", "token_types: [jwt], introspection: {endpoint: http://idp.example, prefix: \"a b\"}", `4:98: identity_providers.okta.introspection: missing key "client_id"; add it
4:98: identity_providers.okta.introspection: missing key "client_secret_file"; add it, or client_secret_env
4:98: identity_providers.okta.introspection: only access tokens are asked about, and access_token is not among token_types; add it there, or leave this out
4:109: identity_providers.okta.introspection.endpoint: http:// is for a loopback host only, and "idp.example" is none; use https://
4:137: identity_providers.okta.introspection.prefix: no token begins so; write letters, digits and -._~+/ alone (RFC 6750), or leave it out`},
		{"introspection beside keys", "token_types: [jwt]", "token_types: [access_token], jwks_uri: https://k, require_typ: at+jwt, introspection: {endpoint: https://i, client_id: a, client_secret_file: there}", `4:102: identity_providers.okta.jwks_uri: of no use where all tokens are asked about (introspection); leave it out
4:126: identity_providers.okta.require_typ: of no use where all tokens are asked about (introspection); leave it out`},
		{"introspection of a preset without", provider, "{preset: gitlab, audiences: [a], introspection: {endpoint: https://i, client_id: a, client_secret_file: there}}", `4:57: identity_providers.okta.introspection: nobody can be asked about tokens of the preset gitlab; leave it out: its tokens are JWTs`},
		{"two introspections", provider, `{issuer: https://a, audiences: [a], token_types: [access_token], introspection: {endpoint: https://i, client_id: a, client_secret_file: there}}
  second: {issuer: https://b, audiences: [a], token_types: [access_token], introspection: {endpoint: https://i, client_id: a, client_secret_file: there}}
  third: {issuer: https://c, audiences: [a], token_types: [access_token], introspection: {endpoint: https://i, client_id: a, client_secret_file: there, prefix: x}}
  fourth: {issuer: https://d, audiences: [a], token_types: [access_token], introspection: {endpoint: https://i, client_id: a, client_secret_file: there, prefix: x}}`,
			`5:91: identity_providers.second.introspection: missing key "prefix"; add it, here or for "okta", which has none either: how its opaque tokens begin
7:162: identity_providers.fourth.introspection.prefix: the same as that of "third"; an opaque token must lead to one provider: make one of them longer`},
		{"audience claim", "audiences: [lakegate]", "audiences: [\"a b\"]", `4:52: identity_providers.okta.audiences[0]: not an audience; write it in printable ASCII without spaces and quotes`},

		{"client id", "  kong:", "  \"kong\\u00e9\":", `6:3: clients: "kongé" is no client id; write it in printable ASCII (RFC 6749 Appendix A.1)`},
		{"unknown provider", "identity_providers: [okta]", "identity_providers: [octa]", `9:26: clients.kong.identity_providers: unknown identity provider "octa"; did you mean "okta"? Else add it under identity_providers`},
		{"no parties", "authorized_parties: any", "authorized_parties: []", `10:25: clients.kong.authorized_parties: an empty list; name at least one`},
		{"empty party", "authorized_parties: any", "authorized_parties: [web, \"\"]", `10:31: clients.kong.authorized_parties: an empty text; fill it in, or leave it out`},
		{"actor parties of nobody", "authorized_parties: any", "authorized_parties: any\n    may_act: true\n    actor_parties: []", `12:20: clients.kong.actor_parties: an empty list; name at least one`},
		{"actor parties", "authorized_parties: any", "authorized_parties: any\n    actor_parties: [a]", `11:20: clients.kong.actor_parties: parties of actor tokens that the client may not present; add may_act: true, or leave it out`},
		{"a chain of none", "policy: {", "delegation: {max_chain: 0}\npolicy: {", `15:25: delegation.max_chain: a chain of 0 actors; write 1 to 32; who acts now is one of them`},
		{"a chain of too many", "policy: {", "delegation: {max_chain: 33}\npolicy: {", `15:25: delegation.max_chain: a chain of 33 actors; write 1 to 32; who acts now is one of them`},
		{"parties", "authorized_parties: any", "authorized_parties: none", `10:25: clients.kong.authorized_parties: wanted any, or a list of parties, found a text`},
		{"audience", "audiences: [prod]", "audiences: [prod/, prod/a/b, Prod]", `11:17: clients.kong.audiences[0]: "prod/" is no audience; write workspace or workspace/principal; names match [a-z0-9][a-z0-9._-]*
11:24: clients.kong.audiences[1]: "prod/a/b" is no audience; write workspace or workspace/principal; names match [a-z0-9][a-z0-9._-]*
11:34: clients.kong.audiences[2]: "Prod" is no audience; write workspace or workspace/principal; names match [a-z0-9][a-z0-9._-]*`},
		{"grant", "audiences: [prod]", "audiences: [prod]\n    grants: [client_credentials]", `12:14: clients.kong.grants[0]: unknown value "client_credentials"; write token_exchange`},
		{"rate", "audiences: [prod]", "audiences: [prod]\n    limits: {rate: 2000, burst: 0}", `12:20: clients.kong.limits.rate: "2000" is not a rate; write a whole number and a unit, like 2000/s, 600/m or 100/h
12:33: clients.kong.limits.burst: a burst of nothing; write at least 1, or leave it out for a second's worth`},
		{"rates of a subject and an actor", "audiences: [prod]", "audiences: [prod]\n    limits: {per_subject: 0/s, per_actor: 5}", `12:27: clients.kong.limits.per_subject: a rate of nothing; leave it out for no limit
12:43: clients.kong.limits.per_actor: "5" is not a rate; write a whole number and a unit, like 2000/s, 600/m or 100/h`},
		{"rate of nothing", "policy: {", "limits: {global: 0/s}\npolicy: {", `15:18: limits.global: a rate of nothing; leave it out for no limit`},
		{"burst alone", "audiences: [prod]", "audiences: [prod]\n    limits: {burst: 5}", `12:21: clients.kong.limits: a burst without a rate; add rate, or leave burst out`},
		{"method", "client_secret_basic", "client_secret", `7:18: clients.kong.auth_method: unknown value "client_secret"; did you mean "client_secret_post"?`},
		{"no keys", method, "private_key_jwt", `7:5: clients.kong: missing key "jwks_file"; add it: the client's public keys, as a JWK set`},
		{"no such keys", method, "private_key_jwt\n    jwks_file: gone", `8:16: clients.kong.jwks_file: there is no such file; make it, or mend the path; relative paths start at this file's folder`},
		{"no name", method, "tls_client_auth", `7:5: clients.kong: missing key "tls_client_auth_subject_dn"; add it, or tls_client_auth_san_dns or tls_client_auth_san_uri: what the client's certificate says
7:18: clients.kong.auth_method: a client certificate, and no CA to verify it against; add listen.tls.client_ca_file`},
		{"two names", method, "tls_client_auth\n    tls_client_auth_san_dns: a\n    tls_client_auth_san_uri: b", `7:18: clients.kong.auth_method: a client certificate, and no CA to verify it against; add listen.tls.client_ca_file
9:30: clients.kong: more than one of the names that a certificate may have; keep one of tls_client_auth_subject_dn, tls_client_auth_san_dns, tls_client_auth_san_uri (RFC 8705 Section 2.1.2)`},
		{"a secret beside keys", "client_secret_basic", "private_key_jwt\n    jwks_file: there", `7:5: clients.kong: "secret_sha256" is a key of client_secret_basic and client_secret_post, and this client's auth_method is private_key_jwt; leave it out; a client has one way to authenticate`},
		{"keys beside a secret", "client_secret_basic", "client_secret_basic\n    jwks_file: there\n    tls_client_auth_san_dns: a", `7:5: clients.kong: "jwks_file" is a key of private_key_jwt, and this client's auth_method is client_secret_basic; leave it out; a client has one way to authenticate
7:5: clients.kong: "tls_client_auth_san_dns" is a key of tls_client_auth, and this client's auth_method is client_secret_basic; leave it out; a client has one way to authenticate`},
		{"a public client with a secret", "client_secret_basic", "none", `7:5: clients.kong: "secret_sha256" is a key of client_secret_basic and client_secret_post, and this client's auth_method is none; leave it out; a client has one way to authenticate`},
		{"no secret", "secret_sha256: [" + digest + "]", "grants: [token_exchange]", `7:5: clients.kong: missing key "secret_sha256"; add it; ` + "`sts client new` makes one"},
		{"digest too short", digest, digest[:62], `8:21: clients.kong.secret_sha256[0]: not the SHA-256 of a secret; write the 64 hexadecimal digits that ` + "`sts client new` prints"},
		{"secret itself", digest, "dose-of-a-secret", `8:21: clients.kong.secret_sha256[0]: not the SHA-256 of a secret; write the 64 hexadecimal digits that ` + "`sts client new` prints"},
		{"three secrets", digest, digest + ", " + strings.Repeat("0", 64) + ", " + strings.Repeat("1", 64), `8:153: clients.kong.secret_sha256: more than 2 secrets; remove those that are not in use: one, and its successor during a rotation`},
		{"same secret twice", digest, digest + ", " + strings.ToUpper(digest), `8:87: clients.kong.secret_sha256: the same value again; keep one`},
		{"empty secret", digest, digestOf(""), guessable},
		{"common secret", digest, digestOf("changeme"), guessable},
		{"common secret, shouted", digest, digestOf("CHANGEME"), guessable},
		{"common secret with a number", digest, digestOf("Password123"), guessable},
		{"common secret by echo", digest, digestOf("secret\n"), guessable},
		{"client's id", digest, digestOf("kong"), guessable},

		{"account id", "id: 11111111-2222-3333-4444-555555555555", "id: acme", `14:15: databricks.accounts.aws.id: "acme" is no account id; copy it from the account console; it is a UUID`},
		{"account host", "https://accounts.example/", "https://accounts.example/x", `14:59: databricks.accounts.aws.host: "https://accounts.example/x" is more than a host; leave the path out`},
		{"federation's issuer", "  accounts:", "  federation: {issuer: \"https://k/\"}\n  accounts:", `13:24: databricks.federation.issuer: an issuer of ours with a slash at its end; leave the slash out`},
		{"rotation", "  accounts:", "  federation: {key_rotation: 24h}\n  accounts:", `13:30: databricks.federation: publish_ahead (24h) is not shorter than key_rotation (24h); a successor is published while its predecessor signs: shorten publish_ahead, or lengthen key_rotation`},
		{"audience of an account", "  accounts:", "  federation: {audience: {awss: x}}\n  accounts:", `13:27: databricks.federation.audience: unknown account "awss"; did you mean "aws"? Else add it under databricks.accounts`},
		{"mint method", "  accounts:", "  credentials: {etl: {method: m2m}}\n  accounts:", `13:31: databricks.credentials.etl.method: unknown value "m2m"; write federation or client_secret`},
		{"no client secret", "  accounts:", "  credentials: {etl: {method: client_secret}}\n  accounts:", `13:22: databricks.credentials.etl: missing key "client_secret_file"; add it, or client_secret_env`},
		{"two client secrets", "  accounts:", "  credentials: {etl: {method: client_secret, client_secret_file: there, client_secret_env: HOME}}\n  accounts:", `13:92: databricks.credentials.etl: both client_secret_file and client_secret_env; keep one`},
		{"secret for federation", "  accounts:", "  credentials: {etl: {method: federation, client_secret_file: there}}\n  accounts:", `13:63: databricks.credentials.etl: a client secret for a principal that is minted by federation; leave it out, or set method: client_secret`},
		{"no such variable", "  accounts:", "  credentials: {etl: {method: client_secret, client_secret_env: STS_NO_SUCH}}\n  accounts:", `13:65: databricks.credentials.etl.client_secret_env: there is no environment variable of that name; set it, or mend its name`},
		{"timeout", "  accounts:", "  timeout: 2m\n  accounts:", `13:12: databricks.timeout: longer than 10s; make it shorter, or leave it out for 5s`},

		{"sample ratio", "policy: {", "telemetry: {sample_ratio: 1.1}\npolicy: {", `15:27: telemetry.sample_ratio: not between 0 and 1; write the part of all requests that is traced, like 0.01`},
		{"collector in the clear", "policy: {", "telemetry: {otlp_endpoint: http://c:4317}\npolicy: {", `15:28: telemetry.otlp_endpoint: http:// is for a loopback host only, and "c" is none; use https://`},
		{"log", "policy: {", "log: {level: trace, format: text}\npolicy: {", `15:14: log.level: unknown value "trace"; write debug, info, warn or error
15:29: log.format: unknown value "text"; write json`},
		{"witness of nothing", "policy: {", "audit: {witness: {}}\npolicy: {", `15:18: audit.witness: neither a url nor a command; name one, or leave the key out`},
		{"witness in the clear", "policy: {", "audit: {witness: {url: \"http://w.example\"}}\npolicy: {", `15:24: audit.witness.url: http:// is for a loopback host only, and "w.example" is none; use https://`},
		{"witness of an empty command", "policy: {", "audit: {witness: {command: []}}\npolicy: {", `15:18: audit.witness: neither a url nor a command; name one, or leave the key out`},
		{"witness without a program", "policy: {", "audit: {witness: {command: [\"\", x]}}\npolicy: {", `15:29: audit.witness.command: an empty text; fill it in, or leave it out`},
		{"signing key that is not there", "policy: {", "audit: {signing_key_file: x}\npolicy: {", `15:27: audit.signing_key_file: there is no such file; make it, or mend the path; relative paths start at this file's folder`},
		{"sync", "policy: {", "audit: {sync: none, retention: 1m}\npolicy: {", `15:15: audit.sync: unknown value "none"; write mint, always or written
15:32: audit.retention: shorter than 1h; make it longer, or leave it out for 8760h`},
	} {
		t.Run(c.name, func(t *testing.T) { checkFaults(t, c.old, c.new, c.want) })
	}
}

const guessable = "8:21: clients.kong.secret_sha256: the digest of a secret that can be guessed; make a new secret with `sts client new`"

// Features that are not there yet are refused by name; what asks for nothing is accepted.
func TestNotAvailableYet(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"audiences: [prod]", "audiences: [prod]\n    identity: true", `12:15: clients.kong.identity: not available yet: signed identities in answers`},
		{"  accounts:", "  federation: {publish_directory: x}\n  accounts:", `13:35: databricks.federation.publish_directory: not available yet: publishing discovery document and keys as files`},
		{"policy: {", "store: {keyset_file: there, redis: {addresses: [\"r:1\"], mode: cluster}}\npolicy: {", `15:63: store.redis.mode: not available yet: Redis Cluster`},
		{"policy: {", "store: {keyset_file: there, redis: {addresses: [\"r:1\"], mode: sentinel, master_name: m}}\npolicy: {", `15:63: store.redis.mode: not available yet: Redis Sentinel
15:86: store.redis.master_name: not available yet: Redis Sentinel`},
		{"policy: {", "leases: {enabled: true}\npolicy: {", `15:19: leases.enabled: not available yet: leases for long jobs`},
		{"policy: {", "databricks_door: {enabled: true}\npolicy: {", `15:28: databricks_door.enabled: not available yet: the Databricks-shaped door`},
	} {
		checkFaults(t, c.old, c.new, strings.ReplaceAll(c.want, "\n", "; leave it out\n")+"; leave it out")
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "key"), "x")
	nothing := strings.Replace(full, "{reflection: true}", "{reflection: false}", 1)
	nothing = strings.Replace(nothing, "databricks:\n", "    may_act: false\n    identity: false\n    audience_token_endpoint: false\ndatabricks:\n", 1)
	if _, err := parse(t, folder, nothing); err != nil {
		t.Error(err)
	}
}

func checkFaults(t *testing.T, old, new, want string) {
	t.Helper()
	if !strings.Contains(small, old) {
		t.Fatalf("%q is not there to replace", old)
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x\n")
	write(t, filepath.Join(folder, "folder", "x"), "x\n")
	_, err := parse(t, folder, strings.Replace(small, old, new, 1))
	if err == nil {
		t.Fatal("no fault")
	}
	got := strings.ReplaceAll("\n"+err.Error(), "\nsts.yaml:", "\n")[1:]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", new, diff)
	}
}

// A file in which everything is wrong is mended in one go: all faults, in the order of the file.
func TestEverythingWrong(t *testing.T) {
	_, err := config.Load("testdata/wrong.yaml")
	if err == nil {
		t.Fatal("no fault")
	}
	const golden = "testdata/wrong.txt"
	if *update {
		write(t, golden, err.Error()+"\n")
	}
	want, readErr := os.ReadFile(golden)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
		t.Error(diff)
	}
}

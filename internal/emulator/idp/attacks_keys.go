package idp

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// algorithms plays with alg (RFC 8725 §2.1, §3.1).
func (f *forger) algorithms() {
	es, payload := f.es(), f.payload()
	twin := f.signed(es, f.header(es), payload)
	for _, alg := range []string{"none", "None", "nOnE", "NONE", "none ", "\u0000none"} {
		header := f.header(es, change{"alg": alg})
		f.add("signature that is empty", "alg "+alg+" without a signature", encode(header)+"."+encode(payload)+".", twin)
		f.add(f.cause.algorithm, "alg "+alg+" with the signature of the key", f.signed(es, header, payload), twin)
	}
	for _, alg := range []string{
		"es256", "Es256", "ES256 ", " ES256", "ES256\u0000", "ES256K", "ES256,ES256", "Ed25519", "Ed448", "ML-DSA-65", "RS1", "RSA-OAEP", "dir", "A128KW", "HS256", "PBES2-HS256+A128KW",
	} {
		f.add(f.cause.algorithm, fmt.Sprintf("alg %q", alg), f.signed(es, f.header(es, change{"alg": alg}), payload), twin)
	}
	for _, alg := range []string{`null`, `7`, `true`, `["ES256"]`, `{"alg":"ES256"}`} {
		f.add("alg is not a string", "alg is "+alg, f.signed(es, f.header(es, change{"alg": raw(alg)}), payload), twin)
	}
	f.add("header without alg", "no alg", f.signed(es, f.header(es, change{"alg": nil}), payload), twin)
	f.add("header without alg", "alg is empty", f.signed(es, f.header(es, change{"alg": ""}), payload), twin)
	f.add("header without alg", "ALG for alg", f.signed(es, f.header(es, change{"alg": nil, "ALG": "ES256"}), payload), twin)

	// Each algorithm's key under each other's name: the key's own alg decides.
	for _, k := range slices.SortedFunc(maps.Values(f.published), func(a, b *key) int { return strings.Compare(a.alg, b.alg) }) {
		twin := f.signed(k, f.header(k), payload)
		for alg := range f.published {
			if alg != k.alg {
				f.add(f.cause.key, "a key for "+k.alg+" called "+alg, f.signed(k, f.header(k, change{"alg": alg}), payload), twin)
			}
		}
	}
	f.padding(payload)
}

// padding confuses the paddings and hashes of RSA (RFC 7518 §3.3, §3.5).
func (f *forger) padding(payload string) {
	as := func(k *key, alg string, saltLength int) string {
		header := f.header(k)
		return encode(header) + "." + encode(payload) + "." + encode(string(f.signature(k, alg, saltLength, header, payload)))
	}
	rs, ps := f.published["RS256"], f.published["PS256"]
	for _, alg := range []string{"PS256", "RS384", "RS512"} {
		f.add(f.cause.signature, "RS256 signed by "+alg, as(rs, alg, 0), as(rs, "RS256", 0))
	}
	for _, alg := range []string{"RS256", "PS384", "PS512"} {
		f.add(f.cause.signature, "PS256 signed by "+alg, as(ps, alg, 0), as(ps, "PS256", 0))
	}
	for _, salt := range []int{1, 20, 31, 33, 2048/8 - 32 - 2} {
		f.add(f.cause.signature, fmt.Sprintf("PS256 with a salt of %d bytes", salt), as(ps, "PS256", salt), as(ps, "PS256", 32))
	}
}

// secrets signs by HMAC with whatever of a public key could be taken for a secret.
func (f *forger) secrets() {
	payload := f.payload()
	for _, alg := range []string{"RS256", "ES256"} {
		k := f.published[alg]
		twin := f.signed(k, f.header(k), payload)
		for name, secret := range f.spellings(k) {
			for bits, hash := range hashes {
				header := f.header(k, change{"alg": "HS" + bits})
				mac := hmac.New(hash.New, secret)
				mac.Write([]byte(encode(header) + "." + encode(payload)))
				f.add(f.cause.algorithm, "HS"+bits+" by the "+name+" of a key for "+alg, encode(header)+"."+encode(payload)+"."+encode(string(mac.Sum(nil))), twin)
			}
		}
	}
}

// spellings are the forms of a public key, by name.
func (f *forger) spellings(k *key) map[string][]byte {
	public := k.private().Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		f.fail(err)
	}
	jwk, err := jose.JSONWebKey{Key: public, KeyID: k.kid, Algorithm: k.alg, Use: "sig"}.MarshalJSON()
	if err != nil {
		f.fail(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	all := map[string][]byte{
		"DER": der, "PEM": text, "PEM without its last line break": []byte(strings.TrimSpace(string(text))), "JWK": jwk,
		"base64 of the DER": []byte(base64.StdEncoding.EncodeToString(der)), "nothing": {},
	}
	switch public := public.(type) {
	case *rsa.PublicKey:
		all["PKCS #1 DER"] = x509.MarshalPKCS1PublicKey(public)
		all["PKCS #1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: all["PKCS #1 DER"]})
		all["modulus"] = public.N.Bytes()
		all["n"] = []byte(encode(string(public.N.Bytes())))
	case *ecdsa.PublicKey:
		if all["point"], err = public.Bytes(); err != nil {
			f.fail(err)
		}
	}
	return all
}

// keys signs by keys that aren't the issuer's, or aren't any longer, under every name.
func (f *forger) keys() {
	es, payload := f.es(), f.payload()
	twin := f.signed(es, f.header(es), payload)
	theirs, err := f.other.find("ES256", "")
	if err != nil {
		f.fail(err)
		return
	}
	f.add(f.cause.key, "another issuer's key under its own kid", f.signed(theirs, f.header(theirs), payload), twin)
	f.add(f.cause.signature, "another issuer's key under ours", f.signed(theirs, f.header(es), payload), twin)
	f.add(f.cause.signature, "nobody's key under ours", f.signed(f.stranger, f.header(es), payload), twin)
	f.add(f.cause.key, "nobody's key under its own kid", f.signed(f.stranger, f.header(f.stranger), payload), twin)
	unnamed := f.header(es, change{"kid": nil})
	f.add(f.cause.signature, "nobody's key without kid", f.signed(f.stranger, unnamed, payload), f.signed(es, unnamed, payload))
	f.add(f.cause.signature, "nobody's key with an empty kid", f.signed(f.stranger, f.header(es, change{"kid": ""}), payload), f.signed(es, f.header(es, change{"kid": ""}), payload))

	// One kid at two issuers: each key is its own issuer's, in both directions.
	shared := f.mustKey("ES256")
	shared.kid = es.kid
	f.other.publish(shared)
	f.add(f.cause.signature, "another issuer's key of the same kid", f.signed(shared, f.header(shared), payload), twin)
	at := f.payload(change{"iss": f.other.URL()})
	f.add(f.cause.signature, "our key for another issuer that has a key of the same kid", f.signed(es, f.header(es), at), f.signed(shared, f.header(shared), at))
	f.add(f.cause.key, "our key for another issuer", f.signed(f.published["RS256"], f.header(f.published["RS256"]), at), f.signed(shared, f.header(shared), at))

	// A key that signed once, and one that will.
	gone, next := f.mustKey("ES256"), f.mustKey("ES256")
	f.add(f.cause.key, "a key that was withdrawn", f.signed(gone, f.header(gone), payload), twin)
	f.add(f.cause.signature, "a key that was withdrawn, under the kid of its successor", f.signed(gone, f.header(es), payload), twin)
	f.add(f.cause.key, "a key that isn't published yet", f.signed(next, f.header(next), payload), twin)
	second := f.mustKey("ES256")
	f.victim.publish(second)
	f.add(f.cause.signature, "one key under the kid of another of the same issuer", f.signed(second, f.header(es), payload), f.signed(second, f.header(second), payload))
}

func (f *forger) mustKey(alg string) *key {
	k, err := newKey(alg)
	if err != nil {
		f.fail(err)
		return f.stranger
	}
	return k
}

// publish publishes a key without signing by it.
func (i *Issuer) publish(k *key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	k.published = true
	i.keys = append(i.keys, k)
}

// headers offers keys, and addresses of keys, in the header (RFC 8725 §3.10). A twin carries the same offer, and the
// signature of the right key: the offer isn't looked at.
func (f *forger) headers() {
	es, payload := f.es(), f.payload()
	offered := jose.JSONWebKey{Key: f.stranger.private().Public(), KeyID: f.stranger.kid, Algorithm: "ES256", Use: "sig"}
	chain := []string{base64.StdEncoding.EncodeToString(f.certificate())}
	canary := f.canary
	for name, offer := range map[string]change{
		"jwk": {"jwk": offered}, "jwk that is private": {"jwk": jose.JSONWebKey{Key: f.stranger.private(), KeyID: es.kid}},
		"jku": {"jku": canary + "/jwks"}, "jku with the issuer's host as its user": {"jku": strings.Replace(canary, "://", "://idp.example@", 1) + "/jwks"},
		"x5u": {"x5u": canary + "/certificate"}, "x5c": {"x5c": chain}, "x5c and x5t": {"x5c": chain, "x5t": "AAAA", "x5t#S256": "AAAA"},
		"all":                 {"jwk": offered, "jku": canary + "/jwks", "x5u": canary + "/certificate", "x5c": chain},
		"jku of another type": {"jku": 7, "jwk": "x", "x5c": change{}, "x5u": []string{canary}},
	} {
		f.add(f.cause.signature, name+" under the issuer's kid", f.signed(f.stranger, f.header(es, offer), payload), f.signed(es, f.header(es, offer), payload))
		f.add(f.cause.key, name+" under the offered kid", f.signed(f.stranger, f.header(f.stranger, offer), payload), f.signed(es, f.header(es, offer), payload))
	}
	f.keyIDs(es, payload)
	twin := f.signed(es, f.header(es), payload)
	for name, c := range map[string]struct{ member, value string }{
		"crit": {"crit", `["exp"]`}, "an empty crit": {"crit", `[]`}, "crit null": {"crit", `null`}, "b64 false": {"b64", `false`},
		"b64 true": {"b64", `true`}, "zip": {"zip", `"DEF"`}, "zip null": {"zip", `null`},
	} {
		f.add("header with "+c.member, name, f.signed(es, f.header(es, change{c.member: raw(c.value)}), payload), twin)
	}
}

// keyIDs are kids that somebody might look up by a path, a query or an address.
func (f *forger) keyIDs(es *key, payload string) {
	twin := f.signed(es, f.header(es), payload)
	for _, kid := range []string{
		"../../../../dev/null", "/etc/passwd", "file:///dev/null", `..\..\windows\win.ini`, "' OR 1=1 --", "' UNION SELECT 'AAAA' --",
		`"; DROP TABLE keys; --`, f.canary + "/jwks", "ldap://" + strings.TrimPrefix(f.canary, "http://") + "/x", "${jndi:ldap://x}", "$(id)", "`id`", "| id", "{{7*7}}",
		strings.ToUpper(es.kid), es.kid + "\u0000", es.kid + " ", " " + es.kid, es.kid + "\n", es.kid + "/", "*", "%", es.kid[:len(es.kid)-1] + "?",
		strings.Repeat("k", 8<<10), "\u202e", "__proto__", "constructor", "0", "-1", "null",
	} {
		f.add(f.cause.key, fmt.Sprintf("kid %.30q", kid), f.signed(es, f.header(es, change{"kid": kid}), payload), twin)
	}
	for _, kid := range []string{`null`, `7`, `true`, `["k"]`, `{"kid":"k"}`} {
		f.add("kid is not a string", "kid is "+kid, f.signed(es, f.header(es, change{"kid": raw(kid)}), payload), twin)
	}
}

// certificate is the stranger's, signed by himself.
func (f *forger) certificate() []byte {
	private := f.stranger.private()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: f.srv.Now(), NotAfter: f.srv.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		f.fail(err)
	}
	return der
}

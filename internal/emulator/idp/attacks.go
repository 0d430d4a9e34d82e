package idp

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// AttackConfig says whom the attacks are made for.
type AttackConfig struct {
	// Issuer is the attacked issuer, and Other one that the same verifier trusts for tokens of its own. The verifier
	// accepts their tokens as access tokens, ID tokens and plain JWTs, for the audience of the issuers, when signed by
	// one of [AttackAlgorithms].
	Issuer, Other string
	// Canary is the URL of a server that nobody may ever call.
	Canary string
	// Claims are laid over those of every token; groups is one of them.
	Claims map[string]any
	// Leeway is the verifier's clock_skew.
	Leeway time.Duration
}

// AttackAlgorithms are those that the attacked verifier allows. With several families of them there is something to confuse.
func AttackAlgorithms() []string { return []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} }

// Attacks makes tokens that must be refused, of every kind that we know to have worked on somebody's verifier, each with its
// twin. The keys that they take are made and published first, so that a verifier is to fetch them after this.
func (s *Server) Attacks(c AttackConfig) ([]emulator.Attack, error) {
	f, err := s.newForger(c)
	if err != nil {
		return nil, err
	}
	f.common()
	f.keys()
	f.types()
	f.claimTypes()
	f.bindings()
	f.names("iss", "sub", "aud", "exp", "iat", "jti", "groups")
	f.lookalikes()
	f.numbers()
	f.times(c.Leeway)
	f.audiences()
	f.issuers()
	return f.list, f.err
}

// common are the attacks on whoever reads JWTs.
func (f *forger) common() {
	f.algorithms()
	f.secrets()
	f.headers()
	f.text()
	f.framing()
	f.base64()
	f.signatures()
	f.bombs()
}

// forger makes the attacks. Its first error ends nothing and is kept.
type forger struct {
	srv           *Server
	victim, other *Issuer
	canary        string
	claims        func() map[string]any // of a good token
	subject       string                // its sub
	tokenType     string                // what it is presented as
	cause         causes
	// The victim's published keys, by algorithm.
	published map[string]*key
	stranger  *key // ES256, published by nobody

	list []emulator.Attack
	err  error
}

func (s *Server) newForger(c AttackConfig) (*forger, error) {
	f := &forger{
		srv: s, victim: s.Issuer(c.Issuer), other: s.Issuer(c.Other), canary: c.Canary, subject: "alice", tokenType: urnJWT,
		cause: causes{
			algorithm: "algorithm that is not among the algorithms",
			key:       "names a key (kid) that the identity provider",
			signature: "signature that its issuer's key did not make",
		},
	}
	if err := f.takeKeys(AttackAlgorithms()); err != nil {
		return nil, err
	}
	f.claims = func() map[string]any {
		claims := f.victim.claims(Token{})
		maps.Copy(claims, c.Claims)
		return claims
	}
	return f, nil
}

// takeKeys makes the keys that the attacks confuse.
func (f *forger) takeKeys(algorithms []string) (err error) {
	if f.victim == nil || f.other == nil || f.victim == f.other {
		return fmt.Errorf("idp: attacks need two issuers")
	}
	if f.victim.URL() == "" || f.victim.cfg.Audience == "" {
		return fmt.Errorf("idp: the attacked issuer needs a URL and an audience")
	}
	f.published = map[string]*key{}
	for _, alg := range algorithms {
		if f.published[alg], err = f.victim.find(alg, ""); err != nil {
			return err
		}
	}
	f.stranger, err = newKey("ES256")
	return err
}

func (f *forger) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

const (
	urnJWT         = "urn:ietf:params:oauth:token-type:jwt"
	urnAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	urnIDToken     = "urn:ietf:params:oauth:token-type:id_token"
)

// Parts of refusals: each attack is refused for one of them, or for one that stands beside it. These are alike for all
// who read JWTs; causes are not.
const (
	causeBase64  = "not canonical base64url"
	causeJSON    = "is not well-formed JSON"
	causeObject  = "is not a JSON object"
	causeRepeats = "repeats a name"
	causeUTF8    = "holds invalid UTF-8, or half a surrogate pair"
	causeCompact = "is not a JWT"
)

// causes are what a reader of JWTs says of a signature.
type causes struct{ algorithm, key, signature string }

// add adds an attack.
func (f *forger) add(cause, name, token, twin string) { f.addOf(f.tokenType, cause, name, token, twin) }

func (f *forger) addOf(tokenType, cause, name, token, twin string) {
	for _, text := range []string{token, twin} {
		if telling(text) {
			f.srv.Remember(text)
		}
	}
	f.list = append(f.list, emulator.Attack{Name: name, Type: tokenType, Token: token, Twin: twin, Cause: cause})
}

// telling reports whether a text could only come from this token: a signature of zeros is found anywhere.
func telling(token string) bool {
	parts := strings.Split(token, ".")
	for _, part := range parts {
		seen := map[byte]bool{}
		for i := range min(len(part), 16) {
			seen[part[i]] = true
		}
		if len(seen) < 8 {
			return false
		}
	}
	return len(parts) == 3
}

// change is laid over members; nil removes one.
type change = map[string]any

// payload is the JSON of a good token's claims, with changes.
func (f *forger) payload(changes ...change) string {
	return f.json(f.claims(), changes...)
}

// header is the JSON of the header of a token that key signed, with changes.
func (f *forger) header(k *key, changes ...change) string {
	return f.json(change{"alg": k.alg, "kid": k.kid, "typ": "JWT"}, changes...)
}

// json encodes members with changes laid over them. A json.RawMessage stays as it is, null included.
func (f *forger) json(members change, changes ...change) string {
	for _, c := range changes {
		maps.Copy(members, c)
	}
	text, err := overlay(members, nil)
	if err != nil {
		f.fail(err)
	}
	return text
}

// signed signs texts, whatever they are, by the key and its algorithm.
func (f *forger) signed(k *key, header, payload string) string {
	return encode(header) + "." + encode(payload) + "." + encode(string(f.signature(k, k.alg, 0, header, payload)))
}

func (f *forger) signature(k *key, alg string, saltLength int, header, payload string) []byte {
	signature, err := signJWS(alg, k.private(), saltLength, []byte(encode(header)+"."+encode(payload)))
	if err != nil {
		f.fail(err)
	}
	return signature
}

// good is a token that is accepted, with changes of its claims, signed by the victim's ES256 key.
func (f *forger) good(changes ...change) string {
	return f.signed(f.es(), f.header(f.es()), f.payload(changes...))
}

func (f *forger) es() *key { return f.published["ES256"] }

// raw is JSON that stays as it is.
func raw(text string) json.RawMessage { return json.RawMessage(text) }

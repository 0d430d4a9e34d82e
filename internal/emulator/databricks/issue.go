package databricks

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// issued is what the workspace knows of a token that it issued.
type issued struct {
	principal string
	scope     string
	details   details
	expires   time.Time // whole seconds, as in the token
}

// tokenKey signs access tokens.
type tokenKey struct {
	kid     string
	private *rsa.PrivateKey
	signer  jose.Signer
}

// newTokenKey starts making the workspace's key, from private if there is one, and returns where to wait for it.
func newTokenKey(private *rsa.PrivateKey) func() *tokenKey {
	wait := sync.OnceValue(func() *tokenKey {
		var err error
		if private == nil {
			if private, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
				panic(err) // the machine's randomness is broken
			}
		}
		sum := sha256.Sum256(private.N.Bytes())
		k := &tokenKey{kid: hex.EncodeToString(sum[:]), private: private}
		k.signer, err = jose.NewSigner(
			jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: k.kid}},
			(&jose.SignerOptions{}).WithType("at+jwt"))
		if err != nil {
			panic(err) // RS256 and an RSA key fit
		}
		return k
	})
	go wait()
	return wait
}

func (k *tokenKey) public() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.private.Public(), KeyID: k.kid, Algorithm: "RS256", Use: "sig"}}}
}

// issue makes an access token and lists it among the living.
func (s *Server) issue(g *grant, expires time.Time) string {
	now := s.Now()
	claims := map[string]any{
		"client_id": g.principal, "scope": g.scope, "iss": s.issuer(), "aud": s.cfg.WorkspaceID, "sub": g.principal,
		"iat": now.Unix(), "exp": expires.Unix(), "jti": uuid.NewString(),
	}
	if g.details != nil {
		claims["authorization_details"] = g.details
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	jws, err := s.signingKey().signer.Sign(payload)
	if err != nil {
		panic(err) // a good key always signs
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		panic(err) // a signed object always serializes
	}
	s.Remember(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live)%1000 == 999 {
		maps.DeleteFunc(s.live, func(_ string, t issued) bool { return t.expires.Before(now.Add(-24 * time.Hour)) })
	}
	s.live[hashOf(token)] = issued{principal: g.principal, scope: g.scope, details: g.details, expires: time.Unix(expires.Unix(), 0)}
	return token
}

// find returns what is known of a token, or why it is not accepted.
func (s *Server) find(token string) (t issued, cause string) {
	s.mu.Lock()
	t, known := s.live[hashOf(token)]
	s.mu.Unlock()
	switch {
	case !known:
		return issued{}, "not a token of this workspace"
	case !s.Now().Before(t.expires):
		return issued{}, "token has expired"
	}
	return t, ""
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return string(sum[:])
}

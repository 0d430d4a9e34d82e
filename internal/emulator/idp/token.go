package idp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"time"
)

// Token is a recipe for one token. The zero value makes a good one: a JWT of the first issuer for subject "alice",
// issued now, that lives 30 minutes.
type Token struct {
	// Issuer is the issuer's name; the first of the server's if empty.
	Issuer string `json:"issuer"`
	// Claims are laid over iss, sub, aud, iat, exp and jti; nil (JSON null) removes one. Integers stay integers.
	Claims map[string]any `json:"claims"`
	// Opaque makes a token that says nothing by itself, and is known to the introspection endpoint of an issuer that has one.
	// Of the members below, Lifetime alone matters for it.
	Opaque bool `json:"opaque"`
	// Lifetime is exp − iat; 30 minutes if zero; may be negative.
	Lifetime time.Duration `json:"-"`
	// Header is laid over alg, kid and typ ("JWT"); nil removes one. It doesn't change how the token is signed.
	Header map[string]any `json:"header"`
	// RawPayload and RawHeader are signed as they are, instead of Claims and Header.
	RawPayload string `json:"raw_payload"`
	RawHeader  string `json:"raw_header"`

	// Algorithm signs: RS*, PS*, ES*, EdDSA; "none", in any spelling, leaves the signature empty; HS256 keys its HMAC
	// with the PEM of a public key, as an attacker who confuses algorithms does: that of Key, or the issuer's first key
	// if Key is empty. Empty means the algorithm of Key, or the issuer's first.
	Algorithm string `json:"algorithm"`
	// Key is the kid of the issuer's key that signs, published or not; the newest one for Algorithm if empty.
	Key string `json:"key"`
	// Forged signs with a key that nobody published, under the right kid.
	Forged bool `json:"forged"`
	// SaltLength of PS*, in bytes; 0 means the hash's length, the only one that RFC 7518 §3.5 allows.
	SaltLength int `json:"salt_length"`
	// Tamper changes the token after it was signed.
	Tamper Tamper `json:"tamper"`
}

// Mint makes a token.
func (s *Server) Mint(t Token) (string, error) {
	i := s.Issuer(t.Issuer)
	if i == nil {
		return "", fmt.Errorf("idp: no issuer %q", t.Issuer)
	}
	if i.URL() == "" || i.srv.URL() == "" {
		return "", fmt.Errorf("idp: the issuer has no URL yet: Start the server, or set Config.URL")
	}
	token, err := i.mint(t)
	if err != nil {
		return "", err
	}
	s.Remember(token)
	return token, nil
}

// MustMint is Mint for recipes that can't fail; it panics if one does.
func (s *Server) MustMint(t Token) string {
	token, err := s.Mint(t)
	if err != nil {
		panic(err)
	}
	return token
}

// MintMany makes n tokens on all processors: token i by the recipe that recipe(i) returns. ES256 makes about 15,000 a
// second and core, RS256 about 900. recipe must be safe for concurrent use.
func (s *Server) MintMany(n int, recipe func(i int) Token) ([]string, error) {
	tokens := make([]string, n)
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				tokens[i], errs[w] = s.Mint(recipe(i))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func (i *Issuer) mint(t Token) (string, error) {
	if t.Opaque {
		return i.mintOpaque(t)
	}
	token, err := i.mintJWT(t)
	if err == nil && len(i.cfg.Inquirers) > 0 && !t.Forged && t.Tamper == "" {
		i.rememberJWT(token)
	}
	return token, err
}

func (i *Issuer) mintJWT(t Token) (string, error) {
	alg, err := i.algorithm(t)
	if err != nil {
		return "", err
	}
	signer, err := i.signer(t, alg)
	if err != nil {
		return "", err
	}
	header := t.RawHeader
	if header == "" {
		fields := map[string]any{"alg": alg, "typ": "JWT"}
		if signer.kid != "" {
			fields["kid"] = signer.kid
		}
		if header, err = overlay(fields, t.Header); err != nil {
			return "", fmt.Errorf("idp: header: %w", err)
		}
	}
	payload := t.RawPayload
	if payload == "" {
		if payload, err = overlay(i.claims(t), t.Claims); err != nil {
			return "", fmt.Errorf("idp: claims: %w", err)
		}
	}
	input := encode(header) + "." + encode(payload)
	signature, err := signer.sign([]byte(input))
	if err != nil {
		return "", fmt.Errorf("idp: signing: %w", err)
	}
	return t.Tamper.apply(header, payload, signature)
}

func (i *Issuer) algorithm(t Token) (string, error) {
	if t.Algorithm != "" {
		return t.Algorithm, nil
	}
	if t.Key == "" {
		return i.cfg.Algorithms[0], nil
	}
	k, err := i.find("", t.Key)
	if err != nil {
		return "", err
	}
	return k.alg, nil
}

func (i *Issuer) claims(t Token) map[string]any {
	lifetime := t.Lifetime
	if lifetime == 0 {
		lifetime = 30 * time.Minute
	}
	now := i.srv.Now()
	claims := map[string]any{
		"iss": i.URL(), "sub": "alice", "iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": randomHex(16),
	}
	if i.cfg.Audience != "" {
		claims["aud"] = i.cfg.Audience
	}
	return claims
}

// overlay lays changes over fields, nil removing one, and encodes the result.
func overlay(fields, changes map[string]any) (string, error) {
	maps.Copy(fields, changes)
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(fields)
	return string(text), err
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

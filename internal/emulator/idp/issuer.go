package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is one issuer of the provider.
type Issuer struct {
	cfg IssuerConfig
	srv *Server

	mu     sync.Mutex
	keys   []*key             // oldest first
	issued map[string]*issued // where it is asked about its tokens
}

// key is one signing key. Its private half is made in the background: RSA takes its time.
type key struct {
	kid, alg  string
	private   func() crypto.Signer
	published bool
	signs     bool // may be chosen for tokens that name no key
}

func newIssuer(srv *Server, cfg IssuerConfig) (*Issuer, error) {
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = []string{"RS256", "ES256"}
	}
	i := &Issuer{cfg: cfg, srv: srv}
	for _, alg := range cfg.Algorithms {
		if _, err := i.Rotate(alg); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// Rotate makes a key that is published and signs from now on, and returns its kid. Its predecessors stay published until
// they are withdrawn.
func (i *Issuer) Rotate(alg string) (kid string, err error) { return i.add(alg, true) }

// AddKey makes a key that is neither published nor used until Publish, or by tokens that name it.
func (i *Issuer) AddKey(alg string) (kid string, err error) { return i.add(alg, false) }

// Publish puts the key into the JWKS and signs with it from now on.
func (i *Issuer) Publish(kid string) error {
	return i.change(kid, func(k *key) {
		k.published, k.signs = true, true
		at := slices.Index(i.keys, k)
		i.keys = append(slices.Delete(i.keys, at, at+1), k)
	})
}

// Withdraw takes the key out of the JWKS. Tokens that name it are still made.
func (i *Issuer) Withdraw(kid string) error {
	return i.change(kid, func(k *key) { k.published, k.signs = false, false })
}

// KeyID returns the kid of the key that signs for that algorithm now; "" if there is none yet.
func (i *Issuer) KeyID(alg string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if k := i.signing(alg); k != nil {
		return k.kid
	}
	return ""
}

// JWKS returns the published keys, newest last.
func (i *Issuer) JWKS() jose.JSONWebKeySet {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range i.keys {
		if k.published {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private().Public(), KeyID: k.kid, Algorithm: k.alg, Use: "sig"})
		}
	}
	return set
}

func (i *Issuer) algorithms() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var algs []string
	for _, k := range i.keys {
		if k.published && !slices.Contains(algs, k.alg) {
			algs = append(algs, k.alg)
		}
	}
	return algs
}

func (i *Issuer) add(alg string, published bool) (string, error) {
	k, err := newKey(alg)
	if err != nil {
		return "", err
	}
	k.published, k.signs = published, published
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
	return k.kid, nil
}

func (i *Issuer) change(kid string, do func(*key)) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range i.keys {
		if k.kid == kid {
			do(k)
			return nil
		}
	}
	return fmt.Errorf("idp: issuer %s has no key %q", i.cfg.Name, kid)
}

// signing returns the newest key for the algorithm; nil if there is none. The lock is held.
func (i *Issuer) signing(alg string) *key {
	for _, k := range slices.Backward(i.keys) {
		if k.signs && k.alg == alg {
			return k
		}
	}
	return nil
}

// find returns the key that a token asks for, by kid or else by algorithm; a key for a new algorithm is made and
// published.
func (i *Issuer) find(alg, kid string) (*key, error) {
	for {
		i.mu.Lock()
		k := i.signing(alg)
		if kid != "" {
			at := slices.IndexFunc(i.keys, func(k *key) bool { return k.kid == kid })
			if at < 0 {
				i.mu.Unlock()
				return nil, fmt.Errorf("idp: issuer %s has no key %q", i.cfg.Name, kid)
			}
			k = i.keys[at]
		}
		i.mu.Unlock()
		if k != nil {
			return k, nil
		}
		if _, err := i.Rotate(alg); err != nil {
			return nil, err
		}
	}
}

// newKey starts making a key for the JWS algorithm.
func newKey(alg string) (*key, error) {
	var generate func() (crypto.Signer, error)
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		generate = func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }
	case "ES256", "ES384", "ES512":
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[alg]
		generate = func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
	case "EdDSA":
		generate = func() (crypto.Signer, error) {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			return private, err
		}
	default:
		return nil, fmt.Errorf("idp: no keys for algorithm %q", alg)
	}
	private := sync.OnceValue(func() crypto.Signer {
		signer, err := generate()
		if err != nil {
			panic(err) // the machine's randomness is broken
		}
		return signer
	})
	go private()
	return &key{kid: strings.ToLower(alg) + "-" + randomHex(8), alg: alg, private: private}, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

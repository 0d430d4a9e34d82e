package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // registers the hashes of RS512 and its like
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// signer signs one token's bytes.
type signer struct {
	kid  string
	sign func(input []byte) ([]byte, error)
}

// signer chooses the key and the way of signing that the recipe asks for.
func (i *Issuer) signer(t Token, alg string) (signer, error) {
	switch {
	case strings.EqualFold(alg, "none"):
		return signer{sign: func([]byte) ([]byte, error) { return nil, nil }}, nil
	case alg == "HS256":
		k, err := i.find(i.cfg.Algorithms[0], t.Key)
		if err != nil {
			return signer{}, err
		}
		return signer{kid: k.kid, sign: func(input []byte) ([]byte, error) { return confused(k, input) }}, nil
	}
	k, err := i.find(alg, t.Key)
	if err != nil {
		return signer{}, err
	}
	used := k
	if t.Forged {
		if used, err = newKey(alg); err != nil {
			return signer{}, err
		}
	}
	return signer{kid: k.kid, sign: func(input []byte) ([]byte, error) {
		return signJWS(alg, used.private(), t.SaltLength, input)
	}}, nil
}

// confused makes an HMAC keyed by a public key, which verifies where the header's alg chooses the check (RFC 8725 §2.1).
func confused(k *key, input []byte) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.private().Public())
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write(input)
	return mac.Sum(nil), nil
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// signJWS signs input by a JWS algorithm (RFC 7518 §3, RFC 8037).
func signJWS(alg string, private crypto.Signer, saltLength int, input []byte) ([]byte, error) {
	if alg == "EdDSA" {
		if private, ok := private.(ed25519.PrivateKey); ok {
			return ed25519.Sign(private, input), nil
		}
		return nil, fmt.Errorf("%s with a %T", alg, private)
	}
	if len(alg) != len("ES256") || hashes[alg[2:]] == 0 {
		return nil, fmt.Errorf("unknown algorithm %q", alg)
	}
	hash := hashes[alg[2:]]
	digest := hash.New()
	digest.Write(input)
	sum := digest.Sum(nil)
	switch private := private.(type) {
	case *rsa.PrivateKey:
		switch alg[:2] {
		case "RS":
			return rsa.SignPKCS1v15(rand.Reader, private, hash, sum)
		case "PS":
			if saltLength == 0 {
				saltLength = rsa.PSSSaltLengthEqualsHash
			}
			return rsa.SignPSS(rand.Reader, private, hash, sum, &rsa.PSSOptions{SaltLength: saltLength})
		}
	case *ecdsa.PrivateKey:
		if alg[:2] == "ES" {
			return signECDSA(private, sum)
		}
	}
	return nil, fmt.Errorf("%s with a %T", alg, private)
}

// signECDSA writes r and s side by side, each as long as the curve's order (RFC 7518 §3.4).
func signECDSA(private *ecdsa.PrivateKey, sum []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, private, sum)
	if err != nil {
		return nil, err
	}
	size := (private.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

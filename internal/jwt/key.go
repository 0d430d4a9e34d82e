package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Algorithms are the signature algorithms that a Key can be of: all asymmetric (RFC 8725 §3.1). Callers allow a part of
// them.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Key is a public key that tokens are checked against.
type Key struct {
	// ID is the kid, "" where the key set names none.
	ID string
	// Algorithm is the only algorithm that the key set allows for it, "" for any that fits.
	Algorithm string
	// Public is an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	Public crypto.PublicKey
	// Issuer is the member issuer, which Entra ID's keys have beside those of RFC 7517: the iss of the tokens that the key
	// signs, with {tenantid} in place of a tenant where it signs for all. "" where there is none.
	Issuer string
}

const (
	minRSABits = 2048
	// maxRSABits bounds what one signature may cost us.
	maxRSABits = 8192
)

// check refuses keys that nothing should be checked against.
func (k *Key) check() error {
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("is an RSA key of %d bits; %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		if public.E < 3 || public.E%2 == 0 {
			return errors.New("is an RSA key with a bad exponent")
		}
		if factorable(public.N) {
			return errors.New("is an RSA key of a chip whose keys can be factored (ROCA, CVE-2017-15361); have it replaced at once")
		}
	case *ecdsa.PublicKey:
		if algorithmOf(public.Curve) == "" {
			return errors.New("is on a curve that no algorithm is for")
		}
	case ed25519.PublicKey:
	default:
		return errors.New("is not a public key of a kind that is known here (RSA, EC, Ed25519)")
	}
	if k.Algorithm != "" && !k.Fits(k.Algorithm) {
		return errors.New("names an algorithm that does not fit it")
	}
	return nil
}

// Fits reports whether a token of that algorithm may have been signed with this key.
func (k *Key) Fits(algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	if !slices.Contains(Algorithms(), algorithm) {
		return false
	}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return algorithm == algorithmOf(public.Curve)
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// algorithmOf is the one algorithm that RFC 7518 §3.4 has for a curve.
func algorithmOf(curve elliptic.Curve) string {
	switch curve {
	case elliptic.P256():
		return "ES256"
	case elliptic.P384():
		return "ES384"
	case elliptic.P521():
		return "ES512"
	}
	return ""
}

// ErrSignature is a signature that the key did not make.
var ErrSignature = errors.New("has a signature that its issuer's key did not make")

// Verify checks the token's signature. The caller has checked that the algorithm is among those that it allows.
//
// It uses the standard library's primitives and no JOSE library, which would read the header a second time, by other rules
// than ours, and parse the keys and certificates that it offers before anybody has proved anything (docs/adr/0022).
func (k *Key) Verify(t *Token) error {
	if !k.Fits(t.Header.Algorithm) {
		return fmt.Errorf("%w: the key is not for that algorithm", ErrSignature)
	}
	if !k.signed(t.Header.Algorithm, t.text[:strings.LastIndexByte(t.text, '.')], t.signature) {
		return ErrSignature
	}
	return nil
}

// signed reports whether the key made the signature of input by an algorithm that fits it (RFC 7518 §3.3 to §3.5, RFC
// 8037 §3.1).
func (k *Key) signed(algorithm, input string, signature []byte) bool {
	if public, ok := k.Public.(ed25519.PublicKey); ok {
		return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, []byte(input), signature)
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[algorithm[2:]]
	h := hash.New()
	h.Write([]byte(input))
	digest := h.Sum(nil)
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(algorithm, "PS") {
			// A salt of another length than the hash's is none of JWA's.
			return rsa.VerifyPSS(public, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}) == nil
		}
		return rsa.VerifyPKCS1v15(public, hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		// Two numbers of the curve's size, never ASN.1.
		size := (public.Curve.Params().BitSize + 7) / 8
		return len(signature) == 2*size && ecdsa.Verify(public, digest, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	}
	return false
}

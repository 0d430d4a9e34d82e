package clients

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/lakegate/sts/internal/jwt"
)

// maxKeysPerAlgorithm is how many keys of a client one assertion may be tried against: the one in use, and its successor
// during a rotation.
const maxKeysPerAlgorithm = 2

// parseKeys reads a client's JWK set. Unlike a provider's set, which somebody else publishes, every key of it must be
// good: the file is our operator's.
func parseKeys(text []byte) ([]jwt.Key, error) {
	keys, skipped, err := jwt.ParseKeySet(text)
	switch {
	case err != nil:
		return nil, err
	case len(skipped) > 0:
		return nil, fmt.Errorf("the key %q %w", skipped[0].ID, skipped[0].Reason)
	case len(keys) == 0:
		return nil, errors.New("the key set has no key")
	}
	for _, algorithm := range AssertionAlgorithms() {
		fit := 0
		for i := range keys {
			if keys[i].Fits(algorithm) {
				fit++
			}
		}
		if fit > maxKeysPerAlgorithm {
			return nil, fmt.Errorf("the key set has %d keys for %s; it may have one, and its successor during a rotation", fit, algorithm)
		}
	}
	for i := range keys {
		if !fitsAny(&keys[i]) {
			return nil, fmt.Errorf("the key %q is for none of %v", keys[i].ID, AssertionAlgorithms())
		}
	}
	return keys, nil
}

func fitsAny(key *jwt.Key) bool {
	for _, algorithm := range AssertionAlgorithms() {
		if key.Fits(algorithm) {
			return true
		}
	}
	return false
}

// newDecoys makes a public key for each algorithm that nobody holds the private half of.
func newDecoys(random io.Reader) (map[string]*jwt.Key, error) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("making a decoy key: %w", err)
	}
	edwards, _, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("making a decoy key: %w", err)
	}
	// Any odd number of that length costs what a key does, and is made a thousand times faster.
	modulus := make([]byte, 256)
	if _, err := io.ReadFull(random, modulus); err != nil {
		return nil, fmt.Errorf("making a decoy key: %w", err)
	}
	modulus[0] |= 0x80
	modulus[255] |= 1
	number := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}

	decoys := make(map[string]*jwt.Key, len(AssertionAlgorithms()))
	for algorithm, public := range map[string]crypto.PublicKey{"ES256": curve.Public(), "EdDSA": edwards, "RS256": number, "PS256": number} {
		decoys[algorithm] = &jwt.Key{Public: public}
	}
	return decoys, nil
}

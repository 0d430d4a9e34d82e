package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// algorithm is what we sign with. Databricks accepts RS256 too, at twenty times the cost of a signature.
const algorithm = jose.ES256

// key is an opened key.
type key struct {
	id     string
	public jose.JSONWebKey
	signer jose.Signer
}

// makeKey makes a key and seals it.
func (i *Issuer) makeKey(now, activates time.Time) (keyRecord, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), i.random)
	if err != nil {
		return keyRecord{}, fmt.Errorf("making a signing key: %w", err)
	}
	id, err := thumbprint(private.Public())
	if err != nil {
		return keyRecord{}, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return keyRecord{}, fmt.Errorf("encoding a signing key: %w", err)
	}
	sealed, err := i.aead.Encrypt(plain, sealedAs(id))
	clear(plain)
	if err != nil {
		return keyRecord{}, fmt.Errorf("sealing a signing key: %w", err)
	}
	return keyRecord{ID: id, Algorithm: string(algorithm), Sealed: sealed, Created: now.UTC(), Activates: activates.UTC()}, nil
}

// openKey opens a key that any replica sealed.
func (i *Issuer) openKey(r keyRecord) (*key, error) {
	plain, err := i.aead.Decrypt(r.Sealed, sealedAs(r.ID))
	if err != nil {
		return nil, fmt.Errorf("the signing key %s in the ledger does not open: it was sealed under another keyset than store.keyset_file names; "+
			"restore that keyset, and do not make a new one", r.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	clear(plain)
	if err != nil {
		return nil, errors.New("the signing key " + r.ID + " in the ledger is damaged; restore the ledger")
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok || r.Algorithm != string(algorithm) {
		return nil, fmt.Errorf("the signing key %s in the ledger is of the algorithm %q, and this program signs with %s; use the program that made it", r.ID, r.Algorithm, algorithm)
	}
	return newKey(r.ID, signer)
}

// newKey makes a key of anything that signs, wherever its private half lies.
func newKey(id string, signer crypto.Signer) (*key, error) {
	if sum, err := thumbprint(signer.Public()); err != nil || sum != id {
		return nil, fmt.Errorf("the signing key %s is another key than its id says", id)
	}
	s, err := jose.NewSigner(
		jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: cryptosigner.Opaque(signer), KeyID: id}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing the signing key %s: %w", id, err)
	}
	public := jose.JSONWebKey{Key: signer.Public(), KeyID: id, Algorithm: string(algorithm), Use: "sig"}
	return &key{id: id, public: public, signer: s}, nil
}

// thumbprint is a key's id (RFC 7638): everybody who has the key gives it the same one.
func thumbprint(public crypto.PublicKey) (string, error) {
	jwk := jose.JSONWebKey{Key: public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("naming a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// sealedAs binds a sealed key to its purpose and its name.
func sealedAs(id string) []byte { return []byte("sts issuer key 1 " + id) }

package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/internal/jwt"
)

func TestVerify(t *testing.T) {
	const exact = rsa.PSSSaltLengthEqualsHash
	for _, test := range []struct {
		name      string
		signer    string // whose key signs
		algorithm string // how it signs
		says      string // the header's alg
		key       string // whose key checks
		only      string // the key's own alg
		salt      int
		der       bool
		ok        bool
	}{
		{name: "RS256", signer: "rsa", algorithm: "RS256", says: "RS256", key: "rsa", ok: true},
		{name: "RS384", signer: "rsa", algorithm: "RS384", says: "RS384", key: "rsa", ok: true},
		{name: "RS512", signer: "rsa", algorithm: "RS512", says: "RS512", key: "rsa", ok: true},
		{name: "PS256", signer: "rsa", algorithm: "PS256", says: "PS256", key: "rsa", salt: exact, ok: true},
		{name: "PS384", signer: "rsa", algorithm: "PS384", says: "PS384", key: "rsa", salt: exact, ok: true},
		{name: "PS512", signer: "rsa", algorithm: "PS512", says: "PS512", key: "rsa", salt: exact, ok: true},
		{name: "ES256", signer: "p256", algorithm: "ES256", says: "ES256", key: "p256", ok: true},
		{name: "ES384", signer: "p384", algorithm: "ES384", says: "ES384", key: "p384", ok: true},
		{name: "ES512", signer: "p521", algorithm: "ES512", says: "ES512", key: "p521", ok: true},
		{name: "EdDSA", signer: "ed25519", algorithm: "EdDSA", says: "EdDSA", key: "ed25519", ok: true},
		{name: "the key's own algorithm", signer: "rsa", algorithm: "RS256", says: "RS256", key: "rsa", only: "RS256", ok: true},
		{name: "not the key's own algorithm", signer: "rsa", algorithm: "RS256", says: "RS256", key: "rsa", only: "PS256"},
		{name: "PSS with a salt of 0", signer: "rsa", algorithm: "PS256", says: "PS256", key: "rsa", salt: 0},
		{name: "PSS with a salt of 20", signer: "rsa", algorithm: "PS256", says: "PS256", key: "rsa", salt: 20},
		{name: "PSS with the longest salt", signer: "rsa", algorithm: "PS256", says: "PS256", key: "rsa", salt: 2048/8 - 32 - 2},
		{name: "PKCS #1 called PSS", signer: "rsa", algorithm: "RS256", says: "PS256", key: "rsa"},
		{name: "PSS called PKCS #1", signer: "rsa", algorithm: "PS256", says: "RS256", key: "rsa", salt: exact},
		{name: "another hash", signer: "rsa", algorithm: "RS512", says: "RS256", key: "rsa"},
		{name: "ASN.1 in place of raw", signer: "p256", algorithm: "ES256", says: "ES256", key: "p256", der: true},
		{name: "another curve's algorithm", signer: "p256", algorithm: "ES384", says: "ES384", key: "p256"},
		{name: "another kind of key", signer: "p256", algorithm: "ES256", says: "ES256", key: "rsa"},
		{name: "none", signer: "p256", algorithm: "ES256", says: "none", key: "p256"},
		{name: "nOnE", signer: "p256", algorithm: "ES256", says: "nOnE", key: "p256"},
		{name: "lower case", signer: "p256", algorithm: "ES256", says: "es256", key: "p256"},
		{name: "ES256K", signer: "p256", algorithm: "ES256", says: "ES256K", key: "p256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			input := segment(`{"alg":"`+test.says+`"}`) + "." + segment(goodPayload)
			text := input + "." + segment(string(sign(t, testKeys()[test.signer], test.algorithm, input, test.salt, test.der)))
			parsed, err := jwt.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			key := jwt.Key{Algorithm: test.only, Public: testKeys()[test.key].Public()}
			if err := key.Verify(parsed); (err == nil) != test.ok || (err != nil && !errors.Is(err, jwt.ErrSignature)) {
				t.Errorf("error %v, want accepted %t", err, test.ok)
			}
		})
	}
}

// The oldest attack: the public key as an HMAC secret (RFC 8725 §2.1).
func TestVerifyRefusesThePublicKeyAsSecret(t *testing.T) {
	public := testKeys()["rsa"].Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	input := segment(`{"alg":"HS256"}`) + "." + segment(goodPayload)
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(input))
	parsed, err := jwt.Parse(input + "." + segment(string(mac.Sum(nil))))
	if err != nil {
		t.Fatal(err)
	}
	key := jwt.Key{Public: public}
	if err := key.Verify(parsed); !errors.Is(err, jwt.ErrSignature) {
		t.Errorf("error %v, want ErrSignature", err)
	}
}

// A key offered by the token itself is not used.
func TestVerifyIgnoresEmbeddedKeys(t *testing.T) {
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := jose.JSONWebKey{Key: attacker.Public()}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, signer := range map[string]crypto.Signer{"attacker's": attacker, "issuer's": testKeys()["p256"]} {
		input := segment(`{"alg":"ES256","jwk":`+string(embedded)+`,"jku":"http://127.0.0.1:1/"}`) + "." + segment(goodPayload)
		parsed, err := jwt.Parse(input + "." + segment(string(sign(t, signer, "ES256", input, 0, false))))
		if err != nil {
			t.Fatal(err)
		}
		key := jwt.Key{Public: testKeys()["p256"].Public()}
		if err := key.Verify(parsed); (err == nil) != (name == "issuer's") {
			t.Errorf("signed by the %s key: error %v", name, err)
		}
	}
}

func TestFitsNothingSymmetric(t *testing.T) {
	keys := []crypto.PublicKey{testKeys()["rsa"].Public(), testKeys()["p256"].Public(), testKeys()["ed25519"].Public(), []byte("secret"), nil}
	for _, public := range keys {
		key := jwt.Key{Public: public}
		for _, algorithm := range []string{"HS256", "HS384", "HS512", "none", "", "RSA-OAEP", "RS1", "PS", "RS", "ML-DSA-44"} {
			if key.Fits(algorithm) {
				t.Errorf("%T fits %q", public, algorithm)
			}
		}
	}
	if key := (jwt.Key{Public: ed25519.PublicKey(make([]byte, 32))}); !key.Fits("EdDSA") {
		t.Error("an Ed25519 key does not fit EdDSA")
	}
}

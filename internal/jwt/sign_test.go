package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
)

// testKeys are made once: RSA keys are slow to make.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	keys["rsa"], _ = rsa.GenerateKey(rand.Reader, 2048)
	keys["p256"], _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys["p384"], _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	keys["p521"], _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, keys["ed25519"], _ = ed25519.GenerateKey(rand.Reader)
	return keys
})

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// sign makes the signature that algorithm stands for, or a bad one: salt is that of PSS, der the ASN.1 form of ECDSA.
func sign(t testing.TB, key crypto.Signer, algorithm, input string, salt int, der bool) []byte {
	t.Helper()
	digest, hash := []byte(input), crypto.Hash(0)
	if algorithm != "EdDSA" {
		hash = hashes[algorithm[2:]]
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	var options crypto.SignerOpts = hash
	if strings.HasPrefix(algorithm, "PS") {
		options = &rsa.PSSOptions{SaltLength: salt, Hash: hash}
	}
	if private, ok := key.(*ecdsa.PrivateKey); ok && !der {
		r, s, err := ecdsa.Sign(rand.Reader, private, digest)
		if err != nil {
			t.Fatal(err)
		}
		size := (private.Curve.Params().BitSize + 7) / 8
		raw := make([]byte, 2*size)
		r.FillBytes(raw[:size])
		s.FillBytes(raw[size:])
		return raw
	}
	signature, err := key.Sign(rand.Reader, digest, options)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func segment(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// token signs header and payload with an ES256 key.
func token(t testing.TB, header, payload string) string {
	t.Helper()
	input := segment(header) + "." + segment(payload)
	return input + "." + segment(string(sign(t, testKeys()["p256"], "ES256", input, 0, false)))
}

package e2e_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/server/clients"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// settled is how long after its start a service accepts every assertion that is made from then on: its marks are then
// older than any of them, skew included.
const settled = 2*clients.AssertionLeeway + time.Second

// signer signs a client's assertions.
type signer struct {
	id  string // the kid, "" for none
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

// newSigner makes a key. RSA keys take long to make, so that all are one.
func newSigner(t *testing.T, id string, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key = databricksKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, alg, key}
}

// keySet is the signers' public keys as a file of them.
func keySet(t *testing.T, signers ...signer) string {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Algorithm: string(s.alg), Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newSettledWorld starts a world whose service is that old.
func newSettledWorld(t *testing.T, change ...func(w *world, s *setup)) *world {
	t.Helper()
	w := prepareWorld(t, change...)
	w.Move(-settled)
	w.Start()
	w.Move(0)
	return w
}

// Assert makes an assertion of a client, with claims laid over the usual ones; nil takes one out, a time.Duration is
// that long from now.
func (w *world) Assert(s signer, client string, change object) string {
	now := w.Now()
	claims := object{
		"iss": client, "sub": client, "aud": stsIssuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	for name, v := range claims {
		if d, fromNow := v.(time.Duration); fromNow {
			claims[name] = now.Add(d).Unix()
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := made.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	w.said.addSecret(text)
	return text
}

// signing makes a request authenticate by an assertion.
func signing(assertion string) func(*request) {
	return func(r *request) {
		r.Client = ""
		with("client_assertion", assertion, "client_assertion_type", assertionType)(r)
	}
}

// signingClient is a client's configuration, whose keys stand in a file of its name.
func (w *world) signingClient(name string, more object, signers ...signer) object {
	w.WriteFile(name+".jwks.json", keySet(w.t, signers...))
	return w.clientWithoutSecret(object{"auth_method": "private_key_jwt", "jwks_file": filepath.Join(w.dir, name+".jwks.json")}, more)
}

// clientWithoutSecret is a client's configuration that says itself how it authenticates.
func (w *world) clientWithoutSecret(how, more object) object {
	c := w.client("unused", how)
	delete(c, "secret_sha256")
	maps.Copy(c, more)
	return c
}

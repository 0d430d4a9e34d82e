package jwt_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/internal/jwt"
)

// jwk is a public key's JWK with changes: a nil value takes a member out.
func jwk(t testing.TB, key crypto.PublicKey, changes map[string]any) string {
	t.Helper()
	text, err := jose.JSONWebKey{Key: key, KeyID: "k1", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	if text, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseKeySetKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, rsaKey := testKeys()["p256"].Public(), testKeys()["rsa"].Public()
	for _, test := range []struct {
		name, key string
		want      string // part of why it is skipped, "" where it is taken
	}{
		{"EC", jwk(t, ec, nil), ""},
		{"RSA", jwk(t, rsaKey, nil), ""},
		{"Ed25519", jwk(t, testKeys()["ed25519"].Public(), nil), ""},
		{"no use", jwk(t, ec, map[string]any{"use": nil}), ""},
		{"no kid", jwk(t, ec, map[string]any{"kid": nil}), ""},
		{"its algorithm", jwk(t, ec, map[string]any{"alg": "ES256"}), ""},
		{"for verifying", jwk(t, ec, map[string]any{"key_ops": []string{"verify"}}), ""},
		{"unknown members, a broken certificate", jwk(t, ec, map[string]any{"x5c": []string{"AAAA"}, "x5t": 1, "y2": nil}), ""},
		{"for encryption", jwk(t, ec, map[string]any{"use": "enc"}), "(use)"},
		{"its issuer", jwk(t, ec, map[string]any{"issuer": "https://idp.example/{tenantid}"}), ""},
		{"an issuer of another type", jwk(t, ec, map[string]any{"issuer": 7}), "issuer"},
		{"use of another type", jwk(t, ec, map[string]any{"use": 1}), "(use)"},
		{"for signing only", jwk(t, ec, map[string]any{"key_ops": []string{"sign"}}), "(key_ops)"},
		{"key_ops of another type", jwk(t, ec, map[string]any{"key_ops": "verify"}), "(key_ops)"},
		{"another curve's algorithm", jwk(t, ec, map[string]any{"alg": "ES384"}), "does not fit"},
		{"an encryption algorithm", jwk(t, rsaKey, map[string]any{"alg": "RSA-OAEP"}), "does not fit"},
		{"a symmetric algorithm", jwk(t, rsaKey, map[string]any{"alg": "HS256"}), "does not fit"},
		{"weak RSA", jwk(t, weak.Public(), nil), "1024 bits"},
		{"RSA with exponent 1", jwk(t, rsaKey, map[string]any{"e": "AQ"}), ""},
		{"a private key", jwk(t, ec, map[string]any{"d": "AAAA"}), "private"},
		{"symmetric", `{"kty":"oct","k":"c2VjcmV0","kid":"k1"}`, "kty"},
		{"no kty", jwk(t, ec, map[string]any{"kty": nil}), "kty"},
		{"unknown kty", jwk(t, ec, map[string]any{"kty": "AKP"}), "kty"},
		{"unknown curve", jwk(t, ec, map[string]any{"crv": "secp256k1"}), "well-formed"},
		{"not on its curve", jwk(t, ec, map[string]any{"y": strings.Repeat("A", 43)}), "well-formed"},
		{"no y", jwk(t, ec, map[string]any{"y": nil}), "well-formed"},
		{"kid of another type", jwk(t, ec, map[string]any{"kid": 7}), "kid"},
		{"X25519", `{"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`, "well-formed"},
		{"not an object", `"k1"`, "not a JSON object"},
	} {
		// A good key stands on both sides: it is taken whatever its neighbour is.
		good := jwk(t, ec, map[string]any{"kid": "good"})
		keys, skipped, err := jwt.ParseKeySet([]byte(`{"keys":[` + good + `,` + test.key + `,` + good + `]}`))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if test.name == "RSA with exponent 1" {
			test.want = skipped[0].Reason.Error() // whoever notices it first
		}
		if test.want == "" {
			if len(keys) != 3 || len(skipped) != 0 {
				t.Errorf("%s: %d keys, skipped %v", test.name, len(keys), skipped)
			}
		} else if len(keys) != 2 || len(skipped) != 1 || !strings.Contains(skipped[0].Reason.Error(), test.want) {
			t.Errorf("%s: %d keys, skipped %v, want %q", test.name, len(keys), skipped, test.want)
		}
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{}`, `{"keys":{}}`, `{"keys":null}`, `{"Keys":[]}`, `{"keys":[],"keys":[]}`, `<html>`,
		`{"keys":[` + strings.Repeat(" ", jwt.MaxKeySetBytes) + `]}`,
	} {
		if keys, _, err := jwt.ParseKeySet([]byte(text)); err == nil {
			t.Errorf("%.40q is accepted with %d keys", text, len(keys))
		}
	}
	if keys, _, err := jwt.ParseKeySet([]byte(`{"keys":[]}`)); err != nil || len(keys) != 0 {
		t.Errorf("an empty set: %v", err)
	}
}

// F25
func TestParseKeySetIsBounded(t *testing.T) {
	var list []string
	for i := range jwt.MaxKeys + 50 {
		list = append(list, jwk(t, testKeys()["p256"].Public(), map[string]any{"kid": fmt.Sprint(i)}))
	}
	keys, skipped, err := jwt.ParseKeySet([]byte(`{"keys":[` + strings.Join(list, ",") + `]}`))
	if err != nil || len(keys) != jwt.MaxKeys || len(skipped) != 1 {
		t.Errorf("%d keys, %d skipped, %v; want the first %d and one word about the rest", len(keys), len(skipped), err, jwt.MaxKeys)
	}
}

// FuzzParseKeySet: every key that is taken can check signatures of one of our algorithms, and of no other.
func FuzzParseKeySet(f *testing.F) {
	for _, name := range []string{"rsa", "p256", "p521", "ed25519"} {
		f.Add([]byte(`{"keys":[` + jwk(f, testKeys()[name].Public(), nil) + `]}`))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, _, err := jwt.ParseKeySet(text)
		if err != nil && keys != nil {
			t.Fatal("keys beside an error")
		}
		if len(keys) > jwt.MaxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		for _, key := range keys {
			if !slices.ContainsFunc(jwt.Algorithms(), key.Fits) || key.Fits("HS256") || key.Fits("none") {
				t.Errorf("key %+v", key)
			}
			if rsaKey, ok := key.Public.(*rsa.PublicKey); ok && rsaKey.N.BitLen() < 2048 {
				t.Errorf("an RSA key of %d bits", rsaKey.N.BitLen())
			}
		}
	})
}

package jwt_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/lakegate/sts/internal/jwt"
)

// vectors are a file of Wycheproof's: groups of tests of one key or key set.
type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		Comment         string
		Public, Private map[string]any
		Tests           []vector
	}
}

type vector struct {
	TcID         int
	Comment, JWS string
	Result       string
}

func readVectors(t *testing.T, name string) (v vectors) {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// misnamed are controls whose key is published for another algorithm than the token's, or for one that doesn't exist
// (ES521). We take a key's alg at its word (RFC 7517 §4.4), so that they are accepted only where it is left out.
var misnamed = map[int]bool{346: true, 347: true, 350: true, 351: true}

// TestWycheproofSignatures holds every JWS of Wycheproof against its key, read as a provider's key set is: none that is invalid
// is accepted, and every control of an algorithm that we know is.
func TestWycheproofSignatures(t *testing.T) {
	invalid, controls, symmetric := 0, 0, 0
	for _, group := range readVectors(t, "json_web_signature_test.json").TestGroups {
		key := group.Public
		if key == nil {
			key = group.Private // of an HMAC, which has no other
		}
		for _, test := range group.Tests {
			accepted := verifies(t, map[string]any{"keys": []any{key}}, test.JWS)
			switch {
			case test.Result == "invalid":
				invalid++
				if accepted {
					t.Errorf("%d (%s, %s) is invalid and accepted", test.TcID, group.Comment, test.Comment)
				}
			case key["kty"] == "oct":
				symmetric++
				if accepted {
					t.Errorf("%d (%s) is accepted by a shared secret", test.TcID, group.Comment)
				}
			default:
				controls++
				if accepted == misnamed[test.TcID] {
					t.Errorf("%d (%s, %s): accepted %t", test.TcID, group.Comment, test.Comment, accepted)
				}
				unnamed := maps.Clone(key)
				delete(unnamed, "alg")
				if !verifies(t, map[string]any{"keys": []any{unnamed}}, test.JWS) {
					t.Errorf("%d (%s, %s) is a control and refused", test.TcID, group.Comment, test.Comment)
				}
			}
		}
	}
	if invalid != 355 || controls != 36 || symmetric != 10 {
		t.Errorf("%d invalid, %d controls and %d of a shared secret; want 355, 36 and 10: the vectors are not those that this test was written for", invalid, controls, symmetric)
	}
}

// TestWycheproofKeys does the same for key sets: what is wrong is the key, and the signature by it is right.
func TestWycheproofKeys(t *testing.T) {
	invalid, controls := 0, 0
	for _, group := range readVectors(t, "json_web_key_test.json").TestGroups {
		set := group.Public
		if set == nil {
			set = group.Private
		}
		for _, test := range group.Tests {
			accepted := verifies(t, set, test.JWS)
			switch first, _ := set["keys"].([]any)[0].(map[string]any); {
			case test.Result == "invalid":
				invalid++
				if accepted {
					t.Errorf("%d (%s, %s) is invalid and accepted", test.TcID, group.Comment, test.Comment)
				}
			case first["kty"] != "oct":
				controls++
				if !accepted {
					t.Errorf("%d (%s, %s) is a control and refused", test.TcID, group.Comment, test.Comment)
				}
			}
		}
	}
	if invalid != 21 || controls != 1 {
		t.Errorf("%d invalid and %d controls; want 21 and 1: the vectors are not those that this test was written for", invalid, controls)
	}
}

// verifies reports whether one of the set's keys signed the text, and holds that a text whose payload isn't a JSON object is
// nobody's token.
func verifies(t *testing.T, set map[string]any, text string) bool {
	t.Helper()
	published, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, _, err := jwt.ParseKeySet(published)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Parse(text); err == nil {
		t.Errorf("%.60s is parsed as a token of claims", text)
	}
	token, err := jwt.ParseJWS(text)
	if err != nil {
		return false
	}
	for i := range keys {
		if err := keys[i].Verify(token); err == nil {
			return true
		} else if !errors.Is(err, jwt.ErrSignature) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	return false
}

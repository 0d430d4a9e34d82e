package jwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// MaxKeys is how many keys of a key set are taken, from its start; MaxKeySetBytes bounds its text.
const (
	MaxKeys        = 128
	MaxKeySetBytes = 1 << 20
)

// Skipped is a key of a key set that is not used.
type Skipped struct {
	// ID is its kid if it has one.
	ID string
	// Reason says why, and holds no text of the key.
	Reason error
}

// ParseKeySet reads a JWK set (RFC 7517 §5). A key that is malformed, weak, private, symmetric or for another use is
// skipped, since one bad key must not take the good ones with it. An error means that there is no set at all.
func ParseKeySet(text []byte) (keys []Key, skipped []Skipped, err error) {
	return parseKeySet(text, forSignatures)
}

// ParseBundle reads a SPIFFE trust bundle (SPIFFE Trust Domain and Bundle §4), which is a JWK set, for its keys of
// JWT-SVIDs. The certificates for X.509-SVIDs beside them are passed over; any other key is skipped, since its use must
// say what it is for.
func ParseBundle(text []byte) (keys []Key, skipped []Skipped, err error) {
	return parseKeySet(text, forSVIDs)
}

// errPassedOver is a key that is there for somebody else, as it should be.
var errPassedOver = errors.New("is for something else")

func parseKeySet(text []byte, fits func(member map[string]any) error) (keys []Key, skipped []Skipped, err error) {
	if len(text) > MaxKeySetBytes {
		return nil, nil, fmt.Errorf("the key set is larger than %d bytes", MaxKeySetBytes)
	}
	object, err := ParseObject(string(text))
	if err != nil {
		return nil, nil, fmt.Errorf("the key set %w", err)
	}
	list, ok := object["keys"].([]any)
	if !ok {
		return nil, nil, errors.New("the key set has no array named keys")
	}
	for i, element := range list {
		if i == MaxKeys {
			skipped = append(skipped, Skipped{Reason: fmt.Errorf("is one of %d keys of which only the first %d are taken", len(list), MaxKeys)})
			break
		}
		member, _ := element.(map[string]any)
		key, err := parseKey(member, fits)
		if errors.Is(err, errPassedOver) {
			continue
		}
		if err != nil {
			id, _ := member["kid"].(string)
			skipped = append(skipped, Skipped{ID: id, Reason: err})
			continue
		}
		keys = append(keys, key)
	}
	return keys, skipped, nil
}

// parseKey reads one JWK. Only the members that make a public key reach the JOSE library: certificates in x5c would be
// parsed for nothing.
func parseKey(member map[string]any, fits func(member map[string]any) error) (key Key, err error) {
	if member == nil {
		return key, errors.New("is not a JSON object")
	}
	if _, private := member["d"]; private {
		return key, errors.New("is a private key, published: have it replaced at once")
	}
	if err := fits(member); err != nil {
		return key, err
	}
	public := make(map[string]string, 6)
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e", "kid", "alg"} {
		value, there := member[name]
		if !there {
			continue
		}
		text, isString := value.(string)
		if !isString {
			return key, fmt.Errorf("has a member %s that is not a string", name)
		}
		public[name] = text
	}
	if kty := public["kty"]; kty != "RSA" && kty != "EC" && kty != "OKP" {
		return key, errors.New("has a kty that is not RSA, EC or OKP")
	}
	text, err := json.Marshal(public)
	if err != nil {
		return key, errors.New("can't be read") // strings always encode
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(text); err != nil || !parsed.IsPublic() || !parsed.Valid() {
		return key, errors.New("is not a well-formed key of its kty")
	}
	issuer, ok := member["issuer"].(string)
	if !ok && member["issuer"] != nil {
		return key, errors.New("has a member issuer that is not a string")
	}
	key = Key{ID: public["kid"], Algorithm: public["alg"], Public: parsed.Key, Issuer: issuer}
	return key, key.check()
}

// forSignatures refuses keys that were published for something else (RFC 7517 §4.2, §4.3).
func forSignatures(member map[string]any) error {
	if use, there := member["use"]; there && use != "sig" {
		return errors.New("is not for signatures (use)")
	}
	if operations, there := member["key_ops"]; there {
		list, _ := operations.([]any)
		if !slices.Contains(list, any("verify")) {
			return errors.New("is not for verifying signatures (key_ops)")
		}
	}
	return nil
}

// forSVIDs wants keys that say that they are for JWT-SVIDs.
func forSVIDs(member map[string]any) error {
	switch member["use"] {
	case "jwt-svid":
		return nil
	case "x509-svid":
		return errPassedOver
	}
	return errors.New("is not for JWT-SVIDs: its use must be jwt-svid (or x509-svid, which is for certificates)")
}

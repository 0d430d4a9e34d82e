package idp

import (
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// Tamper is what is done to a token after it was signed. All but TamperPadding, TamperNoncanonical and TamperDER break
// the signature; these three leave it mathematically right and the encoding wrong.
type Tamper string

// The ways of tampering.
const (
	TamperSignature    Tamper = "signature"    // one bit of the signature is flipped
	TamperPayload      Tamper = "payload"      // the payload's JSON is followed by a space
	TamperHeader       Tamper = "header"       // the header's JSON is followed by a space
	TamperStrip        Tamper = "strip"        // the signature is empty, its dot stays
	TamperPadding      Tamper = "padding"      // the signature's base64 is padded by "="
	TamperNoncanonical Tamper = "noncanonical" // the unused bits of the signature's base64 are set
	TamperDER          Tamper = "der"          // ES*: the signature is in ASN.1
)

func (t Tamper) apply(header, payload string, signature []byte) (string, error) {
	last := base64.RawURLEncoding.EncodeToString(signature)
	switch t {
	case "":
	case TamperSignature:
		if len(signature) == 0 {
			return "", fmt.Errorf("idp: there is no signature to tamper with")
		}
		signature[0] ^= 1
		last = base64.RawURLEncoding.EncodeToString(signature)
	case TamperPayload:
		payload += " "
	case TamperHeader:
		header += " "
	case TamperStrip:
		last = ""
	case TamperPadding:
		padded := base64.URLEncoding.EncodeToString(signature)
		if padded == last {
			return "", fmt.Errorf("idp: a signature of %d bytes needs no padding", len(signature))
		}
		last = padded
	case TamperNoncanonical:
		var err error
		if last, err = noncanonical(last); err != nil {
			return "", err
		}
	case TamperDER:
		der, err := asn1.Marshal([]*big.Int{
			new(big.Int).SetBytes(signature[:len(signature)/2]), new(big.Int).SetBytes(signature[len(signature)/2:]),
		})
		if err != nil {
			return "", fmt.Errorf("idp: %w", err)
		}
		last = base64.RawURLEncoding.EncodeToString(der)
	default:
		return "", fmt.Errorf("idp: no way of tampering called %q", t)
	}
	return encode(header) + "." + encode(payload) + "." + last, nil
}

// noncanonical sets the lowest of the bits that the last character carries in vain: the text decodes to the same bytes.
func noncanonical(text string) (string, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(text)%4 == 0 {
		return "", fmt.Errorf("idp: a text of %d characters has no unused bits", len(text))
	}
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[last|1]), nil
}

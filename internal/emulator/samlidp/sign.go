package samlidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // it must be refused
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
)

const (
	more      = "http://www.w3.org/2001/04/xmldsig-more#"
	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"

	digestSHA1   = "http://www.w3.org/2000/09/xmldsig#sha1"
	digestSHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	methodSHA1   = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
	methodHMAC   = more + "hmac-sha256"
)

// Signing is how something is signed.
type Signing struct {
	key *key

	Method     string // URI
	C14N       string // URI of SignedInfo's
	References []Reference
	// KeyInfo and Objects are the text behind SignatureValue. Inside is the text before it.
	KeyInfo, Objects, Inside string
	// Encode turns a signature into what is written; nil leaves it as XML has it.
	Encode func([]byte) []byte
}

// Reference is a Reference of a SignedInfo.
type Reference struct {
	URI        string
	Transforms string // text
	Digest     string // URI
	Signed     string // the text of which the digest is
}

// signingOf is how the provider signs its assertions.
func (s *Server) signingOf(a Assertion, d Draft) Signing {
	algorithm := a.Algorithm
	if algorithm == "" {
		algorithm = "rsa-sha256"
	}
	prefixes := ""
	if a.Typed {
		prefixes = "xs"
	}
	k := s.signing(kind(strings.SplitN(algorithm, "-", 2)[0]))
	return Signing{
		key: k, Method: more + algorithm, C14N: exclusive,
		References: []Reference{{URI: "#" + d.ID, Transforms: transforms(prefixes), Digest: digestSHA256, Signed: d.Canonical()}},
		KeyInfo:    keyInfo(k),
	}
}

func keyInfo(k *key) string {
	return "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>" + base64.StdEncoding.EncodeToString(k.certificate) + "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
}

func transform(algorithm string) string {
	return `<ds:Transform Algorithm="` + algorithm + `"></ds:Transform>`
}

// transforms are the two that an assertion's signature has.
func transforms(prefixes string) string {
	if prefixes == "" {
		return transform(enveloped) + transform(exclusive)
	}
	return transform(enveloped) + `<ds:Transform Algorithm="` + exclusive + `"><ec:InclusiveNamespaces xmlns:ec="` + exclusive + `" PrefixList="` + prefixes + `"></ec:InclusiveNamespaces></ds:Transform>`
}

// element is the Signature element.
func (s Signing) element() string {
	references := ""
	for _, r := range s.References {
		sum := hashOf(r.Digest)
		sum.Write([]byte(r.Signed))
		references += fmt.Sprintf(`<ds:Reference URI="%s"><ds:Transforms>%s</ds:Transforms><ds:DigestMethod Algorithm="%s"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference>`,
			r.URI, r.Transforms, r.Digest, base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	}
	info := fmt.Sprintf(`<ds:CanonicalizationMethod Algorithm="%s"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="%s"></ds:SignatureMethod>`, s.C14N, s.Method) + references + "</ds:SignedInfo>"
	// The namespace stands at Signature, and in canonical form at SignedInfo, which is signed alone.
	value := s.sign(`<ds:SignedInfo xmlns:ds="` + spaceSignature + `">` + info)
	if s.Encode != nil {
		value = s.Encode(value)
	}
	lines := base64.StdEncoding.EncodeToString(value)
	lines = lines[:len(lines)/2] + "\n" + lines[len(lines)/2:]
	return `<ds:Signature xmlns:ds="` + spaceSignature + `">` + s.Inside + "<ds:SignedInfo>" + info +
		"<ds:SignatureValue>" + lines + "</ds:SignatureValue>" + s.KeyInfo + s.Objects + "</ds:Signature>"
}

func hashOf(algorithm string) hash.Hash {
	switch {
	case strings.HasSuffix(algorithm, "sha1"):
		return sha1.New() //nolint:gosec // it must be refused
	case strings.HasSuffix(algorithm, "sha384"):
		return sha512.New384()
	case strings.HasSuffix(algorithm, "sha512"):
		return sha512.New()
	}
	return sha256.New()
}

func cryptoHash(algorithm string) crypto.Hash {
	switch {
	case strings.HasSuffix(algorithm, "sha1"):
		return crypto.SHA1
	case strings.HasSuffix(algorithm, "sha384"):
		return crypto.SHA384
	case strings.HasSuffix(algorithm, "sha512"):
		return crypto.SHA512
	}
	return crypto.SHA256
}

// sign signs canonical text: RSA by PKCS #1 v1.5, ECDSA as two numbers of the curve's size, HMAC by the certificate.
func (s Signing) sign(signed string) []byte {
	sum := hashOf(s.Method)
	sum.Write([]byte(signed))
	if s.Method == methodHMAC {
		mac := hmac.New(sha256.New, s.key.certificate)
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	}
	switch k := s.key.signer.(type) {
	case *rsa.PrivateKey:
		value, err := rsa.SignPKCS1v15(rand.Reader, k, cryptoHash(s.Method), sum.Sum(nil))
		if err != nil {
			panic("samlidp: " + err.Error())
		}
		return value
	case *ecdsa.PrivateKey:
		r, t, err := ecdsa.Sign(rand.Reader, k, sum.Sum(nil))
		if err != nil {
			panic("samlidp: " + err.Error())
		}
		size := (k.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), t.FillBytes(make([]byte, size))...)
	}
	panic("samlidp: an unknown kind of key")
}

package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
)

// The algorithms of an assertion's signature. All others are refused: what isn't exclusive may be canonical in two places,
// what is with comments sees what others don't, and XPath and XSLT sign what they like.
const (
	algorithmExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	algorithmEnveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
)

// digestOf are the hashes by which a Reference may tell what is signed.
func digestOf(algorithm string) (crypto.Hash, bool) {
	switch algorithm {
	case "http://www.w3.org/2001/04/xmlenc#sha256":
		return crypto.SHA256, true
	case "http://www.w3.org/2001/04/xmldsig-more#sha384":
		return crypto.SHA384, true
	case "http://www.w3.org/2001/04/xmlenc#sha512":
		return crypto.SHA512, true
	}
	return 0, false
}

// method is a signature algorithm (RFC 6931 §2.3).
type method struct {
	hash  crypto.Hash
	ecdsa bool // else RSA, PKCS #1 v1.5
}

func methodOf(algorithm string) (m method, ok bool) {
	switch strings.TrimPrefix(algorithm, "http://www.w3.org/2001/04/xmldsig-more#") {
	case "rsa-sha256":
		return method{hash: crypto.SHA256}, true
	case "rsa-sha384":
		return method{hash: crypto.SHA384}, true
	case "rsa-sha512":
		return method{hash: crypto.SHA512}, true
	case "ecdsa-sha256":
		return method{crypto.SHA256, true}, true
	case "ecdsa-sha384":
		return method{crypto.SHA384, true}, true
	case "ecdsa-sha512":
		return method{crypto.SHA512, true}, true
	}
	return m, false
}

// signature is what a Signature element says.
type signature struct {
	method method
	// info are the canonical bytes of SignedInfo, which is what was signed.
	info  []byte
	value []byte

	digest   crypto.Hash
	prefixes string // of the canonical form of the assertion
	sum      []byte
}

// readSignature reads an assertion's signature. It says nothing of the Signature's key: KeyInfo is for whoever doesn't know
// the key.
func (e *envelope) readSignature() (*signature, error) {
	parts := e.signature.children()
	for i, local := range []string{"SignedInfo", "SignatureValue", "KeyInfo"} {
		if len(parts) > 3 || i < 2 && len(parts) <= i || i < len(parts) && !parts[i].is(spaceSignature, local) {
			return nil, errors.New("has a Signature of other parts than SignedInfo, SignatureValue and KeyInfo")
		}
	}
	s := &signature{}
	var ok bool
	if s.value, ok = base64Of(parts[1]); !ok {
		return nil, errors.New("has a SignatureValue that is not base64")
	}
	info := parts[0].children()
	if len(info) == 0 || !info[0].is(spaceSignature, "CanonicalizationMethod") {
		return nil, errors.New("has a SignedInfo without CanonicalizationMethod")
	}
	prefixes, ok := info[0].inclusive()
	if algorithm, _ := info[0].attr("Algorithm"); !ok || algorithm != algorithmExclusive {
		return nil, errors.New("has a SignedInfo whose canonical form is not the exclusive one without comments")
	}
	// It has one form, too, which is looked at first: what it costs to write is bounded by that.
	if err := s.readInfo(parts[0], e.id); err != nil {
		return nil, err
	}
	var err error
	if s.info, err = parts[0].canonical(prefixes, nil); err != nil {
		return nil, errors.New("has a SignedInfo without a canonical form")
	}
	// What is signed is what is read.
	signed, err := parseXML(string(s.info), false)
	if err != nil {
		return nil, errors.New("has a SignedInfo without a canonical form")
	}
	return s, s.readInfo(signed, e.id)
}

func (s *signature) readInfo(info *node, id string) error {
	parts := info.children()
	if len(parts) < 3 || !parts[1].is(spaceSignature, "SignatureMethod") || !parts[2].is(spaceSignature, "Reference") {
		return errors.New("has a SignedInfo without SignatureMethod and Reference")
	}
	if len(parts) > 3 {
		return errors.New("has a signature with more than one Reference, and there must be one: to the assertion")
	}
	algorithm, _ := parts[1].attr("Algorithm")
	var ok bool
	if s.method, ok = methodOf(algorithm); !ok || len(parts[1].children()) > 0 {
		return errors.New("is signed by an algorithm that is not accepted; have the identity provider sign by RSA or ECDSA with SHA-256, SHA-384 or SHA-512")
	}
	return s.readReference(parts[2], id)
}

func (s *signature) readReference(reference *node, id string) error {
	if uri, there := reference.attr("URI"); !there || uri != "#"+id || len(reference.attrs) > 1 {
		return errors.New("has a signature whose Reference is not to the assertion itself, by its ID")
	}
	parts := reference.children()
	if len(parts) != 3 || !parts[0].is(spaceSignature, "Transforms") || !parts[1].is(spaceSignature, "DigestMethod") || !parts[2].is(spaceSignature, "DigestValue") {
		return errors.New("has a Reference of other parts than Transforms, DigestMethod and DigestValue")
	}
	transforms := parts[0].children()
	if len(transforms) != 2 || !isTransform(transforms[0], algorithmEnveloped) || len(transforms[0].children()) > 0 || !isTransform(transforms[1], algorithmExclusive) {
		return errors.New("has a signature with other transforms than enveloped-signature and, after it, exclusive canonicalization without comments")
	}
	var ok bool
	if s.prefixes, ok = transforms[1].inclusive(); !ok {
		return errors.New("has a signature with a transform of unknown parameters")
	}
	algorithm, _ := parts[1].attr("Algorithm")
	if s.digest, ok = digestOf(algorithm); !ok || len(parts[1].children()) > 0 {
		return errors.New("is signed over a digest that is not accepted; have the identity provider use SHA-256, SHA-384 or SHA-512")
	}
	if s.sum, ok = base64Of(parts[2]); !ok {
		return errors.New("has a DigestValue that is not base64")
	}
	return nil
}

func isTransform(n *node, algorithm string) bool {
	found, _ := n.attr("Algorithm")
	return n.is(spaceSignature, "Transform") && found == algorithm
}

// base64Of decodes an element's text, in which there may be line breaks.
func base64Of(n *node) ([]byte, bool) {
	text, ok := n.text()
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(text), ""))
	return decoded, ok && err == nil
}

// madeBy reports whether a key made the signature.
func (s *signature) madeBy(public crypto.PublicKey) bool {
	hash := s.method.hash.New()
	hash.Write(s.info)
	sum := hash.Sum(nil)
	switch key := public.(type) {
	case *rsa.PublicKey:
		return !s.method.ecdsa && rsa.VerifyPKCS1v15(key, s.method.hash, sum, s.value) == nil
	case *ecdsa.PublicKey:
		// Two numbers of the curve's size (RFC 6931 §2.3.6), not ASN.1.
		size := (key.Params().BitSize + 7) / 8
		if !s.method.ecdsa || len(s.value) != 2*size {
			return false
		}
		return ecdsa.Verify(key, sum, new(big.Int).SetBytes(s.value[:size]), new(big.Int).SetBytes(s.value[size:]))
	}
	return false
}

// verified are the canonical bytes of the assertion, without its signature, if they are what was signed.
func (s *signature) verified(e *envelope) ([]byte, error) {
	text, err := e.root.canonical(s.prefixes, e.signature)
	if err != nil {
		return nil, errors.New("has no canonical form")
	}
	hash := s.digest.New()
	hash.Write(text)
	if !bytes.Equal(hash.Sum(nil), s.sum) {
		return nil, errors.New("was changed after it was signed: it does not have the digest that its signature is of")
	}
	return text, nil
}

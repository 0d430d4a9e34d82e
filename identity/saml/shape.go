package saml

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The namespaces of what is read here.
const (
	spaceAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	spaceProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	spaceSignature = "http://www.w3.org/2000/09/xmldsig#"
)

// MaxBytes bounds the text of a token: two of them fit into a request.
const MaxBytes = 64 << 10

// decode undoes base64url (RFC 7522 §2.1): without padding and line breaks, the padding bits zero, so that an assertion
// has one text.
func decode(text string) (string, error) {
	if len(text) > MaxBytes {
		return "", fmt.Errorf("is longer than %d bytes", MaxBytes)
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return "", errors.New("is not base64url without padding and line breaks, as RFC 7522 §2.1 has it")
	}
	return string(decoded), nil
}

// envelope is an assertion that has the one form in which its signature can only be of all of it.
type envelope struct {
	root      *node
	id        string
	signature *node
}

// open holds a document to that form. Nothing of it is believed yet.
func open(root *node) (*envelope, error) {
	switch {
	case root.is(spaceProtocol, "Response"):
		return nil, errors.New("is a SAML Response; present the Assertion in it alone, and have the identity provider sign that")
	case root.is(spaceAssertion, "EncryptedAssertion"):
		return nil, errors.New("is encrypted (EncryptedAssertion); present the assertion in the clear, over TLS")
	case !root.is(spaceAssertion, "Assertion"):
		return nil, errors.New("is not a SAML 2.0 assertion: its root is another element, or of another namespace")
	}
	e := &envelope{root: root}
	var found bool
	if e.id, found = root.attr("ID"); !found || !isID(e.id) {
		return nil, errors.New("has no ID, or one that is no XML name of at most 255 characters")
	}
	if err := e.alone(); err != nil {
		return nil, err
	}
	return e, e.findSignature()
}

// isID holds an ID to a name in ASCII, which XML signatures refer to by # and itself.
func isID(text string) bool {
	for i := range len(text) {
		if !isNameByte(text[i], i == 0) {
			return false
		}
	}
	return text != "" && len(text) <= 255
}

// alone refuses what signature wrapping needs: a second assertion, and a second element of one ID.
func (e *envelope) alone() (err error) {
	ids := map[string]bool{}
	e.root.walk(func(n *node) {
		if err != nil {
			return
		}
		switch {
		case n.local == "Assertion" && n != e.root: // of whatever namespace
			err = errors.New("holds a second Assertion element, and there must be one")
		case strings.HasPrefix(n.local, "Encrypted"):
			err = errors.New("holds an encrypted part; have the identity provider send the assertion in the clear, over TLS")
		}
		for _, a := range n.attrs {
			if !strings.EqualFold(a.local, "ID") {
				continue
			}
			if ids[a.value] && err == nil {
				err = errors.New("has two elements of the same ID")
			}
			ids[a.value] = true
		}
	})
	return err
}

// findSignature wants one Signature, and that behind the Issuer (SAML 2.0 core §2.3.3), where it signs what it stands in.
func (e *envelope) findSignature() error {
	signatures := 0
	e.root.walk(func(n *node) {
		if n.local == "Signature" {
			signatures++
		}
	})
	switch {
	case signatures == 0:
		return errors.New("is not signed")
	case signatures > 1:
		return errors.New("holds more than one Signature element, and there must be one")
	}
	children := e.root.children()
	if len(children) < 2 || !children[1].is(spaceSignature, "Signature") {
		return errors.New("does not have its signature where it belongs: in the assertion itself, behind its Issuer")
	}
	e.signature = children[1]
	return nil
}

// issuer is whose assertion it says that it is. That only chooses among those that are configured.
func (e *envelope) issuer() (string, error) { return issuerOf(e.root) }

const formatEntity = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

func issuerOf(root *node) (string, error) {
	children := root.children()
	if len(children) == 0 || !children[0].is(spaceAssertion, "Issuer") {
		return "", errors.New("does not begin with an Issuer")
	}
	if format, there := children[0].attr("Format"); there && format != formatEntity {
		return "", errors.New("has an Issuer that is no entity, by its Format")
	}
	text, ok := children[0].text()
	if !ok || text == "" {
		return "", errors.New("has an Issuer that is empty, or holds elements")
	}
	return text, nil
}

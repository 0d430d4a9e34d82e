package saml

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/lakegate/sts/internal/jwt"
)

const (
	spaceMetadata = "urn:oasis:names:tc:SAML:2.0:metadata"

	// maxMetadataBytes bounds what is read of a document of metadata; maxCertificates how many of its certificates are taken.
	maxMetadataBytes = 1 << 20
	maxCertificates  = 16
)

// key is a key of a provider, and when its certificate is good.
type key struct {
	public              crypto.PublicKey
	notBefore, notAfter time.Time
}

func (k *key) holds(now time.Time) bool { return !now.Before(k.notBefore) && !now.After(k.notAfter) }

// metadata is what a provider publishes (SAML 2.0 metadata §2.3).
type metadata struct {
	keys []*key
	// skipped says why certificates for signing are not used.
	skipped []error
	// until is when it stops being good, zero where it doesn't say.
	until time.Time
}

// parseMetadata reads the EntityDescriptor of a provider. Its own signature isn't looked at: it is believed for where it
// comes from, a file of the operator or a server that TLS vouches for.
func parseMetadata(text []byte, entityID string) (*metadata, error) {
	if len(text) > maxMetadataBytes {
		return nil, errTooLarge
	}
	root, err := parseXML(string(text), true)
	if err != nil {
		return nil, fmt.Errorf("the metadata %w", err)
	}
	switch {
	case root.is(spaceMetadata, "EntitiesDescriptor"):
		return nil, errors.New("the metadata is of several entities (EntitiesDescriptor); give that of the one identity provider")
	case !root.is(spaceMetadata, "EntityDescriptor"):
		return nil, errors.New("the metadata is no EntityDescriptor of SAML 2.0")
	}
	if id, _ := root.attr("entityID"); id != entityID {
		return nil, errors.New("the metadata is of another entity (entityID) than the configured issuer; they must be equal byte for byte")
	}
	m := &metadata{}
	if err := m.readUntil(root); err != nil {
		return nil, err
	}
	roles := 0
	for _, role := range root.children() {
		if !role.is(spaceMetadata, "IDPSSODescriptor") {
			continue
		}
		roles++
		if err := m.readUntil(role); err != nil {
			return nil, err
		}
		for _, descriptor := range role.children() {
			if descriptor.is(spaceMetadata, "KeyDescriptor") {
				m.readKey(descriptor)
			}
		}
	}
	switch {
	case roles == 0:
		return nil, errors.New("the metadata has no IDPSSODescriptor: it isn't that of an identity provider")
	case len(m.keys) == 0:
		return nil, errors.Join(append([]error{errors.New("the metadata has no certificate for signing that can be used")}, m.skipped...)...)
	}
	return m, nil
}

// readUntil takes the earliest validUntil.
func (m *metadata) readUntil(n *node) error {
	text, there := n.attr("validUntil")
	if !there {
		return nil
	}
	until, err := parseTime(text)
	if err != nil {
		return fmt.Errorf("the metadata's validUntil %w", err)
	}
	if m.until.IsZero() || until.Before(m.until) {
		m.until = until
	}
	return nil
}

// readKey takes the certificates of a KeyDescriptor that is for signing, or for anything.
func (m *metadata) readKey(descriptor *node) {
	if use, there := descriptor.attr("use"); there && use != "signing" {
		return
	}
	descriptor.walk(func(n *node) {
		if !n.is(spaceSignature, "X509Certificate") {
			return
		}
		if len(m.keys)+len(m.skipped) >= maxCertificates {
			return
		}
		k, err := readCertificate(n)
		if err != nil {
			m.skipped = append(m.skipped, fmt.Errorf("a certificate for signing %w", err))
			return
		}
		m.keys = append(m.keys, k)
	})
}

func readCertificate(n *node) (*key, error) {
	der, ok := base64Of(n)
	if !ok {
		return nil, errors.New("is not base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("can't be read")
	}
	if err := jwt.CheckPublic(certificate.PublicKey); err != nil {
		return nil, err
	}
	return &key{public: certificate.PublicKey, notBefore: certificate.NotBefore, notAfter: certificate.NotAfter}, nil
}

// good are the keys that may verify at a time: a certificate is good between its own dates, and metadata until its own.
func (m *metadata) good(now time.Time) (keys []*key) {
	if m == nil || !m.until.IsZero() && !now.Before(m.until) {
		return nil
	}
	for _, k := range m.keys {
		if k.holds(now) {
			keys = append(keys, k)
		}
	}
	return keys
}

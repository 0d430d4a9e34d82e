package saml

import (
	"bytes"
	"errors"
)

// Canonicalize parses a text and writes it in canonical form, twice: what is written must be read as it was.
func Canonicalize(text string) (once, twice []byte, err error) {
	root, err := parseXML(text, false)
	if err != nil {
		return nil, nil, err
	}
	if once, err = root.canonical("", nil); err != nil {
		return nil, nil, err
	}
	again, err := parseXML(string(once), false)
	if err != nil {
		return nil, nil, errors.Join(errors.New("the canonical form can't be read"), err)
	}
	twice, err = again.canonical("", nil)
	return once, bytes.Clone(twice), err
}

// ParseMetadata tells how many keys there are, and how many are not used.
func ParseMetadata(text []byte, entityID string) (keys, skipped int, err error) {
	m, err := parseMetadata(text, entityID)
	if err != nil {
		return 0, 0, err
	}
	return len(m.keys), len(m.skipped), nil
}

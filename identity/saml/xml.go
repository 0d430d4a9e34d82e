package saml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a document. Depth counts the root as 1.
const (
	maxDepth      = 32
	maxNodes      = 4_000
	maxAttributes = 32 // of one element, declarations of namespaces included

	// maxScope is how many namespaces may be declared on the way to one place: who looks for one may meet them all.
	maxScope = 64

	maxMetadataNodes = 50_000
)

// parser reads the part of XML that an assertion needs: elements, attributes, text and character references. Whatever has
// been used to have two readers of one document see different things is an error: document types, entities, comments,
// CDATA sections and processing instructions.
type parser struct {
	text  string
	at    int
	nodes int // that may still come
	// lenient skips comments, processing instructions and a byte order mark: metadata is written by hand or by Windows, and
	// nobody reads its signature.
	lenient bool
}

// parseXML reads a document. Its error says what the document does, and holds nothing of it.
func parseXML(text string, lenient bool) (*node, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("is not UTF-8")
	}
	if lenient {
		text = strings.TrimPrefix(text, "\uFEFF")
	}
	for _, r := range text {
		if !isChar(r) {
			return nil, errors.New("holds a character that XML doesn't have")
		}
	}
	// Line ends are one character, however they are written (XML 1.0 §2.11).
	if strings.Contains(text, "\r") {
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	}
	p := &parser{text: text, lenient: lenient, nodes: maxNodes}
	if lenient {
		p.nodes = maxMetadataNodes
	}
	if err := p.declaration(); err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	root, err := p.element((*scope)(nil).declare("xml", spaceXML), 1)
	if err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	if p.at != len(p.text) {
		return nil, errors.New("has something behind its root element")
	}
	return root, nil
}

func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD && r != 0xFEFF || r >= 0x10000
}

// declaration reads <?xml …?>, which must speak of UTF-8 if of any encoding.
func (p *parser) declaration() error {
	if !p.has("<?xml ") {
		return nil
	}
	end := strings.Index(p.text, "?>")
	if end < 0 {
		return errMalformed
	}
	said := strings.Join(strings.Fields(strings.ReplaceAll(p.text[len("<?xml "):end], `'`, `"`)), " ")
	p.at = end + len("?>")
	switch strings.ToLower(said) {
	case `version="1.0"`, `version="1.0" encoding="utf-8"`, `version="1.0" encoding="utf-8" standalone="yes"`, `version="1.0" encoding="utf-8" standalone="no"`:
		return nil
	}
	return errors.New("has an XML declaration that is not of XML 1.0 in UTF-8")
}

// misc skips what may stand around the root element.
func (p *parser) misc() error {
	for {
		p.space()
		if p.has("<!--") || p.has("<?") || p.has("<!") {
			if err := p.markup(); err != nil {
				return err
			}
			continue
		}
		return nil
	}
}

var errMalformed = errors.New("is not well-formed XML")

// markup is what starts with <! or <?: it is skipped where that is harmless.
func (p *parser) markup() error {
	end := ""
	switch {
	case p.has("<!--"):
		if end = "-->"; !p.lenient {
			return errors.New("holds a comment, and those are not accepted anywhere: they can hide a part of a name")
		}
		p.at += len("<!--")
	case p.has("<![CDATA["):
		return errors.New("holds a CDATA section, and those are not accepted")
	case p.has("<?"):
		if end = "?>"; !p.lenient || strings.EqualFold(p.text[p.at:min(len(p.text), p.at+5)], "<?xml") {
			return errors.New("holds a processing instruction, and those are not accepted")
		}
	default:
		return errors.New("holds a document type (DOCTYPE) or another declaration, and those are not accepted: they define entities")
	}
	length := strings.Index(p.text[p.at:], end)
	if length < 0 {
		return errMalformed
	}
	p.at += length + len(end)
	return nil
}

func (p *parser) has(what string) bool { return strings.HasPrefix(p.text[p.at:], what) }

// space skips white space, and tells whether there was any.
func (p *parser) space() bool {
	from := p.at
	for p.at < len(p.text) && strings.IndexByte(" \t\n", p.text[p.at]) >= 0 {
		p.at++
	}
	return p.at > from
}

// element reads an element, which starts here.
func (p *parser) element(outer *scope, depth int) (*node, error) {
	if p.nodes--; p.nodes < 0 {
		return nil, errors.New("has too many elements")
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nests deeper than %d levels", maxDepth)
	}
	if !p.has("<") {
		return nil, errMalformed
	}
	p.at++
	n := &node{scope: outer}
	var err error
	if n.prefix, n.local, err = p.name(); err != nil {
		return nil, err
	}
	name := p.text[p.at-len(n.qualified()) : p.at]
	if err := p.attributes(n); err != nil {
		return nil, err
	}
	if p.has("/>") {
		p.at += len("/>")
		return n, nil
	}
	p.at++ // attributes stops at > or />
	if err := p.content(n, depth); err != nil {
		return nil, err
	}
	// content stops at the end tag.
	if !p.has("</" + name) {
		return nil, errMalformed
	}
	p.at += len("</") + len(name)
	p.space()
	if !p.has(">") {
		return nil, errMalformed
	}
	p.at++
	return n, nil
}

func (n *node) qualified() string { return qualified(n.prefix, n.local) }

func qualified(prefix, local string) string {
	if prefix == "" {
		return local
	}
	return prefix + ":" + local
}

// content reads text and elements up to the end tag.
func (p *parser) content(n *node, depth int) error {
	for {
		from := p.at
		length := strings.IndexByte(p.text[from:], '<')
		if length < 0 {
			return errMalformed
		}
		p.at += length
		if text := p.text[from:p.at]; text != "" {
			if strings.Contains(text, "]]>") {
				return errMalformed
			}
			text, err := resolve(text)
			if err != nil {
				return err
			}
			n.items = append(n.items, text)
		}
		switch {
		case p.has("</"):
			return nil
		case p.has("<!"), p.has("<?"):
			if err := p.markup(); err != nil {
				return err
			}
		default:
			child, err := p.element(n.scope, depth+1)
			if err != nil {
				return err
			}
			n.items = append(n.items, child)
		}
	}
}

// name reads a name of ASCII, with or without a prefix. Nothing of SAML has another.
func (p *parser) name() (prefix, local string, err error) {
	local = p.part()
	if p.has(":") {
		p.at++
		prefix, local = local, p.part()
		if prefix == "" {
			return "", "", errMalformed
		}
	}
	if local == "" || p.has(":") {
		return "", "", errMalformed
	}
	return prefix, local, nil
}

func (p *parser) part() string {
	from := p.at
	for p.at < len(p.text) && isNameByte(p.text[p.at], p.at == from) {
		p.at++
	}
	return p.text[from:p.at]
}

func isNameByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || !first && (c >= '0' && c <= '9' || c == '-' || c == '.')
}

// attributes reads up to the end of a start tag, > or />, and resolves its prefixes.
func (p *parser) attributes(n *node) error {
	outer := n.scope
	for count := 0; ; count++ {
		spaced := p.space()
		if p.has(">") || p.has("/>") {
			break
		}
		if !spaced {
			return errMalformed
		}
		if count == maxAttributes {
			return fmt.Errorf("has an element with more than %d attributes", maxAttributes)
		}
		prefix, local, err := p.name()
		if err != nil {
			return err
		}
		value, err := p.value()
		if err != nil {
			return err
		}
		switch {
		case prefix == "xmlns" || prefix == "" && local == "xmlns":
			if prefix == "" {
				local = ""
			}
			if err := n.declare(outer, local, value); err != nil {
				return err
			}
		default:
			n.attrs = append(n.attrs, attr{prefix: prefix, local: local, value: value})
		}
	}
	if n.scope.count > maxScope {
		return fmt.Errorf("has more than %d namespaces in force at one place", maxScope)
	}
	return n.resolvePrefixes()
}

// value reads = and a quoted value. White space in it that is written as such is a space (XML 1.0 §3.3.3).
func (p *parser) value() (string, error) {
	p.space()
	if !p.has("=") {
		return "", errMalformed
	}
	p.at++
	p.space()
	if !p.has(`"`) && !p.has(`'`) {
		return "", errMalformed
	}
	quote := p.text[p.at]
	p.at++
	length := strings.IndexByte(p.text[p.at:], quote)
	if length < 0 {
		return "", errMalformed
	}
	raw := p.text[p.at : p.at+length]
	p.at += length + 1
	if strings.Contains(raw, "<") {
		return "", errMalformed
	}
	return resolve(strings.NewReplacer("\t", " ", "\n", " ").Replace(raw))
}

// resolve puts characters in the place of references to them. There are no entities but the five of XML itself.
func resolve(text string) (string, error) {
	if !strings.Contains(text, "&") {
		return text, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "&")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, ended := strings.Cut(rest, ";")
		if !ended {
			return "", errMalformed
		}
		r, err := character(name)
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
		text = after
	}
}

func character(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	digits, numeric := strings.CutPrefix(name, "#")
	if !numeric {
		return 0, errors.New("refers to an entity, and those are not accepted")
	}
	base := 10
	if rest, hex := strings.CutPrefix(digits, "x"); hex {
		digits, base = rest, 16
	}
	code, err := strconv.ParseUint(digits, base, 32)
	if err != nil || code > utf8.MaxRune || !isChar(rune(code)) {
		return 0, errors.New("refers to a character that XML doesn't have")
	}
	return rune(code), nil
}

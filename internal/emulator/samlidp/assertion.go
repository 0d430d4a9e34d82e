package samlidp

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

const (
	spaceAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	spaceProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	spaceSignature = "http://www.w3.org/2000/09/xmldsig#"

	formatPersistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	closing          = "</saml:Assertion>"
)

// Assertion says what an assertion says. The zero value is a good one, for the audience and recipient of the Config.
type Assertion struct {
	// Subject is the NameID; "u-1001" if empty. Format is its format; persistent if empty.
	Subject, Format string
	// Groups are the values of the attribute "groups"; without them, the attribute isn't there.
	Groups     []string
	Attributes []Attribute
	// Lifetime is how long it is good; five minutes if zero.
	Lifetime time.Duration
	// Algorithm signs it: "rsa-sha256" if empty, or another of RFC 6931 §2.3 for RSA and ECDSA.
	Algorithm string
	// Typed has attribute values say that they are strings, with an inclusive namespace for that, as many providers do.
	Typed bool
	// Dressed writes it in another form than the canonical one, which means the same.
	Dressed bool

	// Edit changes what is signed. It must stay canonical.
	Edit func(*Draft)
	// Sign changes how it is signed.
	Sign func(*Signing)
	// After changes the document once it is signed.
	After func(document string) string
}

// Attribute is an attribute with its values.
type Attribute struct {
	Name   string
	Values []string
}

// Draft is an assertion before it is signed, in canonical form: Open, Issuer, Rest and the end tag. The signature comes
// behind the Issuer.
type Draft struct {
	ID                 string
	Open, Issuer, Rest string
}

// Canonical is what is signed.
func (d Draft) Canonical() string { return d.Open + d.Issuer + d.Rest + closing }

// Replace changes a part that must be there.
func (d *Draft) Replace(old, changed string) {
	for _, part := range []*string{&d.Open, &d.Issuer, &d.Rest} {
		if strings.Contains(*part, old) {
			*part = strings.Replace(*part, old, changed, 1)
			return
		}
	}
	panic("samlidp: the assertion has no " + old)
}

// escape escapes what stands between quotes, in canonical form.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace

// text escapes what stands between tags, in canonical form.
var text = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;").Replace

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// Token is the assertion as a subject token: base64url.
func (s *Server) Token(a Assertion) string {
	token := encode(s.Document(a))
	s.Remember(token)
	return token
}

func encode(document string) string { return base64.RawURLEncoding.EncodeToString([]byte(document)) }

// Document is the signed assertion as XML.
func (s *Server) Document(a Assertion) string {
	d := s.draft(a)
	if a.Edit != nil {
		a.Edit(&d)
	}
	signing := s.signingOf(a, d)
	if a.Sign != nil {
		a.Sign(&signing)
	}
	document := d.Open + d.Issuer + signing.element() + d.Rest + closing
	if a.Dressed {
		document = dress(document)
	}
	if a.After != nil {
		document = a.After(document)
	}
	return document
}

// draft is the assertion's text.
func (s *Server) draft(a Assertion) Draft {
	if a.Subject == "" {
		a.Subject = "u-1001"
	}
	if a.Format == "" {
		a.Format = formatPersistent
	}
	if a.Lifetime == 0 {
		a.Lifetime = 5 * time.Minute
	}
	now := s.Now()
	end := stamp(now.Add(a.Lifetime))
	s.mu.Lock()
	s.made++
	id := fmt.Sprintf("_%d-%d", now.UnixNano(), s.made)
	s.mu.Unlock()
	spaces, typed := "", ""
	if a.Typed {
		spaces = ` xmlns:xs="http://www.w3.org/2001/XMLSchema"`
		typed = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string"`
	}
	d := Draft{
		ID:     id,
		Open:   fmt.Sprintf(`<saml:Assertion xmlns:saml="%s"%s ID="%s" IssueInstant="%s" Version="2.0">`, spaceAssertion, spaces, id, stamp(now)),
		Issuer: `<saml:Issuer>` + text(s.EntityID()) + `</saml:Issuer>`,
		Rest: fmt.Sprintf(`<saml:Subject><saml:NameID Format="%s">%s</saml:NameID>`, a.Format, text(a.Subject)) +
			fmt.Sprintf(`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="%s" Recipient="%s"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>`, end, escape(s.cfg.Recipient)) +
			fmt.Sprintf(`<saml:Conditions NotBefore="%s" NotOnOrAfter="%s"><saml:AudienceRestriction><saml:Audience>%s</saml:Audience></saml:AudienceRestriction></saml:Conditions>`, stamp(now), end, text(s.cfg.Audience)) +
			fmt.Sprintf(`<saml:AuthnStatement AuthnInstant="%s" SessionIndex="%s"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`, stamp(now.Add(-time.Minute)), id),
	}
	attributes := a.Attributes
	if a.Groups != nil {
		attributes = append([]Attribute{{"groups", a.Groups}}, attributes...)
	}
	if len(attributes) > 0 {
		d.Rest += "<saml:AttributeStatement>"
		for _, attribute := range attributes {
			d.Rest += `<saml:Attribute Name="` + escape(attribute.Name) + `">`
			for _, value := range attribute.Values {
				d.Rest += "<saml:AttributeValue" + typed + ">" + text(value) + "</saml:AttributeValue>"
			}
			d.Rest += "</saml:Attribute>"
		}
		d.Rest += "</saml:AttributeStatement>"
	}
	return d
}

// dress writes a document in another form of the same meaning: an XML declaration, quotes of the other kind, white space in
// tags, attributes in another order, elements without content as one tag, characters as references.
func dress(document string) string {
	document = strings.ReplaceAll(document, `></saml:SubjectConfirmationData>`, "\n/>")
	document = strings.ReplaceAll(document, `></ds:DigestMethod>`, ` />`)
	document = strings.ReplaceAll(document, ` Version="2.0">`, "\r\n\tVersion = '2.0' >")
	document = strings.Replace(document, `<saml:Conditions `, `<saml:Conditions xmlns:unused="urn:unused" `, 1)
	document = strings.Replace(document, "u-1001", "u&#45;&#x31;001", 1)
	open, rest, _ := strings.Cut(document, ` ID="`)
	id, rest, _ := strings.Cut(rest, `"`)
	open = strings.Replace(open, "<saml:Assertion ", "<saml:Assertion ID='"+id+"' ", 1)
	return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + open + rest + "\n"
}

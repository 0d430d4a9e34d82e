package samlidp

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/lakegate/sts/internal/emulator"
)

// Type is the token type that assertions are presented as.
const Type = "urn:ietf:params:oauth:token-type:saml2"

// corpus collects attacks. A twin is made for each, since assertions are accepted once.
type corpus struct {
	s    *Server
	list []emulator.Attack
}

// against adds an attack whose twin is the assertion without Edit, Sign and After.
func (c *corpus) against(name, cause string, a Assertion) {
	twin := a
	twin.Edit, twin.Sign, twin.After = nil, nil, nil
	c.token(name, cause, c.s.Token(a), c.s.Token(twin))
}

func (c *corpus) token(name, cause, token, twin string) {
	c.list = append(c.list, emulator.Attack{Name: name, Type: Type, Token: token, Twin: twin, Cause: cause})
}

// edited changes what is signed, after changes the signed document, signed how it is signed.
func (c *corpus) edited(name, cause, old, changed string) {
	c.against(name, cause, Assertion{Edit: func(d *Draft) { d.Replace(old, changed) }})
}

func (c *corpus) after(name, cause string, change func(string) string) {
	c.against(name, cause, Assertion{After: change})
}

func (c *corpus) signed(name, cause string, change func(*Signing)) {
	c.against(name, cause, Assertion{Sign: change})
}

func (c *corpus) replaced(name, cause, old, changed string) {
	c.after(name, cause, func(document string) string {
		if !strings.Contains(document, old) {
			panic("samlidp: the document has no " + old)
		}
		return strings.Replace(document, old, changed, 1)
	})
}

// Attacks are tokens that a verifier of this provider's assertions must refuse, each with its twin.
func (s *Server) Attacks() []emulator.Attack {
	c := &corpus{s: s}
	c.encodings()
	c.documents()
	c.signatures()
	c.references()
	c.subjects()
	c.conditions()
	c.attributes()
	c.wrapping()
	return c.list
}

func (c *corpus) encodings() {
	good := c.s.Document(Assertion{})
	token := func(name, cause, token string) { c.token(name, cause, token, c.s.Token(Assertion{})) }
	// Of the text's 4 · n + 2 or 3 characters, the last has bits to spare, or "=" could be put behind it.
	for (len(good))%3 == 0 {
		good += "\n"
	}
	text := encode(good)
	token("base64 with padding", "base64url", base64.URLEncoding.EncodeToString([]byte(good)))
	token("base64 with a line break", "base64url", text[:70]+"\n"+text[70:])
	token("base64 with bits to spare", "base64url", spare(text))
	token("base64 of the other alphabet", "base64url", base64.RawStdEncoding.EncodeToString([]byte(strings.Replace(good, "u-1001", "u~~~~~?", 1)))+"+/")
	token("no base64 at all", "base64url", good)
	token("too long", "longer than 65536 bytes", encode(strings.Replace(good, "<saml:Subject>", strings.Repeat(" ", 60_000)+"<saml:Subject>", 1)))
	token("cut off", "well-formed", encode(good[:len(good)/2]))
	token("empty document", "well-formed", encode(" "))
	c.after("UTF-16", "is not UTF-8", func(d string) string {
		wide := []byte{0xFE, 0xFF}
		for _, unit := range utf16.Encode([]rune(d)) {
			wide = binary.BigEndian.AppendUint16(wide, unit)
		}
		return string(wide)
	})
	c.after("byte order mark", "character that XML doesn't have", func(d string) string { return "\uFEFF" + d })
	c.after("declared as Latin 1", "XML declaration", func(d string) string { return `<?xml version="1.0" encoding="ISO-8859-1"?>` + d })
	c.after("declared as UTF-7", "XML declaration", func(d string) string { return `<?xml version="1.0" encoding="UTF-7"?>` + d })
	c.after("XML 1.1", "XML declaration", func(d string) string { return `<?xml version="1.1" encoding="UTF-8"?>` + d })
	c.replaced("NUL in a name", "character that XML doesn't have", "u-1001", "u-1001\x00")
	c.replaced("reference to NUL", "character that XML doesn't have", "u-1001", "u-1001&#0;")
}

// spare sets the lowest of the bits that the last character carries in vain.
func spare(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[last|1])
}

// documents are tricks of XML itself.
func (c *corpus) documents() {
	prefix := func(p string) func(string) string { return func(d string) string { return p + d } }
	c.replaced("comment in the NameID", "comment", "u-1001", "u-<!-- -->1001")
	c.replaced("comment behind the NameID's text", "comment", "u-1001", "u-1001<!--.victim-->")
	c.after("comment before the root", "comment", prefix("<!-- -->"))
	c.replaced("CDATA in the NameID", "CDATA", "u-1001", "u-<![CDATA[1001]]>")
	c.replaced("processing instruction in the NameID", "processing instruction", "u-1001", "u-<?x?>1001")
	c.after("stylesheet", "processing instruction", prefix(`<?xml-stylesheet type="text/xsl" href="#x"?>`))
	c.after("DOCTYPE", "DOCTYPE", prefix("<!DOCTYPE Assertion>"))
	c.after("DOCTYPE that makes an attribute an ID", "DOCTYPE", prefix(`<!DOCTYPE x [<!ATTLIST saml:Subject Name ID #IMPLIED>]>`))
	c.against("entity for the name", "DOCTYPE", Assertion{After: func(d string) string {
		return `<!DOCTYPE x [<!ENTITY name "u-1001">]>` + strings.Replace(d, "u-1001", "&name;", 1)
	}})
	c.after("external entity", "DOCTYPE", prefix(`<!DOCTYPE x [<!ENTITY name SYSTEM "file:///etc/passwd">]>`))
	bomb := `<!DOCTYPE x [<!ENTITY a0 "u-1001">`
	for i := range 10 {
		n := string(rune('1' + i))
		bomb += `<!ENTITY a` + n + ` "` + strings.Repeat("&a"+string(rune('0'+i))+";", 10) + `">`
	}
	c.after("entity bomb", "DOCTYPE", prefix(bomb+"]>"))
	c.replaced("entity without a definition", "entity", "u-1001", "u-1001&more;")
	c.replaced("the same attribute twice", "same attribute twice", ` Version="2.0"`, ` Version="2.0" Version="2.0"`)
	c.replaced("the same attribute by two prefixes", "same attribute twice", ` Version="2.0"`, ` Version="2.0" xmlns:a="urn:a" xmlns:b="urn:a" a:x="1" b:x="2"`)
	c.replaced("the same prefix twice", "prefix twice", ` Version="2.0"`, ` Version="2.0" xmlns:a="urn:a" xmlns:a="urn:b"`)
	c.replaced("prefix that nobody declares", "doesn't declare", "<saml:Subject>", "<saml:Subject evil:x=\"1\">")
	c.replaced("xml is declared anew", "can't be declared", ` Version="2.0"`, ` Version="2.0" xmlns:xml="urn:a"`)
	c.replaced("prefix of no namespace", "can't be declared", ` Version="2.0"`, ` Version="2.0" xmlns:a=""`)
	c.replaced("name with two colons", "well-formed", "<saml:Subject>", `<saml:Subject a:b:c="1">`)
	c.replaced("end tag of another element", "well-formed", "</saml:Subject>", "</saml:Subjekt>")
	c.after("something behind the root", "behind its root", func(d string) string { return d + "<x/>" })
	c.after("two roots", "behind its root", func(d string) string { return d + c.s.Document(Assertion{Subject: "admin"}) })
	c.edited("nests too deep", "deeper than 32", "<saml:AuthnStatement", "<saml:Advice>"+strings.Repeat("<saml:a>", 40)+strings.Repeat("</saml:a>", 40)+"</saml:Advice><saml:AuthnStatement")
	c.edited("too many elements", "too many elements", "<saml:AuthnStatement", "<saml:Advice>"+strings.Repeat("<a></a>", 5000)+"</saml:Advice><saml:AuthnStatement")
	many := ""
	for i := range 100 {
		many += " a" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `="1"`
	}
	c.edited("too many attributes", "more than 32 attributes", "<saml:AuthnStatement", "<saml:Advice"+many+"></saml:Advice><saml:AuthnStatement")
	deep, spaces := "", ""
	for i := range 3 {
		deep += "<saml:a"
		for j := range 30 {
			deep += fmt.Sprintf(` xmlns:n%d-%d="u"`, i, j)
		}
		deep, spaces = deep+">", spaces+"</saml:a>"
	}
	c.edited("too many namespaces", "more than 64 namespaces", "<saml:AuthnStatement", "<saml:Advice>"+deep+spaces+"</saml:Advice><saml:AuthnStatement")
	c.edited("SAML 1.1", "not a SAML 2.0 assertion", spaceAssertion, "urn:oasis:names:tc:SAML:1.0:assertion")
	c.edited("namespace that looks alike", "not a SAML 2.0 assertion", spaceAssertion, spaceAssertion+"/")
	c.after("Response", "SAML Response", func(d string) string { return response("_r", d) })
	c.after("EncryptedAssertion", "EncryptedAssertion", func(string) string {
		return `<saml:EncryptedAssertion xmlns:saml="` + spaceAssertion + `"><x></x></saml:EncryptedAssertion>`
	})
	c.edited("EncryptedID", "encrypted part", "<saml:NameID ", "<saml:EncryptedID></saml:EncryptedID><saml:NameID ")
	c.edited("no ID", "has no ID", ` ID="`, ` Id="`)
}

func response(id, inside string) string {
	return `<samlp:Response xmlns:samlp="` + spaceProtocol + `" ID="` + id + `" Version="2.0">` + inside + `</samlp:Response>`
}

// signatures are tricks with who signs, and by what.
func (c *corpus) signatures() {
	c.after("unsigned", "is not signed", func(d string) string {
		before, rest, _ := strings.Cut(d, "<ds:Signature ")
		_, after, _ := strings.Cut(rest, "</ds:Signature>")
		return before + after
	})
	c.signed("empty signature", "no key of the metadata", func(s *Signing) { s.Encode = func([]byte) []byte { return nil } })
	c.signed("one bit is flipped", "no key of the metadata", func(s *Signing) { s.Encode = func(v []byte) []byte { v[9] ^= 1; return v } })
	c.replaced("another name after signing", "changed after it was signed", "u-1001", "u-1002")
	c.replaced("another group after signing", "changed after it was signed", "</saml:Conditions>", "</saml:Conditions><saml:Advice></saml:Advice>")
	c.signed("digest of another text", "changed after it was signed", func(s *Signing) { s.References[0].Signed += " " })
	c.after("digest changed after signing", "no key of the metadata", func(d string) string {
		before, rest, _ := strings.Cut(d, "<ds:DigestValue>")
		_, after, _ := strings.Cut(rest, "</ds:DigestValue>")
		return before + "<ds:DigestValue>" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "</ds:DigestValue>" + after
	})
	// Comments in a value that is compared once with them and once without (CVE-2025-29775, xml-crypto).
	c.replaced("comment in the DigestValue", "comment", "<ds:DigestValue>", "<ds:DigestValue><!-- x -->")
	c.replaced("comment in the SignatureValue", "comment", "<ds:SignatureValue>", "<ds:SignatureValue><!-- x -->")
	c.replaced("element in the DigestValue", "DigestValue that is not base64", "<ds:DigestValue>", "<ds:DigestValue><ds:x>AAAA</ds:x>")
	c.signed("SHA-1 signature", "algorithm that is not accepted", func(s *Signing) { s.Method = methodSHA1 })
	c.signed("SHA-1 digest", "digest that is not accepted", func(s *Signing) { s.References[0].Digest = digestSHA1 })
	c.signed("HMAC by the certificate", "algorithm that is not accepted", func(s *Signing) { s.Method = methodHMAC })
	for _, method := range []string{more + "rsa-md5", "http://www.w3.org/2000/09/xmldsig#dsa-sha1", "none", "", "rsa-sha256"} {
		c.replaced("signed by "+method, map[bool]string{true: "algorithm that is not accepted", false: "no key of the metadata"}[method != "rsa-sha256"], more+"rsa-sha256", method)
	}
	c.replaced("algorithm of the other kind of key", "no key of the metadata", more+"rsa-sha256", more+"ecdsa-sha256")
	c.signed("own key in KeyInfo", "no key of the metadata", func(s *Signing) { s.own(c.s.foreign); s.KeyInfo = keyInfo(c.s.foreign) })
	c.signed("own key under the provider's certificate", "no key of the metadata", func(s *Signing) { s.own(c.s.foreign) })
	c.signed("the provider's key for encryption", "no key of the metadata", func(s *Signing) { s.own(c.s.encryption); s.KeyInfo = keyInfo(c.s.encryption) })
	c.against("ECDSA in ASN.1", "no key of the metadata", Assertion{Algorithm: "ecdsa-sha256", Sign: func(s *Signing) { s.Encode = asn1Of }})
	c.against("ECDSA of zeros", "no key of the metadata", Assertion{Algorithm: "ecdsa-sha256", Sign: func(s *Signing) { s.Encode = func(v []byte) []byte { return make([]byte, len(v)) } }})
	c.signed("two Signatures", "more than one Signature", func(s *Signing) {
		again := *s
		again.own(c.s.foreign)
		s.Objects = again.element()
	})
	c.signed("Object in the Signature", "of other parts", func(s *Signing) { s.Objects = "<ds:Object></ds:Object>" })
	c.signed("another SignedInfo behind", "of other parts", func(s *Signing) { s.KeyInfo = "<ds:SignedInfo></ds:SignedInfo>" })
	c.signed("another SignedInfo first", "of other parts", func(s *Signing) { s.Inside = "<ds:SignedInfo></ds:SignedInfo>" })
	c.replaced("Signature of another namespace", "where it belongs", `<ds:Signature xmlns:ds="`+spaceSignature, `<ds:Signature xmlns:ds="urn:evil`)
	c.after("Signature at the end", "where it belongs", func(d string) string {
		before, signature, after := cutSignature(d)
		return strings.Replace(before+after, closing, signature+closing, 1)
	})
	c.after("Signature in the Subject", "where it belongs", func(d string) string {
		before, signature, after := cutSignature(d)
		return strings.Replace(before+after, "</saml:Subject>", signature+"</saml:Subject>", 1)
	})
	c.signed("SignatureValue that is no base64", "not base64", func(s *Signing) { s.Encode = nil; s.KeyInfo = "" })
	c.list[len(c.list)-1].Token = encode(strings.Replace(c.s.Document(Assertion{}), "<ds:SignatureValue>", "<ds:SignatureValue>!", 1))
}

// own signs by another key, of ECDSA.
func (s *Signing) own(k *key) { s.key, s.Method = k, more+"ecdsa-sha256" }

func cutSignature(d string) (before, signature, after string) {
	before, rest, _ := strings.Cut(d, "<ds:Signature ")
	inside, after, _ := strings.Cut(rest, "</ds:Signature>")
	return before, "<ds:Signature " + inside + "</ds:Signature>", after
}

// references are tricks with what is signed.
func (c *corpus) references() {
	const elsewhere, other = "not to the assertion itself", "other transforms"
	c.signed("Reference without URI text", elsewhere, func(s *Signing) { s.References[0].URI = "" })
	c.signed("Reference without #", elsewhere, func(s *Signing) { s.References[0].URI = strings.TrimPrefix(s.References[0].URI, "#") })
	c.signed("Reference by XPointer", elsewhere, func(s *Signing) { s.References[0].URI = "#xpointer(/)" })
	c.signed("Reference to the network", elsewhere, func(s *Signing) { s.References[0].URI = "http://127.0.0.1:1/x" })
	c.against("Reference to the Subject", elsewhere, Assertion{
		Edit: func(d *Draft) { d.Replace("<saml:Subject>", `<saml:Subject ID="_s">`) },
		Sign: func(s *Signing) { s.References[0].URI = "#_s" },
	})
	// An ID by an attribute of another namespace is read as the ID by some (2025, "The Fragile Lock").
	c.edited("ID of another namespace", "has no ID", ` ID="`, ` xmlns:x="urn:x" x:ID="`)
	c.replaced("ID and an ID of another namespace", elsewhere, ` ID="_`, ` ID="_evil" xmlns:x="urn:x" x:ID="_`)
	c.after("ID and the same as xml:id", "two elements of the same ID", func(d string) string {
		return strings.Replace(d, "<saml:Subject>", `<saml:Subject xml:id="`+between(d, ` ID="`, `"`)+`">`, 1)
	})
	// Where a namespace that is no absolute URI makes canonicalization fail, its empty outcome has been taken for what is
	// signed (CVE-2025-66568, ruby-saml).
	c.against("digest of nothing", "changed after it was signed", Assertion{
		Edit: func(d *Draft) { d.Replace(" Version=", ` xmlns:ns="1" Version=`) },
		Sign: func(s *Signing) { s.References[0].Signed = "" },
	})
	c.signed("two References", "more than one Reference", func(s *Signing) { s.References = append(s.References, s.References[0]) })
	c.signed("second Reference to something else", "more than one Reference", func(s *Signing) {
		second := s.References[0]
		second.URI = "#_x"
		s.References = append([]Reference{second}, s.References...)
	})
	c.signed("Reference that holds more", "of other parts", func(s *Signing) {
		s.References[0].Transforms += "</ds:Transforms><ds:Transforms>"
	})
	c.signed("InclusiveNamespaces that hold something", "unknown parameters", func(s *Signing) {
		s.References[0].Transforms = strings.Replace(transforms("xs"), "></ec:", "><x></x></ec:", 1)
	})
	c.signed("no Reference", "without SignatureMethod and Reference", func(s *Signing) { s.References = nil })
	for name, text := range map[string]string{
		"no transforms":                 "",
		"enveloped alone":               transform(enveloped),
		"canonical alone":               transform(exclusive),
		"transforms in the wrong order": transform(exclusive) + transform(enveloped),
		"canonical form with comments":  transform(enveloped) + transform(exclusive+"WithComments"),
		"inclusive canonical form":      transform(enveloped) + transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
		"XPath":                         transform(enveloped) + transform(exclusive) + `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>//saml:Subject</ds:XPath></ds:Transform>`,
		"XPath instead of enveloped":    `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>` + transform(exclusive),
		"XSLT":                          transform(enveloped) + `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"></ds:Transform>`,
		"base64 transform":              transform(enveloped) + transform("http://www.w3.org/2000/09/xmldsig#base64"),
		"enveloped twice":               transform(enveloped) + transform(enveloped) + transform(exclusive),
	} {
		c.signed(name, other, func(s *Signing) { s.References[0].Transforms = text })
	}
	for _, c14n := range []string{exclusive + "WithComments", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", ""} {
		c.signed("SignedInfo in the canonical form "+c14n, "canonical form is not the exclusive one", func(s *Signing) { s.C14N = c14n })
	}
}

// subjects are tricks with who it is.
func (c *corpus) subjects() {
	const name = ">u-1001</saml:NameID>"
	c.edited("empty NameID", "empty NameID", name, "></saml:NameID>")
	c.edited("blank NameID", "empty NameID", name, "> </saml:NameID>")
	c.edited("NameID with white space", "white space", name, ">u-1001 </saml:NameID>")
	c.edited("NameID with a control character", "control characters", name, ">u-1001\x7f</saml:NameID>")
	c.edited("NameID of 256 bytes", "255 bytes", name, ">"+strings.Repeat("u", 256)+"</saml:NameID>")
	c.edited("NameID with an element", "holds elements", name, ">u-<saml:x></saml:x>1001</saml:NameID>")
	c.edited("two NameIDs", "other parts", "<saml:NameID ", "<saml:NameID>admin</saml:NameID><saml:NameID ")
	c.edited("no NameID", "other parts", "<saml:NameID ", "<saml:BaseID></saml:BaseID><saml:NameID ")
	c.edited("NameID of another namespace", "has no NameID", `<saml:NameID Format="`+formatPersistent+`"`+name, `<x:NameID xmlns:x="urn:x">u-1001</x:NameID>`)
	c.edited("transient NameID", "transient", formatPersistent, "urn:oasis:names:tc:SAML:2.0:nameid-format:transient")
	c.edited("e-mail address", "e-mail address", formatPersistent, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress")
	c.edited("e-mail address of SAML 2.0", "e-mail address", formatPersistent, "urn:oasis:names:tc:SAML:2.0:nameid-format:emailAddress")
	c.edited("name of another provider", "NameQualifier is another", name, ` NameQualifier="urn:evil"`+name)
	c.edited("name for another service", "SPNameQualifier is another", name, ` SPNameQualifier="urn:evil"`+name)
	c.edited("two Subjects", "more than one Subject", "<saml:Conditions", "<saml:Subject></saml:Subject><saml:Conditions")
	c.edited("no Subject", "no Subject", "<saml:Subject>", "<saml:Advice>")
	c.list[len(c.list)-1].Token = c.s.Token(Assertion{Edit: func(d *Draft) {
		before, rest, _ := strings.Cut(d.Rest, "<saml:Subject>")
		_, after, _ := strings.Cut(rest, "</saml:Subject>")
		d.Rest = before + after
	}})
	c.edited("Version 1.1", "SAML 2.0, by its Version", `Version="2.0"`, `Version="1.1"`)
	c.edited("Issuer of nobody", "no configured identity provider", "<saml:Issuer>", "<saml:Issuer>x")
	c.edited("Issuer with a slash", "trailing slash", "</saml:Issuer>", "/</saml:Issuer>")
	c.edited("Issuer with white space", "white space", "</saml:Issuer>", " </saml:Issuer>")
	c.edited("Issuer that is no entity", "no entity", "<saml:Issuer>", `<saml:Issuer Format="`+formatPersistent+`">`)
	c.against("empty Issuer", "Issuer that is empty", Assertion{Edit: func(d *Draft) { d.Issuer = "<saml:Issuer></saml:Issuer>" }})
	c.edited("two Issuers", "more than one Issuer", "<saml:Conditions", "<saml:Issuer>urn:evil</saml:Issuer><saml:Conditions")
	c.edited("no confirmation", "no SubjectConfirmation", "<saml:SubjectConfirmation ", "<saml:Other ")
	c.list[len(c.list)-1].Token = c.s.Token(Assertion{Edit: func(d *Draft) {
		before, rest, _ := strings.Cut(d.Rest, "<saml:SubjectConfirmation ")
		_, after, _ := strings.Cut(rest, "</saml:SubjectConfirmation>")
		d.Rest = before + after
	}})
	const method, data = "urn:oasis:names:tc:SAML:2.0:cm:bearer", "<saml:SubjectConfirmationData "
	c.edited("sender vouches", "another method than bearer", method, "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches")
	c.edited("no method", "another method than bearer", method, "")
	c.edited("holder of key", "holder-of-key", method, "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")
	c.edited("two confirmations", "more than one SubjectConfirmation", "</saml:Subject>", `<saml:SubjectConfirmation Method="`+method+`"></saml:SubjectConfirmation></saml:Subject>`)
	c.edited("two confirmation data", "more than one SubjectConfirmationData", data, data[:len(data)-1]+"></saml:SubjectConfirmationData>"+data)
	c.edited("confirmation of somebody else", "says more", data, "<saml:NameID>admin</saml:NameID>"+data)
	c.edited("another recipient", "another recipient", ` Recipient="`, ` Recipient="https://evil.example`)
	c.edited("no recipient", "another recipient", ` Recipient="`, ` Resipient="`)
}

// conditions are tricks with when and for whom.
func (c *corpus) conditions() {
	now := c.s.Now()
	past, future := stamp(now.Add(-time.Hour)), stamp(now.Add(time.Hour))
	at := func(name, cause, element, attribute, value string) {
		c.against(name, cause, Assertion{Edit: func(d *Draft) {
			whole := d.Open + "\x00" + d.Rest
			before, rest, found := strings.Cut(whole, element)
			head, rest, there := strings.Cut(rest, attribute+`="`)
			_, after, _ := strings.Cut(rest, `"`)
			if !found || !there {
				panic("samlidp: no " + element + " " + attribute)
			}
			changed := attribute + `="` + value + `"`
			if value == "" {
				changed, head = "", strings.TrimSuffix(head, " ")
			}
			d.Open, d.Rest, _ = strings.Cut(before+element+head+changed+after, "\x00")
		}})
	}
	const data = "<saml:SubjectConfirmationData "
	at("Conditions are over", "expired", "<saml:Conditions ", "NotOnOrAfter", past)
	at("Conditions end now", "expired", "<saml:Conditions ", "NotOnOrAfter", stamp(now))
	at("Conditions without end", "Conditions without NotOnOrAfter", "<saml:Conditions ", " NotOnOrAfter", "")
	at("Conditions begin later", "not valid yet", "<saml:Conditions ", "NotBefore", future)
	at("confirmation is over", "expired", data, "NotOnOrAfter", past)
	c.edited("confirmation without end", "SubjectConfirmationData without NotOnOrAfter", data+"NotOnOrAfter", data+"NotOnBefore")
	at("session is over", "expired", "<saml:AuthnStatement ", "SessionIndex", "x\" SessionNotOnOrAfter=\""+past)
	at("issued later", "not valid yet", "<saml:Assertion ", "IssueInstant", future)
	at("issued long ago", "max_token_age", "<saml:Assertion ", "IssueInstant", stamp(now.Add(-25*time.Hour)))
	at("never issued", "no IssueInstant", "<saml:Assertion ", " IssueInstant", "")
	for _, text := range []string{"2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+02:00", "2026-01-01 00:00:00Z", "1767225600", "2026-01-01T00:00:00,5Z", "9999999-01-01T00:00:00Z"} {
		at("a time such as "+text, "NotOnOrAfter that is", "<saml:Conditions ", "NotOnOrAfter", text)
	}
	c.edited("another audience", "another audience", "<saml:Audience>", "<saml:Audience>https://evil.example/")
	c.edited("second restriction to another audience", "another audience", "</saml:Conditions>", "<saml:AudienceRestriction><saml:Audience>urn:evil</saml:Audience></saml:AudienceRestriction></saml:Conditions>")
	c.edited("audience of another namespace", "another audience", "<saml:Audience>", `<saml:Audience>urn:evil</saml:Audience></saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>`)
	c.edited("no Conditions", "no Conditions", "<saml:Conditions", "<saml:Advice")
	c.list[len(c.list)-1].Token = c.s.Token(Assertion{Edit: func(d *Draft) {
		before, rest, _ := strings.Cut(d.Rest, "<saml:Conditions ")
		_, after, _ := strings.Cut(rest, "</saml:Conditions>")
		d.Rest = before + after
	}})
	c.edited("no audience", "no AudienceRestriction", "<saml:AudienceRestriction>", "")
	c.list[len(c.list)-1].Token = c.s.Token(Assertion{Edit: func(d *Draft) {
		before, rest, _ := strings.Cut(d.Rest, "<saml:AudienceRestriction>")
		_, after, _ := strings.Cut(rest, "</saml:AudienceRestriction>")
		d.Rest = before + after
	}})
	c.edited("two Conditions", "more than one Conditions", "<saml:AuthnStatement", "<saml:Conditions></saml:Conditions><saml:AuthnStatement")
	c.edited("unknown condition", "condition that is not known", "</saml:Conditions>", `<saml:Condition></saml:Condition></saml:Conditions>`)
	c.edited("no further assertions by it", "condition that is not known", "</saml:Conditions>", `<saml:ProxyRestriction Count="0"></saml:ProxyRestriction></saml:Conditions>`)
}

func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	found, _, _ := strings.Cut(rest, after)
	return found
}

// attributes are tricks with what else is said.
func (c *corpus) attributes() {
	statement := func(name, cause, inside string) {
		c.against(name, cause, Assertion{Groups: []string{"data-eng"}, Edit: func(d *Draft) {
			d.Replace("</saml:AttributeStatement>", inside+"</saml:AttributeStatement>")
		}})
	}
	value := func(v string) string { return "<saml:AttributeValue>" + v + "</saml:AttributeValue>" }
	statement("groups twice", "two attributes of the same name", `<saml:Attribute Name="groups">`+value("admins")+`</saml:Attribute>`)
	statement("groups in two statements", "two attributes of the same name", `</saml:AttributeStatement><saml:AttributeStatement><saml:Attribute Name="groups">`+value("admins")+`</saml:Attribute>`)
	statement("attribute without a name", "attribute without a name", `<saml:Attribute Name="">`+value("x")+`</saml:Attribute>`)
	statement("attribute that says who it is", "what an assertion or a token says by itself", `<saml:Attribute Name="sub">`+value("admin")+`</saml:Attribute>`)
	statement("attribute that says who acts", "what an assertion or a token says by itself", `<saml:Attribute Name="act">`+value("admin")+`</saml:Attribute>`)
	statement("value that holds elements", "not all text", `<saml:Attribute Name="x">`+value("<saml:NameID>admin</saml:NameID>")+`</saml:Attribute>`)
	statement("encrypted attribute", "encrypted part", `<saml:EncryptedAttribute></saml:EncryptedAttribute>`)
	statement("no attribute", "something else than attributes", `<saml:Thing></saml:Thing>`)
	c.against("group that is empty", "groups attribute", Assertion{Groups: []string{"data-eng"}, Edit: func(d *Draft) { d.Replace(">data-eng<", "><") }})
	c.against("group that holds elements", "groups attribute", Assertion{Groups: []string{"data-eng"}, Edit: func(d *Draft) { d.Replace(">data-eng<", "><saml:x>data-eng</saml:x><") }})
	c.edited("two sign-ins", "more than one AuthnStatement", "<saml:AuthnStatement", `<saml:AuthnStatement AuthnInstant="`+stamp(c.s.Now())+`"></saml:AuthnStatement><saml:AuthnStatement`)
	c.edited("sign-in without a time", "without AuthnInstant", " AuthnInstant=", " AuthnInstent=")
	c.edited("decision of the provider", "not of an assertion", "<saml:AuthnStatement", "<saml:AuthzDecisionStatement></saml:AuthzDecisionStatement><saml:AuthnStatement")
	c.edited("element of nobody", "not of an assertion", "<saml:AuthnStatement", `<x:Extensions xmlns:x="urn:x"></x:Extensions><saml:AuthnStatement`)
}

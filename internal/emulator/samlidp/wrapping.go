package samlidp

import (
	"encoding/asn1"
	"math/big"
	"strings"
)

func asn1Of(value []byte) []byte {
	half := len(value) / 2
	der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(value[:half]), new(big.Int).SetBytes(value[half:])})
	if err != nil {
		panic("samlidp: " + err.Error())
	}
	return der
}

// form puts an evil assertion to where it is read and leaves the signed one where it is verified. original is the signed
// assertion, bare the same without its signature.
type form struct {
	name, cause string
	wrap        func(original, bare, signature string, evil Draft) string
}

// in puts something into a Signature, at its end.
func in(signature, inside string) string {
	return strings.Replace(signature, "</ds:Signature>", inside+"</ds:Signature>", 1)
}

const second = "second Assertion element"

// forms are XSW1 to XSW8 of Somorovsky and others, "On Breaking SAML: Be Whoever You Want to Be" (2012). They are written for a
// Response; each is here as that, and as what comes next to it where an assertion is the root.
var forms = []form{
	{"XSW1, the signed one in the Signature", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + in(signature, bare) + evil.Rest + closing
	}},
	{"XSW2, the signed one before a detached Signature", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + bare + signature + evil.Rest + closing
	}},
	{"XSW2, the signed one behind the Signature", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + signature + bare + evil.Rest + closing
	}},
	{"XSW3, the evil one before the signed one", "SAML Response", func(original, _, _ string, evil Draft) string {
		return response("_r", evil.Canonical()+original)
	}},
	{"XSW3, the signed one first in the evil one", second, func(original, _, _ string, evil Draft) string {
		return evil.Open + original + evil.Issuer + evil.Rest + closing
	}},
	{"XSW4, the signed one last in the evil one", second, func(original, _, _ string, evil Draft) string {
		return evil.Open + evil.Issuer + evil.Rest + original + closing
	}},
	{"XSW4 in a Response", "SAML Response", func(original, _, _ string, evil Draft) string {
		return response("_r", evil.Open+evil.Issuer+evil.Rest+original+closing)
	}},
	{"XSW5, the evil one has the Signature, the signed one is last", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + signature + evil.Rest + bare + closing
	}},
	{"XSW5 in a Response", "SAML Response", func(_, bare, signature string, evil Draft) string {
		return response("_r", evil.Open+evil.Issuer+signature+evil.Rest+closing+bare)
	}},
	{"XSW6, the signed one in the Signature of the evil one", "SAML Response", func(_, bare, signature string, evil Draft) string {
		return response("_r", evil.Open+evil.Issuer+in(signature, bare)+evil.Rest+closing)
	}},
	{"XSW6, the signed one in SignatureValue", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + strings.Replace(signature, "</ds:SignatureValue>", bare+"</ds:SignatureValue>", 1) + evil.Rest + closing
	}},
	{"XSW7, the evil one in Extensions", "SAML Response", func(original, _, _ string, evil Draft) string {
		return response("_r", "<samlp:Extensions>"+evil.Canonical()+"</samlp:Extensions>"+original)
	}},
	{"XSW7, the signed one in Extensions of the evil one", second, func(original, _, _ string, evil Draft) string {
		return evil.Open + evil.Issuer + "<saml:Extensions>" + original + "</saml:Extensions>" + evil.Rest + closing
	}},
	{"XSW7, the signed one in Advice", second, func(original, _, _ string, evil Draft) string {
		return evil.Open + evil.Issuer + evil.Rest + "<saml:Advice>" + original + "</saml:Advice>" + closing
	}},
	{"XSW7, the signed one in Advice, its Signature in the evil one", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + signature + evil.Rest + "<saml:Advice>" + bare + "</saml:Advice>" + closing
	}},
	{"XSW8, the signed one in an Object", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + in(signature, "<ds:Object>"+bare+"</ds:Object>") + evil.Rest + closing
	}},
	{"XSW8 in a Response", "SAML Response", func(_, bare, signature string, evil Draft) string {
		return response("_r", evil.Open+evil.Issuer+in(signature, "<ds:Object>"+bare+"</ds:Object>")+evil.Rest+closing)
	}},
	{"an attribute's value holds the signed one", second, func(_, bare, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + signature + evil.Rest + `<saml:AttributeStatement><saml:Attribute Name="x"><saml:AttributeValue>` + bare + "</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>" + closing
	}},
	{"the evil one in the signed one", second, func(original, _, _ string, evil Draft) string {
		return strings.TrimSuffix(original, closing) + evil.Canonical() + closing
	}},
	{"a wrapper of another namespace", "not a SAML 2.0 assertion", func(original, _, _ string, evil Draft) string {
		return `<x:Assertion xmlns:x="urn:x">` + evil.Canonical() + original + "</x:Assertion>"
	}},
	{"an evil one of another namespace in the signed one", second, func(original, _, _ string, _ Draft) string {
		return strings.TrimSuffix(original, closing) + `<Assertion xmlns="urn:x"></Assertion>` + closing
	}},
	{"the Signature of another assertion", "not to the assertion itself", func(_, _, signature string, evil Draft) string {
		return evil.Open + evil.Issuer + signature + evil.Rest + closing
	}},
}

// wrapping are all forms, with an ID of its own and with the ID that is signed, and what else a provider signs in the place
// of an assertion.
func (c *corpus) wrapping() {
	for _, f := range forms {
		for _, same := range []bool{false, true} {
			name, cause := f.name, f.cause
			original := c.s.Document(Assertion{})
			before, signature, after := cutSignature(original)
			bare := before + after
			evil := c.s.draft(Assertion{Subject: "admin", Groups: []string{"admins"}})
			if same {
				name += ", of the same ID"
				evil.Replace(` ID="`+evil.ID+`"`, ` ID="`+between(original, ` ID="`, `"`)+`"`)
				if cause == "not to the assertion itself" {
					cause = "changed after it was signed"
				}
			}
			c.token(name, cause, encode(f.wrap(original, bare, signature, evil)), encode(original))
		}
	}
	c.others()
}

// others wrap what isn't an assertion: a provider signs messages, too.
func (c *corpus) others() {
	message := func(id string) (bare, signature string) {
		bare = `<samlp:LogoutRequest xmlns:samlp="` + spaceProtocol + `" ID="` + id + `" Version="2.0"></samlp:LogoutRequest>`
		k := c.s.signing(kindRSA)
		s := Signing{key: k, Method: more + "rsa-sha256", C14N: exclusive, KeyInfo: keyInfo(k),
			References: []Reference{{URI: "#" + id, Transforms: transforms(""), Digest: digestSHA256, Signed: bare}}}
		return bare, s.element()
	}
	wrap := func(name, cause string, build func(evil Draft) string) {
		evil := c.s.draft(Assertion{Subject: "admin"})
		c.token(name, cause, encode(build(evil)), c.s.Token(Assertion{}))
	}
	advice := func(inside string) string { return "<saml:Advice>" + inside + "</saml:Advice>" }
	wrap("signed message in Advice", "not to the assertion itself", func(evil Draft) string {
		bare, signature := message("_m")
		return evil.Open + evil.Issuer + signature + evil.Rest + advice(bare) + closing
	})
	wrap("signed message of the same ID", "two elements of the same ID", func(evil Draft) string {
		bare, signature := message(evil.ID)
		return evil.Open + evil.Issuer + signature + evil.Rest + advice(bare) + closing
	})
	wrap("signed message of the same ID by an attribute called Id", "two elements of the same ID", func(evil Draft) string {
		bare, signature := message(evil.ID)
		return evil.Open + evil.Issuer + signature + evil.Rest + advice(strings.Replace(bare, " ID=", " Id=", 1)) + closing
	})
	wrap("signed message with its Signature in Advice", "where it belongs", func(evil Draft) string {
		bare, signature := message("_m")
		return evil.Open + evil.Issuer + evil.Rest + advice(strings.Replace(bare, "></samlp", ">"+signature+"</samlp", 1)) + closing
	})
	wrap("signed message alone", "not a SAML 2.0 assertion", func(Draft) string {
		bare, signature := message("_m")
		return strings.Replace(bare, "></samlp", ">"+signature+"</samlp", 1)
	})
	signedResponse := func(evil Draft) (signature string) {
		k := c.s.signing(kindRSA)
		return Signing{key: k, Method: more + "rsa-sha256", C14N: exclusive, KeyInfo: keyInfo(k),
			References: []Reference{{URI: "#_r", Transforms: transforms(""), Digest: digestSHA256, Signed: response("_r", evil.Canonical())}}}.element()
	}
	wrap("signed Response around an assertion", "SAML Response", func(evil Draft) string {
		return response("_r", signedResponse(evil)+evil.Canonical())
	})
	wrap("assertion of a Response that is signed alone", "is not signed", func(evil Draft) string { return evil.Canonical() })
	wrap("assertion with the Response's Signature", "not to the assertion itself", func(evil Draft) string {
		return evil.Open + evil.Issuer + signedResponse(evil) + evil.Rest + closing
	})
}

package saml_test

import (
	"testing"

	"github.com/lakegate/sts/identity/saml"
)

// TestCanonical is the exclusive canonical form as libxml2 writes it.
func TestCanonical(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing to undo at the apex", `<a xmlns=""><b/></a>`, `<a><b></b></a>`},
		{"nothing to undo further in", `<x:a xmlns:x="urn:x"><b xmlns="" x:c="1"/></x:a>`, `<x:a xmlns:x="urn:x"><b x:c="1"></b></x:a>`},
		{"a default that is undone", `<a xmlns="urn:a"><b xmlns=""/></a>`, `<a xmlns="urn:a"><b xmlns=""></b></a>`},
		{"a default that nobody uses", `<x:a xmlns="urn:a" xmlns:x="urn:x"/>`, `<x:a xmlns:x="urn:x"></x:a>`},
		{"where a prefix is used first", `<a xmlns:x="urn:x"><x:b/><x:b/></a>`, `<a><x:b xmlns:x="urn:x"></x:b><x:b xmlns:x="urn:x"></x:b></a>`},
		{"a prefix of another meaning", `<x:a xmlns:x="urn:x"><x:b xmlns:x="urn:y"/></x:a>`, `<x:a xmlns:x="urn:x"><x:b xmlns:x="urn:y"></x:b></x:a>`},
		{"declared anew", `<x:a xmlns:x="urn:x"><x:b xmlns:x="urn:x"/></x:a>`, `<x:a xmlns:x="urn:x"><x:b></x:b></x:a>`},
		{"order", `<a x:b='1' d="2" xmlns:x='urn:x' c='3' xmlns='urn:a'/>`, `<a xmlns="urn:a" xmlns:x="urn:x" c="3" d="2" x:b="1"></a>`},
		{"characters", "<a b='&#9;&quot;\"&#xD;&lt;>&amp;\n'>&#13;\r\n&quot;&gt;\t</a>", "<a b=\"&#x9;&quot;&quot;&#xD;&lt;>&amp; \">&#xD;\n\"&gt;\t</a>"},
	} {
		if got, _, err := saml.Canonicalize(c.text); err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}

package saml

import (
	"slices"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// canonical writes an element by Exclusive XML Canonicalization 1.0, without the child except (nil for none). prefixes are
// those of InclusiveNamespaces, which are written as they are declared.
//
// What is written is built from what our parser read, so that no second parser can have read it otherwise.
func (n *node) canonical(prefixes string, except *node) ([]byte, error) {
	apex := etree.NewElement(n.qualified())
	for s := n.scope; s != nil; s = s.outer {
		// What is outer doesn't count where there is an inner one, and at the apex there is nothing to undo.
		if uri, _ := n.scope.uriOf(s.prefix); s.prefix != "xml" && uri != "" {
			apex.CreateAttr(declaration(s.prefix), uri)
		}
	}
	n.fill(apex, except)
	return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(apex)
}

func declaration(prefix string) string {
	if prefix == "" {
		return "xmlns"
	}
	return "xmlns:" + prefix
}

func (n *node) fill(to *etree.Element, except *node) {
	for _, a := range n.attrs {
		to.CreateAttr(qualified(a.prefix, a.local), a.value)
	}
	for _, item := range n.items {
		switch item := item.(type) {
		case string:
			to.CreateText(item)
		case *node:
			if item == except {
				continue
			}
			child := to.CreateElement(item.qualified())
			for s := item.scope; s != n.scope; s = s.outer {
				if outer, _ := n.scope.uriOf(s.prefix); outer != s.uri {
					child.CreateAttr(declaration(s.prefix), s.uri)
				}
			}
			item.fill(child, except)
		}
	}
}

// inclusive are the prefixes of an element's one InclusiveNamespaces child, "" where it has none. ok is false where it has
// anything else.
func (n *node) inclusive() (prefixes string, ok bool) {
	switch children := n.children(); {
	case len(children) == 0:
		return "", true
	case len(children) == 1 && children[0].is(algorithmExclusive, "InclusiveNamespaces") && len(children[0].items) == 0:
		list, _ := children[0].attr("PrefixList")
		return list, !slices.Contains(strings.Fields(list), "#default")
	}
	return "", false
}

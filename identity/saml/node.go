package saml

import (
	"errors"
	"strings"
)

// The namespaces that are always bound (Namespaces in XML 1.0 §3).
const (
	spaceXML   = "http://www.w3.org/XML/1998/namespace"
	spaceXMLNS = "http://www.w3.org/2000/xmlns/"
)

// node is an element.
type node struct {
	prefix string
	space  string // the namespace that prefix stands for
	local  string
	attrs  []attr
	// scope are the namespaces in force here, those of the element itself first.
	scope *scope
	// items are the *node and string children, in order.
	items []any
}

// attr is an attribute that declares no namespace.
type attr struct {
	prefix, space, local, value string
}

// scope is one declaration of a namespace, and those around it, which it shares with other elements: a document that declares
// at every element costs no more than its text.
type scope struct {
	prefix, uri string
	outer       *scope
	count       int
}

func (s *scope) declare(prefix, uri string) *scope {
	inner := &scope{prefix: prefix, uri: uri, outer: s, count: 1}
	if s != nil {
		inner.count += s.count
	}
	return inner
}

// uriOf is what a prefix stands for.
func (s *scope) uriOf(prefix string) (uri string, known bool) {
	for ; s != nil; s = s.outer {
		if s.prefix == prefix {
			return s.uri, true
		}
	}
	return "", false
}

func (n *node) is(space, local string) bool { return n.space == space && n.local == local }

// children are the elements in it.
func (n *node) children() (list []*node) {
	for _, item := range n.items {
		if child, ok := item.(*node); ok {
			list = append(list, child)
		}
	}
	return list
}

// text is what an element holds that holds nothing but text.
func (n *node) text() (string, bool) {
	var b strings.Builder
	for _, item := range n.items {
		part, ok := item.(string)
		if !ok {
			return "", false
		}
		b.WriteString(part)
	}
	return b.String(), true
}

// attr is the value of an attribute without a namespace.
func (n *node) attr(local string) (string, bool) {
	for _, a := range n.attrs {
		if a.space == "" && a.local == local {
			return a.value, true
		}
	}
	return "", false
}

// walk visits an element and all below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, child := range n.children() {
		child.walk(visit)
	}
}

// declare puts a namespace in force; outer are those around the element.
func (n *node) declare(outer *scope, prefix, uri string) error {
	for s := n.scope; s != outer; s = s.outer {
		if s.prefix == prefix {
			return errors.New("declares a namespace prefix twice in one element")
		}
	}
	switch {
	case prefix == "xml", prefix == "xmlns", uri == spaceXML, uri == spaceXMLNS, prefix != "" && uri == "":
		return errors.New("declares a namespace that can't be declared")
	}
	n.scope = n.scope.declare(prefix, uri)
	return nil
}

// resolvePrefixes finds the namespaces of an element and its attributes.
func (n *node) resolvePrefixes() error {
	var known bool
	if n.space, known = n.scope.uriOf(n.prefix); !known && n.prefix != "" {
		return errors.New("uses a namespace prefix that it doesn't declare")
	}
	seen := make(map[attr]bool, len(n.attrs))
	for i := range n.attrs {
		a := &n.attrs[i]
		if a.prefix != "" {
			if a.space, known = n.scope.uriOf(a.prefix); !known {
				return errors.New("uses a namespace prefix that it doesn't declare")
			}
		}
		if name := (attr{space: a.space, local: a.local}); seen[name] {
			return errors.New("has an element with the same attribute twice")
		} else {
			seen[name] = true
		}
	}
	return nil
}

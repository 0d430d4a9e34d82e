package strictyaml

import (
	"strconv"
	"strings"
)

// Kind is the shape of a node.
type Kind uint8

// The shapes of a node.
const (
	Null     Kind = iota // nothing: "key:" or "key: null"
	Scalar               // one text, number or boolean
	Sequence             // a list
	Mapping              // keys and values
)

// String is the kind in words, for "wanted …, found …".
func (k Kind) String() string {
	return [...]string{"nothing", "a scalar", "a list", "a mapping"}[k]
}

// scalarKind is what YAML takes an unquoted scalar for.
type scalarKind uint8

const (
	text scalarKind = iota
	integer
	float
	boolean
	special // .inf, .nan: nothing of ours wants them
)

// node is one node of the parsed file. It is small, since a policy has millions of them.
type node struct {
	kind      Kind
	scalar    scalarKind
	line, col int
	text      string        // of a scalar
	items     []*node       // of a sequence; of a mapping, key and value in turn
	long      *longSequence // instead of the items of a long sequence
}

// path leads from the root to a node; it is written out only for a fault.
type path struct {
	parent *path
	key    string
	index  int // of a list; -1 under a key
}

func (p *path) String() string {
	var parts []string
	for ; p != nil && p.parent != nil; p = p.parent {
		if p.index >= 0 {
			parts = append(parts, "["+strconv.Itoa(p.index)+"]")
		} else {
			parts = append(parts, "."+p.key)
		}
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return strings.TrimPrefix(b.String(), ".")
}

// Node is one node of the file, as an Unmarshaler sees it.
type Node struct {
	d *decoder
	n *node
	p *path
}

// Unmarshaler is implemented by types that take more than one shape ("any" or a list). It reports its faults through the node, and
// whether the value is usable.
type Unmarshaler interface{ UnmarshalNode(n Node) bool }

// ScalarUnmarshaler is implemented by types that are written as one scalar. Its error should be a Problem.
type ScalarUnmarshaler interface{ UnmarshalScalar(text string) error }

// Kind is the node's shape.
func (n Node) Kind() Kind { return n.n.kind }

// Pos is where the node starts.
func (n Node) Pos() Pos { return n.d.pos(n.n) }

// Path is where the node is in the structure.
func (n Node) Path() string { return n.p.String() }

// Text is a scalar's text, "" for everything else.
func (n Node) Text() string { return n.n.text }

// Len is how many items a list has, or keys a mapping.
func (n Node) Len() int {
	if n.n.kind == Mapping {
		return len(n.n.items) / 2
	}
	return n.n.count()
}

// Decode reads the node into what the pointer leads to. It says whether the value has the right shape; faults are recorded, those
// of its parts too.
func (n Node) Decode(into any) bool { return n.d.decodeInto(n.n, n.p, into) }

// Fault records a fault at the node.
func (n Node) Fault(message, mend string) { n.d.fault(n.n, n.p, message, mend) }

// FaultAt records a fault at a part of the node.
func (n Node) FaultAt(pos Pos, message, mend string) { n.d.faults.Add(pos, n.Path(), message, mend) }

// Wrong records that another type was wanted ("any, or a list of parties").
func (n Node) Wrong(wanted string) bool { return n.d.wrong(n.n, n.p, wanted) }

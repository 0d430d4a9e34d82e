package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parse makes a tree of a file, or says why it can't: a file that is no YAML, or uses what we refuse, has one fault.
func parse(cfg Config, data []byte) (*node, *Fault) {
	at := func(line, col int, message, mend string) *Fault {
		return &Fault{Pos: Pos{cfg.File, line, col}, Message: message, Mend: mend}
	}
	if len(data) > cfg.MaxBytes {
		return nil, at(1, 1, fmt.Sprintf("the file has %d bytes, more than the %d that are allowed", len(data), cfg.MaxBytes), "split it")
	}
	if i := firstBadByte(data); i >= 0 {
		line, col := lineCol(data, i)
		return nil, at(line, col, "a byte that is no UTF-8 text", "save the file as UTF-8, without byte order mark or control characters")
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	if !strings.HasSuffix(text, "\n") {
		text += "\n" // at the end of a text, the library forgets a tag
	}
	root, ok, err := parseLong(text, cfg)
	if !ok {
		root, err = parseYAML(text, cfg.MaxDepth)
	}
	switch {
	case err != nil:
		fault := syntaxFault(cfg.File, 0, err)
		return nil, &fault
	case root.kind == Null:
		return &node{kind: Mapping, line: 1, col: 1}, nil
	}
	return root, nil
}

// syntaxFault says what parseYAML found; before is how many lines stand before the text it was given.
func syntaxFault(file string, before int, err error) Fault {
	var refused *refusal
	var syntax yaml.Error
	switch {
	case errors.As(err, &refused):
		return Fault{Pos: Pos{file, before + refused.line, refused.col}, Message: refused.message, Mend: refused.mend}
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		p := syntax.GetToken().Position
		return Fault{Pos: Pos{file, before + p.Line, p.Column}, Message: "not valid YAML: " + syntax.GetMessage(), Mend: mendSyntax}
	}
	return Fault{Pos: Pos{file, before + 1, 1}, Message: "not valid YAML", Mend: mendSyntax}
}

const mendSyntax = "mend the syntax; other faults show after that"

// refusal is a part of YAML that we don't take.
type refusal struct {
	line, col     int
	message, mend string
}

func (r *refusal) Error() string { return r.message }

func refuse(t *token.Token, message, mend string) error {
	return &refusal{t.Position.Line, t.Position.Column, message, mend}
}

// parseYAML contains the library: its panics become errors, its tree becomes ours.
func parseYAML(text string, maxDepth int) (root *node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the parser panicked: %v", r)
		}
	}()
	tokens := lexer.Tokenize(text)
	if err := checkTokens(tokens, maxDepth); err != nil {
		return nil, err
	}
	// Repeated keys are ours to find: the library stops at the first.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return &node{kind: Null, line: 1, col: 1}, nil
	}
	return convert(file.Docs[0].Body, maxDepth)
}

// checkTokens refuses, before the parser recurses into them, what we don't take of YAML: aliases and merge keys, since a file must
// read the same to a reviewer as to us and can't grow while it is read; tags, directives, second documents, keys that are no scalars; deep nesting.
func checkTokens(tokens token.Tokens, maxDepth int) error {
	flow, dashes, line := 0, 0, 0
	for i, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return refuse(t, "anchors, aliases and merge keys are not supported", "write the value out (or put it in quotes, if it is a text)")
		case token.TagType:
			return refuse(t, "tags are not supported", "leave the tag out (or put it in quotes, if it is a text)")
		case token.DirectiveType:
			return refuse(t, "directives are not supported", "leave the line out")
		case token.DocumentHeaderType, token.DocumentEndType:
			if i > 0 || t.Type == token.DocumentEndType || t.Next != nil && t.Next.Position.Line == t.Position.Line {
				return refuse(t, "a second document in one file", "write it to a file of its own; --- may stand alone on the first line, ... nowhere")
			}
		case token.MappingKeyType:
			return refuse(t, "\"?\" keys are not supported", "write key: value")
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType:
			dashes++
			if isEmptyItem(t) {
				return refuse(t, "a dash without a value", "give it a value, or leave it out")
			}
		}
		if flow+dashes > maxDepth {
			return tooDeep(t)
		}
	}
	return nil
}

// isEmptyItem finds a dash with nothing behind it: the library takes a key on the next line for its value, wherever that key stands.
func isEmptyItem(dash *token.Token) bool {
	next := dash.Next
	for next != nil && next.Type == token.CommentType {
		next = next.Next
	}
	return next == nil || next.Position.Line > dash.Position.Line && next.Position.Column <= dash.Position.Column
}

func tooDeep(t *token.Token) error { return refuse(t, "nested too deep", "nest less") }

// convert makes our node of the library's.
func convert(n ast.Node, depth int) (*node, error) {
	if n == nil {
		return nil, errors.New("a node without content")
	}
	t := n.GetToken()
	if depth < 0 {
		return nil, tooDeep(t)
	}
	out := &node{line: t.Position.Line, col: t.Position.Column}
	switch n := n.(type) {
	case *ast.NullNode:
		out.kind = Null
	case *ast.StringNode:
		if t.Type == token.StringType && strings.Contains(n.Value, "\n") {
			return nil, refuse(t, "a text over several lines without quotes", "put it in quotes, or write it with | or >")
		}
		out.kind, out.text = Scalar, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = Scalar, n.Value.Value
	case *ast.IntegerNode:
		out.kind, out.scalar, out.text = Scalar, integer, t.Value
	case *ast.FloatNode:
		out.kind, out.scalar, out.text = Scalar, float, t.Value
	case *ast.BoolNode:
		out.kind, out.scalar, out.text = Scalar, boolean, t.Value
	case *ast.InfinityNode, *ast.NanNode:
		out.kind, out.scalar, out.text = Scalar, special, t.Value
	case *ast.SequenceNode:
		return out, convertSequence(n, out, depth)
	case *ast.MappingNode:
		return out, convertMapping(n.Values, out, depth, n.IsFlowStyle)
	case *ast.MappingValueNode:
		return out, convertMapping([]*ast.MappingValueNode{n}, out, depth, false)
	default:
		return nil, refuse(t, "YAML's "+strings.ToLower(n.Type().String())+" is not supported", "write plain mappings, lists and values")
	}
	return out, nil
}

func convertSequence(n *ast.SequenceNode, out *node, depth int) error {
	out.kind = Sequence
	out.items = make([]*node, 0, len(n.Values))
	for _, value := range n.Values {
		item, err := convert(value, depth-1)
		if err != nil {
			return err
		}
		out.items = append(out.items, item)
	}
	return nil
}

func convertMapping(values []*ast.MappingValueNode, out *node, depth int, flow bool) error {
	out.kind = Mapping
	out.items = make([]*node, 0, 2*len(values))
	for i, pair := range values {
		key, err := convert(pair.Key, depth-1)
		if err != nil {
			return err
		}
		if key.kind != Scalar || pair.Start.Position.Line != key.line {
			return refuse(pair.Key.GetToken(), "a key that is no text on one line with its colon", "write key: value")
		}
		if i == 0 && !flow {
			out.line, out.col = key.line, key.col // the library's own position is that of the first colon
		}
		value, err := convert(pair.Value, depth-1)
		if err != nil {
			return err
		}
		if value.kind == Null {
			value.line, value.col = key.line, key.col // nothing has no place of its own
		}
		out.items = append(out.items, key, value)
	}
	return nil
}

// firstBadByte finds what no text file holds: invalid UTF-8, a byte order mark, control characters (a CR alone too: editors and the
// library disagree on whether it ends a line).
func firstBadByte(data []byte) int {
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			lineEnd := c == '\n' || c == '\r' && i+1 < len(data) && data[i+1] == '\n'
			if c < ' ' && c != '\t' && !lineEnd || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 || r == '\uFEFF' {
			return i
		}
		i += size
	}
	return -1
}

func lineCol(data []byte, i int) (line, col int) {
	before := data[:i]
	return bytes.Count(before, []byte{'\n'}) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
}

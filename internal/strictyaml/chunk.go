package strictyaml

import "strings"

// The library needs seventy times a file's size in memory and slows down as it grows. A policy of 100,000 rules is one long list under
// one key at the top, so such a list is cut out, and its items are parsed a few at a time while they are decoded.
const (
	defaultLongList = 256 << 10 // bytes of a list that is worth cutting
	chunksOfList    = 16        // a chunk has the size of a long list divided by this, or of one item
)

// longSequence is a list whose items are not parsed yet.
type longSequence struct {
	maxDepth int
	chunks   []chunk
	items    int
}

// count is how many items a sequence has.
func (n *node) count() int {
	if n.long != nil {
		return n.long.items
	}
	return len(n.items)
}

// chunk is the text of some items, how many lines stand before it, and the index of its first item.
type chunk struct {
	text          string
	before, first int
}

// list is a top key whose value is a block list: the byte range of the list, without the key.
type list struct {
	keyLine    int
	start, end int
	indent     int
}

// parseLong parses a file with long lists; ok is false if there are none that can be cut safely.
func parseLong(text string, cfg Config) (root *node, ok bool, err error) {
	lists := longLists(text, cfg.longList)
	if len(lists) == 0 {
		return nil, false, nil
	}
	var rest strings.Builder
	at := 0
	for _, l := range lists {
		rest.WriteString(text[at:l.start])
		rest.WriteString(strings.Repeat("\n", strings.Count(text[l.start:l.end], "\n"))) // what follows keeps its line
		at = l.end
	}
	rest.WriteString(text[at:])
	if root, err = parseYAML(rest.String(), cfg.MaxDepth); err != nil {
		return nil, true, err
	}
	for _, l := range lists {
		value := root.valueAt(l.keyLine)
		if value == nil || value.kind != Null {
			return nil, false, nil // not the plain key that it looked like
		}
		value.kind = Sequence
		chunks, items := cut(text[l.start:l.end], l, cfg.longList/chunksOfList)
		value.long = &longSequence{maxDepth: cfg.MaxDepth, chunks: chunks, items: items}
		value.line, value.col = l.keyLine+1, l.indent+1
	}
	return root, true, nil
}

// valueAt is the value of the top key on that line.
func (n *node) valueAt(line int) *node {
	if n.kind != Mapping {
		return nil
	}
	for i := 0; i+1 < len(n.items); i += 2 {
		if n.items[i].line == line {
			return n.items[i+1]
		}
	}
	return nil
}

// longLists finds the lists that are worth cutting: a key alone on its line at the left margin, and under it nothing but lines that
// are indented further than the list's dashes. Whatever looks otherwise is left to the library.
func longLists(text string, atLeast int) []list {
	var found []list
	current := list{indent: -1}
	open := false // after a key, while its list goes on
	finish := func(end int) {
		if open && current.indent >= 0 && end-current.start >= atLeast {
			current.end = end
			found = append(found, current)
		}
		open = false
	}
	line := 0
	for at := 0; at < len(text); line++ {
		next := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		content := strings.TrimRight(text[at:next], " \r\n")
		indent := len(content) - len(strings.TrimLeft(content, " "))
		body := content[indent:]
		switch {
		case body == "" || body[0] == '#':
		case open && current.indent < 0 && isItem(body):
			current.indent = indent
		case open && (indent > current.indent && current.indent >= 0 || indent == current.indent && isItem(body)):
		default:
			finish(at)
			if indent == 0 && isPlainKey(body) {
				open, current = true, list{keyLine: line + 1, start: next, indent: -1}
			}
		}
		at = next
	}
	finish(len(text))
	return found
}

func isItem(s string) bool { return s == "-" || strings.HasPrefix(s, "- ") }

// isPlainKey says whether the line is a key of letters and nothing else but a comment.
func isPlainKey(s string) bool {
	key, after, ok := strings.Cut(s, ":")
	after = strings.TrimLeft(after, " ")
	return ok && key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") == "" && (after == "" || after[0] == '#')
}

// cut makes chunks of whole items, and counts these.
func cut(text string, l list, size int) (chunks []chunk, items int) {
	dash := strings.Repeat(" ", l.indent) + "-"
	c, start := chunk{before: l.keyLine}, 0
	for at, line := 0, l.keyLine; at < len(text); line++ {
		next := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		if strings.HasPrefix(text[at:], dash) {
			if items > c.first && at-start >= size {
				c.text = text[start:at]
				chunks = append(chunks, c)
				start, c = at, chunk{before: line, first: items}
			}
			items++
		}
		at = next
	}
	c.text = text[start:]
	return append(chunks, c), items
}

// parse gives the items of a chunk, their lines counted in the whole file.
func (c chunk) parse(maxDepth int) ([]*node, error) {
	root, err := parseYAML(c.text, maxDepth)
	if err != nil {
		return nil, err
	}
	root.shift(c.before)
	if root.kind != Sequence {
		return nil, &refusal{root.line - c.before, root.col, "not valid YAML: an item of the list reaches over its dash", mendSyntax}
	}
	return root.items, nil
}

func (n *node) shift(lines int) {
	n.line += lines
	for _, item := range n.items {
		item.shift(lines)
	}
}

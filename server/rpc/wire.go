package rpc

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// limits are how large the request of a method may be.
type limits struct {
	bytes int64
	// parts bounds how many values there are at all depths: empty ones are two bytes each where they come from, and a
	// hundred times that in memory.
	parts int
}

// limitsOf are those of a method.
func limitsOf(batch bool) limits {
	if batch {
		return limits{bytes: maxBatch, parts: maxBatchParts}
	}
	return limits{bytes: maxMessage, parts: maxParts}
}

// What is wrong with a message, of either encoding.
var (
	errNotWire  = errors.New("can't be read; make it of the service's own .proto")
	errNewer    = errors.New("has a field that is not known here; this service may be older than its caller")
	errRepeated = errors.New("has a field twice that may come once")
	errParts    = errors.New("has too many values; no list may have more than 1000")
	errDeep     = errors.New("nests too deep")
)

// checkWire walks an encoded message before anything is made of it. Protocol Buffers take what they don't know, and of a
// field that comes twice the last: then the same bytes could be read in two ways by those who look at them, and a field
// that a newer caller sets may be one that narrows what it asks for.
func checkWire(message []byte, of protoreflect.MessageDescriptor, parts int) error {
	w := wire{parts: parts}
	return w.message(message, of, 0)
}

// wire counts what it has seen.
type wire struct{ parts int }

func (w *wire) message(text []byte, of protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	var few [32]int // without an allocation; no message of ours has more fields
	seen := few[:]
	if n := of.Fields().Len(); n > len(few) {
		seen = make([]int, n)
	}
	var keys map[string]bool // of the message's one map
	for len(text) > 0 {
		number, kind, n := protowire.ConsumeTag(text)
		if n < 0 {
			return errNotWire
		}
		text = text[n:]
		if n = protowire.ConsumeFieldValue(number, kind, text); n < 0 {
			return errNotWire
		}
		value := text[:n]
		text = text[n:]

		field := of.Fields().ByNumber(number)
		if field == nil || kind != wireType(field) {
			return errNewer
		}
		if err := w.count(seen, field); err != nil {
			return err
		}
		if field.Message() == nil {
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		if err := w.message(inner, field.Message(), depth+1); err != nil {
			return err
		}
		if field.IsMap() {
			if keys == nil {
				keys = map[string]bool{}
			}
			key := keyOf(inner)
			if keys[key] {
				return errRepeated
			}
			keys[key] = true
		}
	}
	return nil
}

// count counts one occurrence of a field. All members of a oneof are one field.
func (w *wire) count(seen []int, field protoreflect.FieldDescriptor) error {
	at := field.Index()
	if one := field.ContainingOneof(); one != nil {
		at = one.Fields().Get(0).Index()
	}
	seen[at]++
	w.parts--
	switch {
	case w.parts < 0 || seen[at] > maxRequests:
		return errParts
	case seen[at] > 1 && field.Cardinality() != protoreflect.Repeated:
		return errRepeated
	}
	return nil
}

// keyOf is the key of a map's entry, which is a text in every message of ours. It is taken without its length, which can be
// written in several ways; a key that is left out is the empty one.
func keyOf(entry []byte) string {
	for len(entry) > 0 {
		number, kind, n := protowire.ConsumeTag(entry)
		width := protowire.ConsumeFieldValue(number, kind, entry[n:])
		if number == 1 {
			key, _ := protowire.ConsumeBytes(entry[n:])
			return string(key)
		}
		entry = entry[n+width:]
	}
	return ""
}

// wireType is how a field's value is encoded. Lists of numbers are taken packed alone, as everybody writes them.
func wireType(field protoreflect.FieldDescriptor) protowire.Type {
	switch k := field.Kind(); {
	case field.IsPacked() || k == protoreflect.StringKind || k == protoreflect.BytesKind || k == protoreflect.MessageKind:
		return protowire.BytesType
	case k == protoreflect.DoubleKind || k == protoreflect.Fixed64Kind || k == protoreflect.Sfixed64Kind:
		return protowire.Fixed64Type
	case k == protoreflect.FloatKind || k == protoreflect.Fixed32Kind || k == protoreflect.Sfixed32Kind:
		return protowire.Fixed32Type
	case k == protoreflect.GroupKind:
		return protowire.StartGroupType
	}
	return protowire.VarintType
}

package rpc

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/inbound"
)

// maxDepth bounds how deep JSON nests; our deepest message needs six.
const maxDepth = 32

// strictJSON is how the gateway reads and writes JSON. What it reads comes from a jsonBody.
type strictJSON struct{ runtime.JSONPb }

func newStrictJSON() *strictJSON {
	return &strictJSON{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{UseProtoNames: true}}}
}

// jsonBody is the body of a request, which its decoder tells what is wrong with it: the gateway keeps no more of an
// error than its text.
type jsonBody struct {
	io.Reader
	text   string
	parts  int // at most
	caller *caller
}

// Close implements io.Closer.
func (*jsonBody) Close() error { return nil }

func newJSONBody(text string, parts int, c *caller) *jsonBody {
	return &jsonBody{Reader: strings.NewReader(text), text: text, parts: parts, caller: c}
}

// NewDecoder implements runtime.Marshaler.
func (*strictJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, fits := r.(*jsonBody)
		message, isMessage := v.(proto.Message)
		if !fits || !isMessage {
			return errors.New("not a request of the gateway's own")
		}
		if err := decodeJSON(body.text, message, body.parts); err != nil {
			body.caller.fault = err
			return err
		}
		return nil
	})
}

// decodeJSON reads exactly one JSON object with the names of the message's fields, exactly as they are in the .proto, and
// of at most as many values as parts. It never quotes what it read: tokens are put in wrong places.
func decodeJSON(text string, into proto.Message, parts int) *exchange.Error {
	w := jsonWalk{dec: json.NewDecoder(strings.NewReader(text)), parts: parts}
	if err := w.value(jsonPlace{message: into.ProtoReflect().Descriptor()}, 0); err != nil {
		return inbound.Malformed("the body, at byte %d, %v", w.dec.InputOffset(), err)
	}
	if err := protojson.Unmarshal([]byte(text), into); err != nil {
		return inbound.Malformed("the body is not one JSON object with a %s: a member is of the wrong type or repeated, or something stands behind it", into.ProtoReflect().Descriptor().Name())
	}
	return nil
}

var (
	errNotJSON = errors.New("is not well-formed JSON")
	errUnknown = errors.New("has a member that is not known here; names are snake_case, letter for letter")
	errQuoted  = errors.New("has a number in quotes; leave them out")
)

// jsonWalk walks a text before anything is made of it. protojson would also take a field's other name, in camelCase, and
// a number in quotes; then the same request could be read in two ways by those who look at it.
type jsonWalk struct {
	dec   *json.Decoder
	parts int // that are still free
}

// jsonPlace is what may stand somewhere: a message, a number, or with neither whatever protojson takes.
type jsonPlace struct {
	message protoreflect.MessageDescriptor
	number  bool
}

func (w *jsonWalk) value(at jsonPlace, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	if w.parts--; w.parts < 0 {
		return errParts
	}
	token, err := w.dec.Token()
	if err != nil {
		return errNotJSON
	}
	switch token {
	case json.Delim('['):
		for n := 0; w.dec.More(); n++ {
			if n == maxRequests {
				return errParts
			}
			if err := w.value(at, depth+1); err != nil {
				return err
			}
		}
	case json.Delim('{'):
		for w.dec.More() {
			member, err := w.name(at.message)
			if err != nil {
				return err
			}
			if err := w.value(member, depth+1); err != nil {
				return err
			}
		}
	default:
		if _, isText := token.(string); isText && at.number {
			return errQuoted
		}
		return nil
	}
	if _, err := w.dec.Token(); err != nil {
		return errNotJSON
	}
	return nil
}

// name reads a member's name and returns what may stand behind it.
func (w *jsonWalk) name(within protoreflect.MessageDescriptor) (at jsonPlace, err error) {
	token, err := w.dec.Token()
	name, isName := token.(string)
	if err != nil || !isName {
		return at, errNotJSON
	}
	if within == nil {
		return at, nil
	}
	field := within.Fields().ByName(protoreflect.Name(name))
	switch {
	case field == nil:
		return at, errUnknown
	case field.Message() != nil && !field.IsMap() && !isWellKnown(field.Message()):
		at.message = field.Message()
	case field.Message() == nil:
		k := field.Kind()
		at.number = k != protoreflect.StringKind && k != protoreflect.BytesKind && k != protoreflect.EnumKind
	}
	return at, nil
}

// isWellKnown tells messages of google.protobuf, which have a form of their own.
func isWellKnown(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(m.FullName()), "google.protobuf.")
}

// strictQuery reads the query string of a route that takes its message from there: each name must be that of a field, by
// its name in the .proto, and come as often as the field may.
type strictQuery struct{ runtime.DefaultQueryParser }

var errQuery = errors.New("the query string has a parameter that is not known here, is repeated, or has a value of the wrong type")

// Parse implements runtime.QueryParameterParser.
func (q *strictQuery) Parse(message proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	for name, all := range values {
		field := message.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
		if field == nil || field.Message() != nil && !isWellKnown(field.Message()) || len(all) > 1 && !field.IsList() {
			return errQuery
		}
		if filter.HasCommonPrefix([]string{name}) {
			return errQuery // it stands in the path
		}
		if slices.ContainsFunc(all, func(value string) bool { return !utf8.ValidString(value) }) {
			return errQuery // no string of a message, though the gateway would make one of it
		}
	}
	if err := q.DefaultQueryParser.Parse(message, values, filter); err != nil {
		return errQuery // its own error quotes the value
	}
	clear(values) // they are read
	return nil
}

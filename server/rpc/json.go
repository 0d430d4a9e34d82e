package rpc

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"

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
	caller *caller
}

// Close implements io.Closer.
func (*jsonBody) Close() error { return nil }

func newJSONBody(text string, c *caller) *jsonBody {
	return &jsonBody{Reader: strings.NewReader(text), text: text, caller: c}
}

// NewDecoder implements runtime.Marshaler.
func (*strictJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, fits := r.(*jsonBody)
		message, isMessage := v.(proto.Message)
		if !fits || !isMessage {
			return errors.New("not a request of the gateway's own")
		}
		if err := decodeJSON(body.text, message); err != nil {
			body.caller.fault = err
			return err
		}
		return nil
	})
}

// decodeJSON reads exactly one JSON object with the names of the message's fields, exactly as they are in the .proto. It
// never quotes what it read: tokens are put in wrong places.
func decodeJSON(text string, into proto.Message) *exchange.Error {
	dec := json.NewDecoder(strings.NewReader(text))
	if err := checkNames(dec, into.ProtoReflect().Descriptor(), 0); err != nil {
		return inbound.Malformed("the body, at byte %d, %v", dec.InputOffset(), err)
	}
	if err := protojson.Unmarshal([]byte(text), into); err != nil {
		return inbound.Malformed("the body is not one JSON object with a %s: a member is of the wrong type or repeated, or something stands behind it", into.ProtoReflect().Descriptor().Name())
	}
	return nil
}

var (
	errNotJSON = errors.New("is not well-formed JSON")
	errUnknown = errors.New("has a member that is not known here; names are snake_case, letter for letter")
	errDeep    = errors.New("nests too deep")
)

// checkNames walks one value. protojson would also take a field's other name, in camelCase; then the same request could
// be read in two ways by those who look at it. within is the value's message, nil where names are free.
func checkNames(dec *json.Decoder, within protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	token, err := dec.Token()
	if err != nil {
		return errNotJSON
	}
	switch token {
	case json.Delim('['):
		for dec.More() {
			if err := checkNames(dec, within, depth+1); err != nil {
				return err
			}
		}
	case json.Delim('{'):
		for dec.More() {
			of, err := checkName(dec, within)
			if err != nil {
				return err
			}
			if err := checkNames(dec, of, depth+1); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if _, err := dec.Token(); err != nil {
		return errNotJSON
	}
	return nil
}

// checkName reads a member's name and returns the message that its value is, nil if it is none of ours.
func checkName(dec *json.Decoder, within protoreflect.MessageDescriptor) (protoreflect.MessageDescriptor, error) {
	token, err := dec.Token()
	name, isName := token.(string)
	if err != nil || !isName {
		return nil, errNotJSON
	}
	if within == nil {
		return nil, nil
	}
	field := within.Fields().ByName(protoreflect.Name(name))
	switch {
	case field == nil:
		return nil, errUnknown
	case field.Message() == nil || field.IsMap() || isWellKnown(field.Message()):
		return nil, nil
	}
	return field.Message(), nil
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
	}
	if err := q.DefaultQueryParser.Parse(message, values, filter); err != nil {
		return errQuery // its own error quotes the value
	}
	return nil
}

package rpc

import (
	"google.golang.org/protobuf/proto"

	"github.com/lakegate/sts/exchange"
)

// DecodeJSON is what reads the body of a JSON request.
func DecodeJSON(text string, into proto.Message) *exchange.Error {
	return decodeJSON(text, into, maxParts)
}

// CheckWire is what looks at an encoded message before it is read.
func CheckWire(message []byte, of proto.Message) error {
	return checkWire(message, of.ProtoReflect().Descriptor(), maxParts)
}

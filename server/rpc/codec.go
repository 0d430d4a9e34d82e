package rpc

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// envelope takes a message in. What is wrong with it is kept here and is no error of the codec's: gRPC would answer such
// a one by itself, in words that aren't ours, whatever the handler returns.
type envelope struct {
	message any
	limit   int
	// size is that of the encoded message, in bytes; above limit it is not decoded.
	size int
	err  error
}

// envelopeCodec is gRPC's own codec, but for envelopes.
type envelopeCodec struct{ encoding.CodecV2 }

func newEnvelopeCodec() envelopeCodec { return envelopeCodec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c envelopeCodec) Unmarshal(data mem.BufferSlice, v any) error {
	e, ok := v.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if e.size = data.Len(); e.size <= e.limit {
		e.err = c.CodecV2.Unmarshal(data, e.message)
	}
	return nil
}

package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/inbound"
)

// incoming is the part of gRPC's own stream that a message is read from. gRPC's reader knows one limit for all methods of
// a server, unpacks what is compressed, and holds what has come of each message until all of it is there, with nothing
// that bounds them together. So the length is read first, here, and nothing is held that has no place.
type incoming interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
}

// receive reads the one message of a gRPC call. release is called when the message is no longer needed.
func (g *guard) receive(ctx context.Context, message proto.Message, limits limits) (release func(), err *exchange.Error) {
	stream, ok := grpc.ServerTransportStreamFromContext(ctx).(incoming)
	if !ok {
		return nil, exchange.AsError(errors.New("gRPC's stream no longer is what messages are read from"))
	}
	size, err := g.announced(ctx, stream, limits.bytes)
	if err != nil {
		return nil, err
	}
	if release, err = g.bodies.Reserve(size); err != nil {
		return nil, err
	}
	if err := take(ctx, stream, int(size), message, limits.parts); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// take reads a message that has a place.
func take(ctx context.Context, stream incoming, size int, message proto.Message, parts int) *exchange.Error {
	read, err := stream.Read(size)
	if err != nil {
		return cutOff(ctx, err)
	}
	whole := read.MaterializeToBuffer(mem.DefaultBufferPool())
	read.Free()
	defer whole.Free()
	// There is no second message (gRPC over HTTP/2, Requests), or nobody could say which one was meant.
	switch err := stream.ReadMessageHeader(make([]byte, frameLength)); {
	case err == nil:
		return inbound.Malformed("there is more than one message; this method takes one")
	case !errors.Is(err, io.EOF):
		return cutOff(ctx, err)
	}
	if err := checkWire(whole.ReadOnlyData(), message.ProtoReflect().Descriptor(), parts); err != nil {
		return inbound.Malformed("the message %v", err)
	}
	if err := proto.Unmarshal(whole.ReadOnlyData(), message); err != nil {
		return inbound.Malformed("the message %v", errNotWire) // a text that is not UTF-8
	}
	return nil
}

// frameLength is that of what stands before a message: whether it is compressed, and its length.
const frameLength = 5

// announced reads the length of a message that comes.
func (g *guard) announced(ctx context.Context, stream incoming, limit int64) (size int64, err *exchange.Error) {
	var frame [frameLength]byte
	if failed := stream.ReadMessageHeader(frame[:]); failed != nil {
		return 0, cutOff(ctx, failed)
	}
	switch size = int64(binary.BigEndian.Uint32(frame[1:])); {
	case frame[0] != 0:
		return 0, exchange.Refuse(exchange.CodeUnsupportedMediaType, exchange.ReasonRequestMalformed, "the message is compressed; send it as it is")
	case size > limit:
		return 0, exchange.Refuse(exchange.CodeTooLarge, exchange.ReasonRequestMalformed, "the message is larger than %d bytes", limit)
	}
	return size, nil
}

func cutOff(ctx context.Context, failed error) *exchange.Error {
	if err := ctx.Err(); err != nil {
		return exchange.AsError(err)
	}
	return inbound.Malformed("the message ended early; send all of it, and in time").Because(failed)
}

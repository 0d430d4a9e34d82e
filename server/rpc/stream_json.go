package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

const (
	mediaTypeEvents = "text/event-stream"
	// headerResume is where a reader of events that comes back says which was the last that it read.
	headerResume = "Last-Event-Id"
	// fieldCursor is the field that says where a stream goes on.
	fieldCursor = "cursor"
)

// jsonStream is the JSON side of a method that answers with many messages. The gateway's own would end without our words
// for errors, and knows nothing of events.
type jsonStream struct {
	gateway         *gateway
	channel         grpc.ClientConnInterface
	method          string
	request, answer protoreflect.MessageType
}

// routeStreams routes the streams of a service. The routes come after those that are generated, and so before them.
func (g *gateway) routeStreams(of *Service, channel grpc.ClientConnInterface) error {
	for method, path := range of.Streams {
		name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return fmt.Errorf("routing %s: %w", method, err)
		}
		of, ok := found.(protoreflect.MethodDescriptor)
		if !ok {
			return fmt.Errorf("routing %s: it is no method", method)
		}
		s := &jsonStream{gateway: g, channel: channel, method: method}
		if s.request, err = protoregistry.GlobalTypes.FindMessageByName(of.Input().FullName()); err != nil {
			return fmt.Errorf("routing %s: %w", method, err)
		}
		if s.answer, err = protoregistry.GlobalTypes.FindMessageByName(of.Output().FullName()); err != nil {
			return fmt.Errorf("routing %s: %w", method, err)
		}
		if err := g.mux.HandlePath(http.MethodGet, path, s.serve); err != nil {
			return fmt.Errorf("routing %s: %w", method, err)
		}
	}
	return nil
}

// serve answers with a message a line, or as events where these are asked for. Until the first message is there, all that
// can go wrong is answered as it is elsewhere.
func (s *jsonStream) serve(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	fail := func(err error) { s.gateway.fail(ctx, s.gateway.mux, nil, w, r, err) }
	request := s.request.New().Interface()
	if err := new(strictQuery).Parse(request, r.Form, utilities.NewDoubleArray(nil)); err != nil {
		s.gateway.refuse(w, callerOf(ctx), inbound.Malformed("%v", errQuery))
		return
	}
	if last := r.Header.Get(headerResume); last != "" { // it is newer than the cursor that the first request had
		if !utf8.ValidString(last) {
			s.gateway.refuse(w, callerOf(ctx), inbound.Malformed("Last-Event-ID is none that was given out here"))
			return
		}
		setCursor(request, last)
	}
	to := newStreamWriter(w, wantsEvents(r.Header))
	defer to.close()
	callerOf(ctx).hangUp = to.hangUp
	stream, err := s.open(ctx, request)
	if err != nil {
		fail(err)
		return
	}
	for begun := false; ; begun = true {
		answer := s.answer.New().Interface()
		switch err := stream.RecvMsg(answer); {
		case errors.Is(err, io.EOF) && begun:
			return
		case err != nil && begun:
			to.end(err)
			return
		case err != nil && !errors.Is(err, io.EOF):
			fail(err)
			return
		case err != nil:
			to.begin()
			return
		}
		if !begun {
			to.begin()
		}
		if to.send(answer) != nil {
			return // the reader is gone, or reads no more
		}
	}
}

// open calls the method.
func (s *jsonStream) open(ctx context.Context, request proto.Message) (grpc.ClientStream, error) {
	stream, err := s.channel.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, s.method)
	if err != nil {
		return nil, err
	}
	// Where the handler has ended already, RecvMsg tells why.
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream, stream.CloseSend()
}

// wantsEvents says that the caller accepts events.
func wantsEvents(h http.Header) bool {
	for _, accepted := range strings.Split(strings.Join(h["Accept"], ","), ",") {
		if kind, _, err := mime.ParseMediaType(accepted); err == nil && kind == mediaTypeEvents {
			return true
		}
	}
	return false
}

func setCursor(of proto.Message, cursor string) {
	m := of.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName(fieldCursor), protoreflect.ValueOfString(cursor))
}

// cursorOf is where an answer stands, and whether it says nothing else.
func cursorOf(answer proto.Message) (cursor string, alone bool) {
	alone = true
	answer.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Name() == fieldCursor {
			cursor = value.String()
		} else {
			alone = false
		}
		return true
	})
	return cursor, alone
}

// streamWriter writes a stream. Nothing that it has to say waits in a buffer.
type streamWriter struct {
	http.ResponseWriter
	events  bool
	control *http.ResponseController

	mu sync.Mutex
	// ending says that the reader has his last moment, and closed that the answer is whole.
	ending, closed bool
}

func newStreamWriter(w http.ResponseWriter, events bool) *streamWriter {
	return &streamWriter{ResponseWriter: w, events: events, control: http.NewResponseController(w)}
}

// begin lifts the time limits of a request: from here on, who doesn't read is told to hang up by the stream itself.
func (w *streamWriter) begin() {
	w.unlimit()
	h := w.Header()
	h.Set("Vary", "Accept")
	h.Set("X-Accel-Buffering", "no") // to nginx, which would collect it
	kind := mediaType
	if w.events {
		kind = mediaTypeEvents
	}
	h.Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
}

// unlimit lifts the limits, but that of a stream which has ended before it began here.
func (w *streamWriter) unlimit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A writer that has no such limits has none to lift.
	_ = w.control.SetReadDeadline(time.Time{})
	if !w.ending {
		_ = w.control.SetWriteDeadline(time.Time{})
	}
}

// send writes a message.
func (w *streamWriter) send(answer proto.Message) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(answer)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if w.events {
		// An id without data moves the reader's place, and is no event to it.
		cursor, alone := cursorOf(answer)
		line.WriteString("id: " + cursor + "\n")
		if alone {
			line.WriteString(": alive\n\n")
			return w.flush(line.Bytes())
		}
		line.WriteString("data: ")
	} else {
		line.WriteString(`{"result":`)
	}
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	if w.events {
		line.WriteString("\n\n")
	} else {
		line.WriteString("}\n")
	}
	return w.flush(line.Bytes())
}

// end writes why the stream ends.
func (w *streamWriter) end(err error) {
	text, _ := json.Marshal(fault.NewBody(exchange.AsError(err))) // strings always encode
	if w.events {
		_ = w.flush([]byte("event: end\ndata: " + string(text) + "\n\n"))
		return
	}
	_ = w.flush([]byte(`{"error":` + string(text) + "}\n"))
}

func (w *streamWriter) flush(text []byte) error {
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.control.Flush()
}

// hangUp gives the reader a last moment.
func (w *streamWriter) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
	if !w.closed { // else it is the next request's
		_ = w.control.SetWriteDeadline(time.Now().Add(lastWords))
	}
}

func (w *streamWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

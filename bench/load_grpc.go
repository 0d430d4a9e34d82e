package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// grpcConnections carry the callers of a round over gRPC, the same number on each.
const grpcConnections = 4

// loadGRPC is "bench load": what wrk is for HTTP/1. It speaks HTTP/2 by frames, because a gRPC client takes twice the
// processor time of the server that it calls, and would measure itself. Like wrk it has one thread, makes its requests
// beforehand, and says in the end what it saw.
func loadGRPC(args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	target := flags.String("target", "", "host:port")
	file := flags.String("requests", "", "file whose lines hold an authorization, a tab and a message in base64")
	length := flags.Duration("length", time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	requests, err := readCalls(*file)
	if err != nil {
		return err
	}
	began := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	callers, failed := make([]*connection, grpcConnections), make([]error, grpcConnections)
	for i := range callers {
		callers[i] = &connection{requests: requests, next: &next, until: began.Add(*length), calls: map[uint32]time.Time{}}
		all.Go(func() { failed[i] = callers[i].run(*target) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	took, notOK, latencies := time.Since(began), 0, []time.Duration(nil)
	for _, c := range callers {
		notOK += c.notOK
		latencies = append(latencies, c.latencies...)
	}
	slices.Sort(latencies)
	if len(latencies) == 0 {
		return errors.New("nothing was answered")
	}
	return json.NewEncoder(os.Stdout).Encode(said{
		Requests: len(latencies), Microseconds: int(took.Microseconds()), NotOK: notOK,
		P50: int(latencies[len(latencies)/2].Microseconds()), P99: int(latencies[len(latencies)*99/100].Microseconds()),
	})
}

// call is one request, ready to be framed.
type call struct {
	authorization string
	message       []byte // behind gRPC's prefix of five bytes
}

func readCalls(path string) (calls []call, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		authorization, encoded, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		message, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, err
		}
		prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // a token's size
		calls = append(calls, call{authorization, append(prefix, message...)})
	}
	return calls, nil
}

// connection makes calls, so many at a time, one after the other.
type connection struct {
	requests []call
	next     *atomic.Int64 // of all connections
	until    time.Time

	out     *bufio.Writer
	frames  *http2.Framer
	block   bytes.Buffer
	headers *hpack.Encoder
	window  int // what the server lets us send
	last    uint32
	due     int // calls that wait for the window
	calls   map[uint32]time.Time

	latencies []time.Duration
	notOK     int
}

func (c *connection) run(target string) error {
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReaderSize(conn, 64<<10)
	c.out, c.window, c.due = bufio.NewWriterSize(conn, 64<<10), 65535, connections/grpcConnections
	c.frames, c.headers = http2.NewFramer(c.out, in), hpack.NewEncoder(&c.block)
	c.frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.frames.SetReuseFrames()
	_, err = c.out.WriteString(http2.ClientPreface)
	err = errors.Join(err,
		c.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}), c.frames.WriteWindowUpdate(0, 1<<30))
	for err == nil && c.due+len(c.calls) > 0 {
		if err = c.start(); err == nil && in.Buffered() == 0 {
			err = c.out.Flush()
		}
		if err == nil && len(c.calls) > 0 {
			err = c.read()
		}
	}
	return err
}

// start makes the calls that are due.
func (c *connection) start() error {
	if !time.Now().Before(c.until) {
		c.due = 0
	}
	for c.due > 0 {
		r := &c.requests[int(c.next.Add(1)-1)%len(c.requests)]
		if len(r.message) > c.window {
			return nil // it is asked again when the window is wider
		}
		c.window -= len(r.message)
		c.due--
		c.last += 2
		id := c.last - 1
		c.block.Reset()
		for _, field := range [...]hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: stsv1.TokenService_Exchange_FullMethodName},
			{Name: ":authority", Value: "localhost"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
			{Name: "authorization", Value: r.authorization},
		} {
			if err := c.headers.WriteField(field); err != nil {
				return err
			}
		}
		c.calls[id] = time.Now()
		if err := errors.Join(
			c.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true}),
			c.frames.WriteData(id, true, r.message),
		); err != nil {
			return err
		}
	}
	return nil
}

// read reads a frame.
func (c *connection) read() error {
	frame, err := c.frames.ReadFrame()
	if err != nil {
		return err
	}
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		if f.StreamEnded() {
			c.end(f)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.window += int(f.Increment)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.frames.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.frames.WritePing(true, f.Data)
		}
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		return fmt.Errorf("the server hung up: %v", f)
	}
	return nil
}

// end ends a call by its trailers.
func (c *connection) end(trailers *http2.MetaHeadersFrame) {
	ok := false
	for _, field := range trailers.Fields {
		ok = ok || field.Name == "grpc-status" && field.Value == "0"
	}
	if !ok {
		c.notOK++
	}
	c.latencies = append(c.latencies, time.Since(c.calls[trailers.StreamID]))
	delete(c.calls, trailers.StreamID)
	c.due++
}

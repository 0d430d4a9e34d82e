package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/databricks"
)

// TestGRPCRefusals holds that what gRPC can answer is answered in our words.
func TestGRPCRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.GRPC()
	// call sends a message as it is, with metadata.
	call := func(method string, message []byte, pairs ...string) answer {
		t.Helper()
		var header, trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), pairs...)
		err := conn.Invoke(ctx, method, message, new([]byte), grpc.ForceCodec(rawCodec{}), grpc.Header(&header), grpc.Trailer(&trailer))
		if err == nil {
			t.Fatalf("%s with %d pairs of metadata is answered well", method, len(pairs)/2)
		}
		return w.grpcAnswer(nil, err, header, trailer)
	}
	good, err := proto.Marshal(message(w, b0(w)))
	if err != nil {
		t.Fatal(err)
	}
	const exchanges = stsv1.TokenService_Exchange_FullMethodName
	basic := w.basicAuth("kong")
	for name, c := range map[string]struct {
		answer answer
		code   codes.Code
		reason exchange.Reason
	}{
		"an unknown method":        {call("/sts.v1.TokenService/Nope", good, "authorization", basic), codes.Unimplemented, exchange.ReasonNotFound},
		"an unknown service":       {call("/sts.v2.TokenService/Exchange", good, "authorization", basic), codes.Unimplemented, exchange.ReasonNotFound},
		"reflection, which is off": {call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", nil), codes.Unimplemented, exchange.ReasonNotFound},
		"no metadata":              {call(exchanges, good), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"Basic and nothing":        {call(exchanges, good, "authorization", "Basic"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"no base64":                {call(exchanges, good, "authorization", "Basic %%%"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"another scheme":           {call(exchanges, good, "authorization", "Bearer x"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"binary metadata":          {call(exchanges, good, "authorization-bin", "\x00\xff"), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"a long credential":        {call(exchanges, good, "authorization", "Basic "+strings.Repeat("QUFB", 8<<10)), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"two credentials":          {call(exchanges, good, "authorization", basic, "authorization", basic), codes.Unauthenticated, exchange.ReasonClientAuthenticationFailed},
		"no message":               {call(exchanges, []byte("\xff\xff\xff"), "authorization", basic), codes.InvalidArgument, exchange.ReasonRequestMalformed},
		"a long message":           {call(exchanges, make([]byte, 1<<20), "authorization", basic), codes.InvalidArgument, exchange.ReasonRequestMalformed},
	} {
		if c.answer.Code != c.code || c.answer.Reason != string(c.reason) || c.answer.Description == "" {
			t.Errorf("%s: %v, want %v %s", name, string(c.answer.Body), c.code, c.reason)
		}
	}
	mustGrant(t, askGRPC(w, b0(w)), tenMinutes)
}

// TestGRPCManyStreams holds that a connection may ask for more at once than it is let do.
func TestGRPCManyStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.GRPC()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", w.basicAuth("kong"))
	m := message(w, b0(w))
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if r, err := stsv1.NewTokenServiceClient(conn).Exchange(ctx, m); err != nil || r.GetAccessToken() == "" {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := w.dbx.Mints(""); n != 1 {
		t.Errorf("%d mints", n)
	}
}

// framed speaks HTTP/2 by the frame, as no good client would.
type framed struct {
	t *testing.T
	net.Conn
	*http2.Framer
	headers bytes.Buffer
	hpack   *hpack.Encoder
}

func (w *world) framed(t *testing.T) *framed {
	t.Helper()
	conn, err := net.Dial("tcp", w.sts.grpc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &framed{t: t, Conn: conn, Framer: http2.NewFramer(conn, conn)}
	c.hpack = hpack.NewEncoder(&c.headers)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	c.must(err)
	c.must(c.WriteSettings())
	return c
}

func (c *framed) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// call begins a call: frames of headers, and a message unless it is nil. A server that has hung up already is no fault.
func (c *framed) call(stream uint32, method string, message []byte, pairs ...string) {
	c.headers.Reset()
	fields := append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "sts", "content-type", "application/grpc", "te", "trailers"}, pairs...)
	for i := 0; i < len(fields); i += 2 {
		c.must(c.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	const most = 16 << 10
	block := c.headers.Bytes()
	first := block[:min(len(block), most)]
	block = block[len(first):]
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		next := block[:min(len(block), most)]
		block = block[len(next):]
		_ = c.WriteContinuation(stream, len(block) == 0, next)
	}
	if message != nil {
		_ = c.WriteData(stream, true, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
	}
}

// grpcStatus reads until the call on stream is answered: grpc-status, or how the stream or the connection ended.
func (c *framed) grpcStatus(stream uint32, name string) string {
	c.t.Helper()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Fatalf("%s: no answer on stream %d", name, stream)
			}
			return "closed"
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range f.RegularFields() {
				if f.StreamID == stream && field.Name == "grpc-status" {
					return field.Value
				}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return "closed"
		}
	}
}

// resident is how much memory the service has, in bytes.
func (w *world) resident() int {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.sts.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return kilobytes << 10
}

// TestGRPCByTheFrame holds that nothing that comes over the wire brings the service down or costs it memory, and that the
// next caller is served.
func TestGRPCByTheFrame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mustGrant(t, askGRPC(w, b0(w)), tenMinutes)
	good, err := proto.Marshal(message(w, b0(w)))
	if err != nil {
		t.Fatal(err)
	}
	const exchanges = stsv1.TokenService_Exchange_FullMethodName
	basic := w.basicAuth("kong")
	before := w.resident()
	const ok = "0"
	for _, c := range []struct {
		name string
		send func(c *framed)
		want string // of stream 1
	}{
		{"a good call", func(c *framed) { c.call(1, exchanges, good, "authorization", basic) }, ok},
		{"a deadline that has passed", func(c *framed) { c.call(1, exchanges, good, "authorization", basic, "grpc-timeout", "0n") }, "4"},
		{"a deadline of a nanosecond", func(c *framed) { c.call(1, exchanges, good, "authorization", basic, "grpc-timeout", "1n") }, "4"},
		{"a deadline that is none", func(c *framed) { c.call(1, exchanges, good, "authorization", basic, "grpc-timeout", "soon") }, "*"},
		{"metadata of 1 MiB", func(c *framed) { c.call(1, exchanges, good, "x-long", strings.Repeat("a", 1<<20)) }, "*"},
		{"10,000 pairs of metadata", func(c *framed) {
			var pairs []string
			for i := range 10_000 {
				pairs = append(pairs, fmt.Sprint("x-", i), "value")
			}
			c.call(1, exchanges, good, pairs...)
		}, "*"},
		{"metadata in capitals", func(c *framed) { c.call(1, exchanges, good, "Authorization", basic) }, "*"},
		{"binary metadata that isn't", func(c *framed) { c.call(1, exchanges, good, "x-bin", "%%%", "authorization", basic) }, "*"},
		{"no path", func(c *framed) { c.call(1, "", good) }, "*"},
		{"another content type", func(c *framed) { c.call(1, exchanges, good, "content-type", "text/plain") }, "*"},
		{"a message that ends early", func(c *framed) {
			c.call(1, exchanges, nil, "authorization", basic)
			c.must(c.WriteData(1, true, []byte{0, 0, 0, 0, 200, 1, 2, 3}))
		}, "*"},
		{"a message of 4 GiB", func(c *framed) {
			c.call(1, exchanges, nil, "authorization", basic)
			c.must(c.WriteData(1, true, []byte{0, 0xff, 0xff, 0xff, 0xff, 1}))
		}, "*"},
		{"a message that says it is compressed", func(c *framed) {
			c.call(1, exchanges, nil, "authorization", basic)
			c.must(c.WriteData(1, true, []byte{1, 0, 0, 0, 1, 1}))
		}, "*"},
		{"data of no stream", func(c *framed) { c.must(c.WriteData(7, true, []byte("x"))) }, ""},
		{"frames that never end their headers", func(c *framed) {
			c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}))
			for range 10_000 {
				if c.WriteContinuation(1, false, make([]byte, 1<<10)) != nil {
					return
				}
			}
		}, "closed"},
		{"more streams than may be", func(c *framed) {
			for i := range 200 {
				c.call(uint32(2*i+1), exchanges, nil, "authorization", basic)
			}
			c.must(c.WriteData(1, true, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(good))), good...)))
		}, ok},
		{"calls that are called off at once", func(c *framed) {
			for i := range 2_000 {
				c.call(uint32(2*i+3), exchanges, nil, "authorization", basic)
				if c.WriteRSTStream(uint32(2*i+3), http2.ErrCodeCancel) != nil {
					return
				}
			}
		}, ""},
		{"a header that can't be decoded", func(c *framed) {
			c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true}))
		}, "closed"},
	} {
		conn := w.framed(t)
		c.send(conn)
		if c.want != "" {
			got := conn.grpcStatus(1, c.name)
			if c.want == "*" && got == ok || c.want != "*" && got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
		_ = conn.Close()
		if a := askGRPC(w, b0(w)); a.Status != http.StatusOK {
			t.Fatalf("after %s: %s", c.name, a.Body)
		}
	}

	random := rand.NewChaCha8([32]byte{})
	garbage := make([]byte, 64<<10)
	_, _ = random.Read(garbage)
	for name, bytes := range map[string]string{
		"garbage": string(garbage), "garbage after the preface": http2.ClientPreface + string(garbage), "nothing": "", "half a preface": http2.ClientPreface[:10],
		"HTTP/1.1": "GET /readyz HTTP/1.1\r\nHost: sts\r\n\r\n", "HTTP/1.1 with a body": "POST /oauth2/token HTTP/1.1\r\nHost: sts\r\nContent-Length: 3\r\n\r\na=b",
		"TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		conn, err := net.Dial("tcp", w.sts.grpc)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, bytes)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays", name)
		}
		_ = conn.Close()
		if a := askGRPC(w, b0(w)); a.Status != http.StatusOK {
			t.Fatalf("after %s: %s", name, a.Body)
		}
	}
	// The race detector takes several times the memory that the program does.
	if grown := w.resident() - before; grown > 256<<20 {
		t.Errorf("the service has grown by %d MiB", grown>>20)
	}
	if strings.Contains(w.sts.Log(), "panic") {
		t.Error("there was a panic")
	}
}

// watchHealth follows grpc.health.v1; each receive is what it says next.
func (w *world) watchHealth(t *testing.T) (next func() healthv1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	watch, err := healthv1.NewHealthClient(w.GRPC()).Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return func() healthv1.HealthCheckResponse_ServingStatus {
		t.Helper()
		is, err := watch.Recv()
		if err != nil {
			t.Fatalf("the watch ended: %v", status.Convert(err).Message())
		}
		return is.GetStatus()
	}
}

// TestGRPCHealthFollows holds that who watches the health hears when the audit log can't be written, and when it can again.
func TestGRPCHealthFollows(t *testing.T) {
	t.Parallel()
	w := prepareWorld(t)
	audit := filepath.Join(w.dir, "data", "audit")
	if err := os.MkdirAll(audit, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := fmt.Sprintf("mount -t tmpfs -o size=1m tmpfs %q && exec %q serve --config sts.yaml", audit, program)
	w.command = func() *exec.Cmd { return exec.Command("unshare", "-Urm", "sh", "-c", mount) }
	w.Start()
	w.auditDir = filepath.Join(fmt.Sprintf("/proc/%d/root", w.sts.cmd.Process.Pid), audit)
	next := w.watchHealth(t)
	if got := next(); got != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("at first %v", got)
	}
	filler := filepath.Join(w.auditDir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("the small disk took four megabytes")
	}
	ada := b0(w)
	w.Eventually("the log's last block is full", func() bool { return askGRPC(w, ada).Reason == string(exchange.ReasonAuditUnavailable) })
	if got := next(); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("without a log %v", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.Eventually("there is room again", func() bool { return askGRPC(w, ada).Status == http.StatusOK })
	if got := next(); got != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("with a log again %v", got)
	}
}

// TestGRPCHealthWhileStopping holds that who watches the health hears of the end while calls under way are still answered.
func TestGRPCHealthWhileStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mustGrant(t, w.Ask(), tenMinutes) // Databricks knows our keys
	next := w.watchHealth(t)
	if got := next(); got != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("at first %v", got)
	}
	w.dbx.AddFault(emulator.Fault{Route: databricks.TokenRoute, Delay: 2 * time.Second})
	asked := make(chan answer, 1)
	req := w.tokenRequest(w.lasting("ada", "etl"))
	go func() {
		a, _ := w.try(req)
		asked <- a
	}()
	w.Eventually("the call waits", func() bool { return w.Metric("sts_flight_waiters") >= 1 })
	stopped := make(chan int, 1)
	go func() { stopped <- w.sts.Stop(t) }()
	if got := next(); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("while it stops %v", got)
	}
	if a := <-asked; a.Status != http.StatusOK {
		t.Errorf("the call under way: %d %s", a.Status, a.Body)
	}
	if code := <-stopped; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

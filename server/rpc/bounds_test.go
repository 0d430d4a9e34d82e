package rpc_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip" // as the exporter of traces registers it in the program
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/rpc"
)

const (
	methodExchange = stsv1.TokenService_Exchange_FullMethodName
	methodBatch    = stsv1.TokenService_BatchExchange_FullMethodName
)

// slow is a call whose message is announced and doesn't come.
type slow struct {
	header chan http.Header // of the answer; closed without one where there is none
	leave  func()
}

// call makes a gRPC call by hand: it announces a message of size bytes, sends those of begin, and waits.
func (b *bench) call(t *testing.T, method string, size int, begin ...byte) *slow {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	body, w := io.Pipe()
	s := &slow{header: make(chan http.Header, 1), leave: func() { cancel(); _ = w.Close() }}
	t.Cleanup(s.leave)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.address+method, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Authorization": {kong}}
	go func() {
		defer close(s.header)
		answer, err := b.h2.RoundTrip(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.Header.Get("Grpc-Status") == "" {
			answer.Header = answer.Trailer
		}
		s.header <- answer.Header
	}()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(size))
	go func() { _, _ = w.Write(append(frame, begin...)) }()
	return s
}

// status is what the call was answered while its message was still to come.
func (s *slow) status(t *testing.T) codes.Code {
	t.Helper()
	h, answered := <-s.header
	if !answered {
		t.Fatal("the call was not answered before its message was there")
	}
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(h.Get("Grpc-Status"))); err != nil {
		t.Fatalf("%v in %v", err, h)
	}
	return code
}

// What is too large for its method is refused by its length, before we hold any of it.
func TestLengthComesFirst(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct {
		method string
		size   int
	}{{methodExchange, 256<<10 + 1}, {methodExchange, 1 << 20}, {methodBatch, 4<<20 + 1}, {methodBatch, 1<<32 - 1}} {
		if got := b.call(t, row.method, row.size, 'x').status(t); got != codes.InvalidArgument {
			t.Errorf("%s with %d bytes: %v", row.method, row.size, got)
		}
	}
}

// Long messages that are on their way share a bound; short ones are not held up by them.
func TestLongMessagesAreBoundedTogether(t *testing.T) {
	b := newBench(t)
	const most = 64 / 4
	var under []*slow
	for range most {
		under = append(under, b.call(t, methodBatch, 4<<20, 'x'))
	}
	refused := func() bool {
		select {
		case h, answered := <-b.call(t, methodBatch, 4<<20, 'x').header:
			return answered && h.Get("Grpc-Status") == fmt.Sprint(int(codes.Unavailable))
		case <-time.After(100 * time.Millisecond): // it has its place
			return false
		}
	}
	eventually(t, refused)
	if _, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "s"}); err != nil {
		t.Errorf("a short message beside them: %v", err)
	}
	for _, s := range under {
		s.leave()
	}
	eventually(t, func() bool { return !refused() })
}

// The time of a call includes the coming of its message, of a call of gRPC's own services too.
func TestSlowMessages(t *testing.T) {
	b := newBench(t, func(c *rpc.Config, _ *rpc.ServerConfig) { c.CallTime = 50 * time.Millisecond })
	for _, method := range []string{methodExchange, methodBatch, "/grpc.health.v1.Health/Check"} {
		if got := b.call(t, method, 100, 'x').status(t); got != codes.DeadlineExceeded {
			t.Errorf("%s: %v", method, got)
		}
	}
}

// A call counts until its handler is through, whether or not its caller waits for that.
func TestWhoLeftStillCounts(t *testing.T) {
	b := newBench(t, func(_ *rpc.Config, c *rpc.ServerConfig) { c.Calls = 1 })
	end := make(chan struct{})
	b.exchanger.stuck = end
	ctx, leave := context.WithCancel(as(t, "authorization", kong))
	left := make(chan error, 1)
	go func() {
		_, err := b.client.Exchange(ctx, &stsv1.ExchangeRequest{SubjectToken: "stuck"})
		left <- err
	}()
	eventually(t, func() bool { return b.exchanger.count() == 1 })
	leave()
	if err := <-left; status.Code(err) != codes.Canceled {
		t.Errorf("the first: %v", err)
	}
	for range 20 { // the server learns of it somewhen between
		_, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "s"})
		wantError(t, err, codes.Unavailable, exchange.ReasonOverloaded)
	}
	close(end)
	eventually(t, func() bool {
		_, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "s"})
		return err == nil
	})
}

// A stop ends in its time, whatever a handler does.
func TestStopIsBounded(t *testing.T) {
	b := newBench(t)
	end := make(chan struct{})
	b.exchanger.stuck = end
	ended := make(chan error, 1)
	go func() {
		_, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "stuck"})
		ended <- err
	}()
	eventually(t, func() bool { return b.exchanger.count() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	stopped := make(chan bool, 1)
	go func() { stopped <- b.server.Stop(ctx) }()
	select {
	case whole := <-stopped:
		if whole {
			t.Error("it says that all calls ended")
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for ever")
	}
	close(end)
	if err := <-ended; status.Code(err) != codes.Unavailable {
		t.Errorf("the call: %v", err)
	}
}

// Nothing is taken that takes more memory than it has bytes.
func TestCompressionIsRefused(t *testing.T) {
	b := newBench(t)
	_, err := b.client.Exchange(as(t, "authorization", kong), &stsv1.ExchangeRequest{SubjectToken: "s"}, grpc.UseCompressor(gzip.Name))
	wantError(t, err, codes.InvalidArgument, exchange.ReasonRequestMalformed)
}

// A message of many small parts would be a hundred times as large in memory.
func TestPartsAreCounted(t *testing.T) {
	empty := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil)
	detail := func(n int) []byte {
		values := strings.Repeat(string(empty), n)
		list := protowire.AppendBytes(protowire.AppendTag(nil, 10, protowire.BytesType), []byte(values))
		return list
	}
	for _, row := range []struct {
		name, method string
		message      []byte
	}{
		{"requests", methodBatch, []byte(strings.Repeat(string(empty), 2_000_000))},
		{"one request too many", methodBatch, []byte(strings.Repeat(string(empty), 1001))},
		{"details", methodExchange, detail(100_000)},
		{"an audience", methodExchange, []byte(strings.Repeat("\x2a\x00", 100_000))},
	} {
		b := newBench(t)
		var none []byte
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := b.conn.Invoke(as(t, "authorization", kong), row.method, row.message, &none, grpc.ForceCodec(raw{}))
		runtime.ReadMemStats(&after)
		wantError(t, err, codes.InvalidArgument, exchange.ReasonRequestMalformed)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: %d bytes took %d", row.name, len(row.message), took)
		}
	}
	for _, row := range []struct{ name, path, body string }{
		{"requests", "/v1/exchange:batch", `{"requests":[` + strings.Repeat("{},", 1_000_000) + `{}]}`},
		{"details", "/v1/exchange", `{"authorization_details":[` + strings.Repeat("0,", 100_000) + `0]}`},
		{"an audience", "/v1/exchange", `{"audience":[` + strings.Repeat(`"",`, 60_000) + `""]}`},
	} {
		b := newBench(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answer, body := do(t, b.post(t, row.path, row.body))
		runtime.ReadMemStats(&after)
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", row.name, answer.StatusCode, body)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: %d bytes took %d", row.name, len(row.body), took)
		}
	}
}

// A field that comes twice would be another request to whoever reads the first.
func TestRepeatedFields(t *testing.T) {
	one, err := proto.Marshal(&stsv1.ExchangeRequest{SubjectToken: "s"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	for name, message := range map[string][]byte{
		"twice":           append(one[:len(one):len(one)], one...),
		"another type":    protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1),
		"a group":         protowire.AppendTag(protowire.AppendTag(nil, 1, protowire.StartGroupType), 1, protowire.EndGroupType),
		"unknown, deeper": protowire.AppendBytes(protowire.AppendTag(nil, 10, protowire.BytesType), protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.VarintType), 1)),
		"cut off":         one[:len(one)-1],
	} {
		var none []byte
		err := b.conn.Invoke(as(t, "authorization", kong), methodExchange, message, &none, grpc.ForceCodec(raw{}))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A body where none belongs is not read.
func TestBodyOfAGet(t *testing.T) {
	_, m, b := newHouse(t)
	for _, length := range []int64{5, -1} {
		r := b.post(t, "/v1/mappings/x", "hello")
		r.Method, r.ContentLength = http.MethodGet, length
		if answer, body := do(t, r); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "takes none") {
			t.Errorf("%d bytes: %d %s", length, answer.StatusCode, body)
		}
	}
	if len(m.called) > 0 {
		t.Errorf("called %v", m.called)
	}
}

// ending remembers when the time of a call ends.
type ending struct {
	rpc.Exchanger
	at chan time.Time
}

func (e ending) Exchange(ctx context.Context, call *exchange.Call) (exchange.Answer, error) {
	at, _ := ctx.Deadline()
	e.at <- at
	return e.Exchanger.Exchange(ctx, call)
}

// asked is a body that remembers when it was first read from.
type asked struct {
	io.Reader
	at time.Time
}

func (a *asked) Read(p []byte) (int, error) {
	if a.at.IsZero() {
		a.at = time.Now()
	}
	return a.Reader.Read(p)
}

// The coming of a body is part of a call's time, or the answer would come when the HTTP server has hung up.
func TestTimeOfABody(t *testing.T) {
	ends := make(chan time.Time, 1)
	b := newBench(t, func(c *rpc.Config, _ *rpc.ServerConfig) {
		c.CallTime, c.Exchanger = time.Minute, ending{c.Exchanger, ends}
	})
	body := &asked{Reader: strings.NewReader(good)}
	r := b.post(t, "/v1/exchange", "")
	r.Body, r.ContentLength = io.NopCloser(body), int64(len(good))
	r.Header.Set("Expect", "100-continue") // the server asks for the body when it has begun to read it
	answer, err := (&http.Transport{ExpectContinueTimeout: 30 * time.Second, DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	if end := <-ends; end.IsZero() || !end.Before(body.at.Add(time.Minute)) {
		t.Errorf("the call ends %s after its body was asked for", end.Sub(body.at))
	}
}

package rpc_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// A stream is recorded when it begins, before anything is said; it goes on until its caller leaves, and then ends at once.
func TestStream(t *testing.T) {
	eachDoor(t, func(t *testing.T, door string) {
		s, h, b := newTails(t, 1)
		l := b.listen(t, door, "auditor", "")
		l.want(t, "0", "")
		use := h.only(t).Admin
		if use.Action != "audit.tail_events" || use.Outcome() != exchange.OutcomeGranted || use.By.Bearer.Subject != "auditor" {
			t.Errorf("recorded as %+v", use)
		}
		s.tell(t, &stsv1.TailEventsResponse{Event: &stsv1.Event{Id: "a", Client: "two\nlines"}, Cursor: "1"})
		l.want(t, "1", "a")
		s.tell(t, &stsv1.TailEventsResponse{Event: &stsv1.Event{Id: "b"}, Cursor: "2"})
		l.want(t, "2", "b")
		l.leave()
		until(t, "the end of a stream whose caller left", func() bool { return s.ends() == 1 })
		until(t, "its place", func() bool { // there is but one
			again := b.listen(t, door, "auditor", "")
			defer again.leave()
			_, _, err := again.next()
			return err == nil
		})
	})
}

// What can be wrong with a stream before it begins is answered and recorded as it is elsewhere.
func TestStreamThatDoesNotBegin(t *testing.T) {
	for _, row := range []struct {
		token, subject string
		want           refusal
		recorded       exchange.Outcome
	}{
		{"auditor", "malformed", refusal{400, "invalid_request", "request_malformed", "", "no"}, exchange.OutcomeDenied},
		{"auditor", "broken", refusal{500, "server_error", "internal", "", ""}, exchange.OutcomeFailed},
		{"auditor", "panic", refusal{500, "server_error", "internal", "", ""}, exchange.OutcomeFailed},
		{"nobody", "", refusal{403, "insufficient_scope", "role_missing", "", ""}, exchange.OutcomeDenied},
		{"x", "", refusal{401, "invalid_token", "access_token_invalid", "", ""}, ""},
		{"down", "", refusal{503, "temporarily_unavailable", "provider_unavailable", "", ""}, ""},
	} {
		eachDoor(t, func(t *testing.T, door string) {
			_, h, b := newTails(t, 0)
			_, _, err := b.listen(t, door, row.token, row.subject).next()
			var got *refusal
			if !errors.As(err, &got) {
				t.Fatal(err)
			}
			id := got.ID
			got.ID = ""
			if door == "grpc" {
				got.Status = row.want.Status
			}
			if row.want.Said == "" {
				got.Said = ""
			}
			if diff := cmp.Diff(row.want, *got); diff != "" {
				t.Errorf("%s %s: %s", row.token, row.subject, diff)
			}
			if row.recorded == "" {
				if id != "summed up" || len(h.records) != 0 {
					t.Errorf("%s: id %s, %d records", row.token, id, len(h.records))
				}
				return
			}
			if e := h.only(t); e.ID != id || e.Admin.Outcome() != row.recorded {
				t.Errorf("%s %s: answered %s, recorded %+v", row.token, row.subject, id, e)
			}
		})
	}
}

// What can't be recorded isn't told.
func TestStreamWithoutARecord(t *testing.T) {
	eachDoor(t, func(t *testing.T, door string) {
		s, h, b := newTails(t, 0)
		h.down = errors.New("disk full")
		_, _, err := b.listen(t, door, "auditor", "").next()
		var got *refusal
		if !errors.As(err, &got) || got.Reason != exchange.ReasonAuditUnavailable {
			t.Errorf("got %v", err)
		}
		until(t, "the end of its handler", func() bool { return s.ends() == 1 })
	})
}

// The ends of a stream that is under way.
func TestStreamEnds(t *testing.T) {
	for name, row := range map[string]struct {
		token  string
		end    func(*tails, *house, *bench)
		reason exchange.Reason
		said   string
	}{
		"after an hour":    {"auditor", func(_ *tails, h *house, _ *bench) { h.ahead.Store(int64(time.Hour)) }, "overloaded", "call again with the last cursor"},
		"clock set back":   {"auditor", func(_ *tails, h *house, _ *bench) { h.ahead.Store(-int64(time.Hour)) }, "overloaded", "call again"},
		"token expired":    {"short", func(_ *tails, h *house, _ *bench) { h.ahead.Store(int64(time.Minute)) }, "access_token_invalid", "has expired"},
		"token no more":    {"revoked", func(*tails, *house, *bench) {}, "access_token_invalid", "no longer good"},
		"role withdrawn":   {"auditor", func(_ *tails, h *house, _ *bench) { h.mu.Lock(); h.withdrawn = true; h.mu.Unlock() }, "role_missing", "may not do this"},
		"handler failed":   {"auditor", func(s *tails, _ *house, _ *bench) { s.say <- nil }, "internal", ""},
		"the server stops": {"auditor", func(_ *tails, _ *house, b *bench) { b.api.EndStreams() }, "overloaded", "this replica stops"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, func(t *testing.T, door string) {
				s, h, b := newTails(t, 0)
				l := b.listen(t, door, row.token, "")
				l.want(t, "0", "")
				row.end(s, h, b)
				l.wantEnd(t, h, row.reason, row.said)
				until(t, "the end of its handler", func() bool { return s.ends() == 1 })
			})
		})
	}
}

// A good token for single use doesn't end it, and a minute is no hour.
func TestStreamGoesOn(t *testing.T) {
	eachDoor(t, func(t *testing.T, door string) {
		s, h, b := newTails(t, 0)
		l := b.listen(t, door, "auditor", "")
		l.want(t, "0", "")
		h.ahead.Store(int64(59 * time.Minute))
		looked := func() int {
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.presented)
		}
		until(t, "a look at the token", func() bool { return looked() >= 3 })
		s.tell(t, &stsv1.TailEventsResponse{Event: &stsv1.Event{Id: "a"}, Cursor: "1"})
		l.want(t, "1", "a")
	})
}

// There are so many at once, over all doors, and another may come when one has left. A stop lets none begin.
func TestStreamsAreFew(t *testing.T) {
	_, h, b := newTails(t, 2)
	first, second := b.listen(t, "grpc", "auditor", ""), b.listen(t, "lines", "auditor", "")
	first.want(t, "0", "")
	second.want(t, "0", "")
	for _, door := range doors {
		_, _, err := b.listen(t, door, "auditor", "").next()
		var got *refusal
		if !errors.As(err, &got) || got.Reason != exchange.ReasonRateLimited || door != "grpc" && got.Status != http.StatusTooManyRequests {
			t.Errorf("%s: a third gets %v", door, err)
		}
	}
	if n := len(h.records); n != 5 {
		t.Errorf("%d records of five requests", n)
	}
	first.leave()
	until(t, "a place", func() bool {
		l := b.listen(t, "events", "auditor", "")
		defer l.leave()
		_, _, err := l.next()
		return err == nil
	})
	b.api.EndStreams()
	_, _, err := b.listen(t, "events", "auditor", "").next()
	var got *refusal
	if !errors.As(err, &got) || got.Reason != exchange.ReasonOverloaded || got.Status != http.StatusServiceUnavailable {
		t.Errorf("a stopping server answers %v", err)
	}
}

// A caller who hangs up is no alarm, whatever the handler makes of it.
func TestStreamsThatAreLeft(t *testing.T) {
	eachDoor(t, func(t *testing.T, door string) {
		s, h, b := newTails(t, 1)
		l := b.listen(t, door, "auditor", "sulky")
		l.want(t, "0", "")
		l.leave()
		until(t, "its end", func() bool { return s.ends() == 1 })
		until(t, "its place", func() bool {
			l := b.listen(t, door, "auditor", "empty")
			defer l.leave()
			_, _, err := l.next()
			return errors.Is(err, io.EOF)
		})
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.alarms) > 0 {
			t.Errorf("alarms: %q", h.alarms)
		}
	})
}

// A stream in which there is nothing ends well, and was one.
func TestStreamThatIsEmpty(t *testing.T) {
	eachDoor(t, func(t *testing.T, door string) {
		_, h, b := newTails(t, 1)
		if c, e, err := b.listen(t, door, "auditor", "empty").next(); !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %q, %v", c, e, err)
		}
		if use := h.only(t).Admin; use.Outcome() != exchange.OutcomeGranted {
			t.Errorf("recorded as %+v", use)
		}
	})
}

// A handler that never begins is not waited for longer than any other.
func TestStreamThatIsSilent(t *testing.T) {
	s, h, b := newTails(t, 0)
	l := b.listen(t, "grpc", "auditor", "silent")
	until(t, "the handler", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.asked) == 1 })
	l.leave()
	until(t, "its end", func() bool { return s.ends() == 1 })
	until(t, "its record", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.records) == 1 })
}

// Who doesn't read holds nothing up: over gRPC he finds an end when he reads again, over HTTP he is hung up on.
func TestStreamThatIsNotRead(t *testing.T) {
	t.Run("grpc", func(t *testing.T) {
		t.Parallel()
		s, h, b := newTails(t, 0)
		l := b.listen(t, "grpc", "auditor", "flood")
		_, _, _ = l.next()
		h.stall(t, s)
		l.wantEnd(t, h, exchange.ReasonDeadlineExceeded, "was not read for 30 s")
	})
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		s, h, b := newTails(t, 0)
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.web.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET /v1/audit/events:tail?subject=flood HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer auditor\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		h.stall(t, s)
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody hung up: %v", err)
		}
	})
}

// A stream whose handler fails ends also where nobody reads: the request goes, and its connection with it.
func TestStreamThatFailsUnread(t *testing.T) {
	t.Parallel()
	s, _, b := newTails(t, 0)
	gone := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		b.web.Config.Handler.ServeHTTP(w, r)
	}))
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); web.Close() })
	if _, err := io.WriteString(conn, "GET /v1/audit/events:tail?subject=much HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer auditor\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	s.tell(t, nil)
	until(t, "the end of its handler", func() bool { return s.ends() == 1 })
	select {
	case <-gone:
	case <-time.After(15 * time.Second):
		t.Error("the request waits for a reader that never comes")
	}
}

// stall moves the clock until the handler that nobody reads has ended.
func (h *house) stall(t *testing.T, s *tails) {
	t.Helper()
	until(t, "the beginning", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.records) == 1 })
	until(t, "the end of who isn't read", func() bool {
		if h.ahead.Load() < int64(50*time.Minute) {
			h.ahead.Add(int64(10 * time.Second))
		}
		time.Sleep(100 * time.Millisecond)
		return s.ends() == 1
	})
}

// The time limits of a request, which the server has for all, end no stream that is alive; over HTTP/2 neither.
func TestStreamOutlastsARequest(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s, _, b := newTails(t, 0)
			const limit = 2 * time.Second
			web := httptest.NewUnstartedServer(b.web.Config.Handler)
			web.Config.ReadTimeout, web.Config.WriteTimeout = limit, limit
			web.EnableHTTP2 = true
			if protocol == "HTTP/1.1" {
				web.EnableHTTP2 = false
			}
			web.StartTLS()
			defer web.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/v1/audit/events:tail", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer auditor")
			answer, err := web.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			if answer.Proto != protocol {
				t.Fatalf("answered by %s", answer.Proto)
			}
			lines := bufio.NewReader(answer.Body)
			if _, _, err := readLine(lines); err != nil {
				t.Fatal(err)
			}
			time.Sleep(limit * 3 / 2) // real time, since the limits are the connection's
			for range 2 {
				s.tell(t, &stsv1.TailEventsResponse{Cursor: "1"})
				if _, _, err := readLine(lines); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Where a stream goes on: by the query string, and by what a reader of events sends when he comes back, which is newer.
func TestStreamResumes(t *testing.T) {
	s, _, b := newTails(t, 0)
	for _, row := range []struct{ query, last, want string }{
		{"", "", ""}, {"?cursor=a", "", "a"}, {"", "b", "b"}, {"?cursor=a", "b", "b"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.web.URL+"/v1/audit/events:tail"+row.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer auditor"}, "Accept": {"text/event-stream"}}
		if row.last != "" {
			r.Header.Set("Last-Event-ID", row.last)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = answer.Body.Close()
		if got := s.asked[len(s.asked)-1].GetCursor(); got != row.want {
			t.Errorf("%+v: goes on at %q", row, got)
		}
	}
}

// A request for a stream is looked at as strictly as any.
func TestStreamIsStrict(t *testing.T) {
	s, _, b := newTails(t, 0)
	for _, query := range []string{"colour=red", "subject=a&subject=b", "access_token=x", "subject=%ff", "Subject=a"} {
		if got := b.getJSONQuery(t, "/v1/audit/events:tail", query, "Bearer auditor"); got.Status != 400 || got.Reason != exchange.ReasonRequestMalformed {
			t.Errorf("%s: %+v", query, got)
		}
	}
	for _, last := range []string{"\xff", "a\xc3"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.web.URL+"/v1/audit/events:tail", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer auditor"}, "Last-Event-Id": {last}}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("Last-Event-ID %q: %d", last, answer.StatusCode)
		}
	}
	field := func(number protowire.Number, text string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), text)
	}
	for name, text := range map[string][]byte{
		"an unknown field": field(99, "x"), "a field twice": append(field(3, "x"), field(3, "y")...), "no text": field(3, "\xff"),
		"much": field(3, strings.Repeat("x", 300<<10)),
	} {
		stream, err := b.conn.NewStream(as(t, "authorization", "Bearer auditor"), &grpc.StreamDesc{ServerStreams: true}, stsv1.AuditService_TailEvents_FullMethodName, grpc.ForceCodec(raw{}))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.SendMsg(text) // the server may have answered already
		_ = stream.CloseSend()
		var answer []byte
		err = stream.RecvMsg(&answer)
		if status.Code(err) != codes.InvalidArgument || infoOf(status.Convert(err)).GetReason() != string(exchange.ReasonRequestMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.asked) > 0 {
		t.Errorf("asked %v", s.asked)
	}
}

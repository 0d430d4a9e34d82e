package rpc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/rpc"
)

// tails is AuditService with nothing but a tail: a sign of life, then what is put into say, for as long as it may. A subject
// that is asked for changes that: "flood" gets more than he reads, "much" a first message that no socket holds, "sulky" hides why it ended, "panic", "broken", "empty" and "silent" are what they say.
type tails struct {
	stsv1.UnimplementedAuditServiceServer
	say chan *stsv1.TailEventsResponse

	mu    sync.Mutex
	asked []*stsv1.TailEventsRequest
	ended []error
}

func (s *tails) TailEvents(r *stsv1.TailEventsRequest, to grpc.ServerStreamingServer[stsv1.TailEventsResponse]) (err error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, err)
	}()
	switch r.GetSubject() {
	case "panic":
		panic("out of order")
	case "broken":
		return errors.New("out of order")
	case "malformed":
		return exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, "no")
	case "empty":
		return nil
	case "silent":
		<-to.Context().Done()
		return to.Context().Err()
	}
	first := "0"
	if r.GetSubject() == "much" {
		first = strings.Repeat("x", 32<<20)
	}
	if err := to.Send(&stsv1.TailEventsResponse{Cursor: first}); err != nil {
		return err
	}
	for r.GetSubject() == "flood" {
		if err := to.Send(&stsv1.TailEventsResponse{Cursor: strings.Repeat("x", 16<<10)}); err != nil {
			return err
		}
	}
	for {
		select {
		case m := <-s.say:
			if m == nil {
				return errors.New("broke down")
			}
			if err := to.Send(m); err != nil {
				return err
			}
		case <-to.Context().Done():
			if r.GetSubject() == "sulky" {
				return errors.New("interrupted")
			}
			return to.Context().Err()
		}
	}
}

// ends is how many have ended.
func (s *tails) ends() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended)
}

// tell has a listener told something.
func (s *tails) tell(t *testing.T, m *stsv1.TailEventsResponse) {
	t.Helper()
	select {
	case s.say <- m:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody listens")
	}
}

func (s *tails) service() rpc.Service {
	return rpc.Service{
		Register: func(r grpc.ServiceRegistrar) { stsv1.RegisterAuditServiceServer(r, s) },
		Roles:    map[string]string{"TailEvents": "auditor"},
		Route: func(ctx context.Context, mux *runtime.ServeMux, to grpc.ClientConnInterface) error {
			return stsv1.RegisterAuditServiceHandlerClient(ctx, mux, stsv1.NewAuditServiceClient(to))
		},
		Streams: map[string]string{stsv1.AuditService_TailEvents_FullMethodName: "/v1/audit/events:tail"},
	}
}

// gateways are made one at a time: each sets something that all have in common, and that no stream looks at.
var gateways sync.Mutex

func newTails(t *testing.T, most int64) (*tails, *house, *bench) {
	t.Helper()
	s := &tails{say: make(chan *stsv1.TailEventsResponse)}
	gateways.Lock()
	defer gateways.Unlock()
	h, b := houseWith(t, most, s.service())
	return s, h, b
}

// listener is one who listens, whichever way he came.
type listener struct {
	// next is the next message: its cursor and its event's id; then how it ended.
	next  func() (cursor, event string, err error)
	leave func()
}

// doors are the ways to listen.
var doors = []string{"grpc", "lines", "events"}

func (b *bench) listen(t *testing.T, door, token, subject string) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	if door == "grpc" {
		stream, err := stsv1.NewAuditServiceClient(b.conn).TailEvents(bearer(ctx, token), &stsv1.TailEventsRequest{Subject: subject})
		if err != nil {
			t.Fatal(err)
		}
		return &listener{leave: cancel, next: func() (string, string, error) {
			m, err := stream.Recv()
			if err != nil {
				return "", "", toldOf(err)
			}
			return m.GetCursor(), m.GetEvent().GetId(), nil
		}}
	}
	query := ""
	if subject != "" {
		query = "?subject=" + subject
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.web.URL+"/v1/audit/events:tail"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if door == "events" {
		r.Header.Set("Accept", "application/json;q=0.5, text/event-stream")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return &listener{leave: cancel, next: func() (string, string, error) { return "", "", bodyError(string(text), answer.StatusCode) }}
	}
	lines := bufio.NewReader(answer.Body)
	if door == "lines" {
		if kind := answer.Header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("lines of %s", kind)
		}
		return &listener{leave: cancel, next: func() (string, string, error) { return readLine(lines) }}
	}
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("events of %s", kind)
	}
	return &listener{leave: cancel, next: func() (string, string, error) { return readEvent(lines) }}
}

// refusal is how a stream ended, in the words of the body.
type refusal struct {
	Status int
	Error_ string          `json:"error"`
	Reason exchange.Reason `json:"reason"`
	ID     string          `json:"decision_id"`
	Said   string          `json:"error_description"`
}

func (r *refusal) Error() string { return r.Said }

func bodyError(text string, httpStatus int) error {
	r := &refusal{Status: httpStatus}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return err
	}
	return r
}

func toldOf(err error) error {
	s := status.Convert(err)
	info := infoOf(s)
	if info == nil {
		return err
	}
	return &refusal{Error_: info.GetMetadata()["error"], Reason: exchange.Reason(info.GetReason()), ID: info.GetMetadata()["decision_id"], Said: s.Message()}
}

type message struct {
	Result struct {
		Cursor string
		Event  struct{ ID string }
	}
	Error json.RawMessage
}

func readLine(from *bufio.Reader) (cursor, event string, err error) {
	text, err := from.ReadString('\n')
	if err != nil {
		return "", "", err
	}
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return "", "", err
	}
	if m.Error != nil {
		return "", "", bodyError(string(m.Error), 200)
	}
	return m.Result.Cursor, m.Result.Event.ID, nil
}

// readEvent reads as an EventSource does, but for signs of life, which it is not told of.
func readEvent(from *bufio.Reader) (cursor, event string, err error) {
	kind, data := "", ""
	for {
		text, err := from.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": "); name {
		case "":
			if text != "\n" { // a comment
				continue
			}
			if kind == "end" {
				return "", "", bodyError(data, 200)
			}
			var m message
			if data != "" {
				if err := json.Unmarshal([]byte(`{"result":`+data+`}`), &m); err != nil {
					return "", "", err
				}
				if m.Result.Cursor != cursor {
					return "", "", errors.New("the id is not the cursor")
				}
			}
			return cursor, m.Result.Event.ID, nil
		case "id":
			cursor = value
		case "event":
			kind = value
		case "data":
			data = value
		}
	}
}

// want holds that the next message is that one.
func (l *listener) want(t *testing.T, cursor, event string) {
	t.Helper()
	c, e, err := l.next()
	if err != nil || c != cursor || e != event {
		t.Fatalf("got %q, %q, %v; want %q, %q", c, e, err, cursor, event)
	}
}

// wantEnd holds that it ends so, and names the record of its beginning.
func (l *listener) wantEnd(t *testing.T, h *house, reason exchange.Reason, said string) {
	t.Helper()
	for {
		_, _, err := l.next()
		if err == nil {
			continue // what was on the way
		}
		var r *refusal
		if !errors.As(err, &r) || r.Reason != reason || !strings.Contains(r.Said, said) {
			t.Fatalf("ended with %v, want %s: %s", err, reason, said)
		}
		if use := h.only(t); r.ID != use.ID {
			t.Errorf("the end names %q, the record is %q", r.ID, use.ID)
		}
		return
	}
}

// only is the one record.
func (h *house) only(t *testing.T) exchange.Event {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.records) != 1 {
		t.Fatalf("%d records", len(h.records))
	}
	return h.records[0]
}

// until waits for something that must come.
func until(t *testing.T, what string, come func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !come(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came: " + what)
		}
	}
}

func bearer(ctx context.Context, token string) context.Context {
	return withMetadata(ctx, "authorization", "Bearer "+token)
}

// eachDoor runs a test over each way.
func eachDoor(t *testing.T, f func(t *testing.T, door string)) {
	t.Helper()
	for _, door := range doors {
		t.Run(door, func(t *testing.T) { t.Parallel(); f(t, door) })
	}
}

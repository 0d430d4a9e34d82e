package emulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/emulator"
)

const route = "POST /thing/{name}"

// start serves one route that answers {"a":1,"b":"two"}.
func start(t *testing.T, cfg emulator.Config) (*emulator.Server, string) {
	t.Helper()
	cfg.ErrorBody = func(status int, format string) []byte { return fmt.Appendf(nil, "%s %d", format, status) }
	s := emulator.NewServer(cfg)
	s.Handle(route, func(w http.ResponseWriter, r *http.Request) {
		emulator.Note(r, "seen", r.PathValue("name"))
		emulator.WriteJSON(w, http.StatusOK, map[string]any{"a": 1, "b": "two"})
	})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func post(t *testing.T, target, form string) (reply, error) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Post(target, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}, nil
}

func mustPost(t *testing.T, target, form string) reply {
	t.Helper()
	got, err := post(t, target, form)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFaults(t *testing.T) {
	whole := `{"a":1,"b":"two"}`
	raw := func(text string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"a": json.RawMessage(text)}
	}
	tests := []struct {
		name  string
		fault emulator.Fault
		check func(reply) bool
	}{
		{"none", emulator.Fault{}, func(r reply) bool { return r.status == 200 && sameJSON(r.body, whole) }},
		{"status", emulator.Fault{Status: 503, Format: "api"}, func(r reply) bool { return r.status == 503 && r.body == "api 503" }},
		{"status and body", emulator.Fault{Status: 429, Body: "slow down"}, func(r reply) bool { return r.status == 429 && r.body == "slow down" }},
		{"header", emulator.Fault{Status: 429, Headers: map[string]string{"Retry-After": "7"}}, func(r reply) bool { return r.header.Get("Retry-After") == "7" }},
		{"header removed", emulator.Fault{Headers: map[string]string{"Content-Type": ""}}, func(r reply) bool {
			return r.header.Get("Content-Type") != "application/json" && sameJSON(r.body, whole)
		}},
		{"redirect", emulator.Fault{Status: 302, Headers: map[string]string{"Location": "/x"}}, func(r reply) bool { return r.status == 302 && r.header.Get("Location") == "/x" && r.body == "" }},
		{"body", emulator.Fault{Body: "no json"}, func(r reply) bool { return r.status == 200 && r.body == "no json" }},
		{"set", emulator.Fault{Set: raw(`"3600"`)}, func(r reply) bool { return sameJSON(r.body, `{"a":"3600","b":"two"}`) }},
		{"set a huge number", emulator.Fault{Set: raw(`1e400`)}, func(r reply) bool { return strings.Contains(r.body, `"a":1e400`) }},
		{"drop", emulator.Fault{Drop: []string{"a"}}, func(r reply) bool { return sameJSON(r.body, `{"b":"two"}`) }},
		{"cut", emulator.Fault{Cut: true}, func(r reply) bool {
			return r.status == 200 && errors.Is(r.err, io.ErrUnexpectedEOF) && len(r.body) < len(whole) && r.body != ""
		}},
		{"pad", emulator.Fault{Pad: 100_000}, func(r reply) bool { return len(r.body) > 100_000 && sameJSON(r.body, whole) }},
		{"drip", emulator.Fault{Drip: time.Microsecond}, func(r reply) bool { return sameJSON(r.body, whole) }},
		{"delay", emulator.Fault{Delay: time.Millisecond}, func(r reply) bool { return sameJSON(r.body, whole) }},
		{"other route's", emulator.Fault{Status: 500, Match: map[string]string{"who": "else"}}, func(r reply) bool { return r.status == 200 }},
		{"matching", emulator.Fault{Status: 500, Match: map[string]string{"who": "me"}}, func(r reply) bool { return r.status == 500 }},
	}
	s, base := start(t, emulator.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault.Route = route
			defer s.AddFault(tt.fault)()
			if got := mustPost(t, base+"/thing/x", "who=me"); !tt.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
	if got := mustPost(t, base+"/thing/x", ""); got.status != 200 || !sameJSON(got.body, whole) {
		t.Errorf("after the faults: %+v", got)
	}
}

func sameJSON(a, b string) bool {
	var left, right any
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil && cmp.Equal(left, right)
}

func TestFaultTimes(t *testing.T) {
	s, base := start(t, emulator.Config{})
	s.AddFault(emulator.Fault{Status: 500, Times: 2})
	s.AddFault(emulator.Fault{Status: 429, Times: 1})
	var got []int
	for range 4 {
		got = append(got, mustPost(t, base+"/thing/x", "").status)
	}
	if diff := cmp.Diff([]int{500, 500, 429, 200}, got); diff != "" {
		t.Error(diff)
	}
}

func TestHangup(t *testing.T) {
	s, base := start(t, emulator.Config{})
	s.AddFault(emulator.Fault{Hangup: true})
	if got, err := post(t, base+"/thing/x", ""); err == nil {
		t.Errorf("got an answer: %+v", got)
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0].Status != 0 || !calls[0].Faulted {
		t.Errorf("calls: %+v", calls)
	}
}

func TestHold(t *testing.T) {
	s, base := start(t, emulator.Config{})
	release := s.AddFault(emulator.Fault{Hold: true, Times: 1})
	done := make(chan int, 1)
	go func() {
		got, _ := post(t, base+"/thing/x", "")
		done <- got.status
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.WaitCalls(ctx, route, 1); err != nil {
		t.Fatal(err)
	}
	if got := mustPost(t, base+"/thing/x", ""); got.status != 200 {
		t.Errorf("the second call: %+v", got)
	}
	select {
	case status := <-done:
		t.Fatalf("the first call was not held: %d", status)
	default:
	}
	release()
	if status := <-done; status != 200 {
		t.Errorf("released call: %d", status)
	}
}

func TestMisspelledFaultPanics(t *testing.T) {
	s, _ := start(t, emulator.Config{})
	defer func() {
		if recover() == nil {
			t.Error("a fault for a route that doesn't exist was taken")
		}
	}()
	s.AddFault(emulator.Fault{Route: "POST /think/{name}"})
}

func TestCallsHideSecrets(t *testing.T) {
	s, base := start(t, emulator.Config{Plain: []string{"client_id", "scope"}})
	req, _ := http.NewRequest(http.MethodPost, base+"/thing/x", strings.NewReader("scope=a&subject_token=s3cret&unheard_of=s3cret"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("an%20id", "s3cret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	calls := s.Calls()
	text, _ := json.Marshal(calls)
	if bytes.Contains(text, []byte("s3cret")) || bytes.Contains(text, []byte("czNjcmV0")) {
		t.Errorf("a secret is in the calls: %s", text)
	}
	want := map[string]string{
		"scope": "a", "client_id": "an id", "subject_token": emulator.Hash("s3cret"),
		"unheard_of": emulator.Hash("s3cret"), "client_secret": emulator.Hash("s3cret"),
	}
	if diff := cmp.Diff(want, calls[0].Fields); diff != "" {
		t.Error(diff)
	}
	if calls[0].Notes["seen"] != "x" || calls[0].Status != 200 || calls[0].Route != route || calls[0].Path != "/thing/x" {
		t.Errorf("call: %+v", calls[0])
	}
}

func TestUnknownIs501(t *testing.T) {
	s, base := start(t, emulator.Config{})
	for _, path := range []string{"/nothing", "/thing", "/thing/x/y"} {
		if got := mustPost(t, base+path, ""); got.status != http.StatusNotImplemented {
			t.Errorf("%s: %+v", path, got)
		}
	}
	resp, err := http.Get(base + "/thing/x")
	if err != nil || resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("another method: %v, %v", resp, err)
	}
	if diff := cmp.Diff(map[string]emulator.Total{"/": {Calls: 4}}, s.Totals()); diff != "" {
		t.Error(diff)
	}
}

func TestRestartKeepsThePort(t *testing.T) {
	s, base := start(t, emulator.Config{})
	s.Close()
	if got, err := post(t, base+"/thing/x", ""); err == nil {
		t.Errorf("closed, but got %+v", got)
	}
	again, err := s.Start()
	if err != nil || again != base {
		t.Fatalf("second start: %s, %v", again, err)
	}
	if got := mustPost(t, base+"/thing/x", ""); got.status != 200 {
		t.Errorf("got %+v", got)
	}
}

func TestControl(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s, base := start(t, emulator.Config{Now: func() time.Time { return now }})
	tests := []struct {
		path, body string
		want       int
	}{
		{"faults", `{"route":"POST /thing/{name}","status":503,"times":1,"headers":{"Retry-After":"1"}}`, 204},
		{"faults", `{"delay":"1ms","outlive_by":"1h","drip":"1us","times":1,"set":{"a":null},"drop":["b"],"cut":false}`, 204},
		{"faults", `{"route":"POST /nope","status":503}`, 400},
		{"faults", `{"statsu":503}`, 400},
		{"faults", `{"status":503} x`, 400},
		{"faults", `{"status":-1}`, 400},
		{"clock", `{"offset":"10m"}`, 200},
		{"clock", `{"advance":"5m"}`, 200},
		{"clock", `{"offset":"soon"}`, 400},
		{"nothing", `{}`, 404},
	}
	for _, tt := range tests {
		if got := mustPost(t, base+"/_emulator/"+tt.path, tt.body); got.status != tt.want {
			t.Errorf("%s %s: %+v", tt.path, tt.body, got)
		}
	}
	if got := s.Now().Sub(now); got != 15*time.Minute {
		t.Errorf("the clock is %s ahead", got)
	}
	if got := mustPost(t, base+"/thing/x", ""); got.status != 503 || got.header.Get("Retry-After") != "1" {
		t.Errorf("first fault: %+v", got)
	}
	if got := mustPost(t, base+"/thing/x", ""); !sameJSON(got.body, `{"a":null}`) {
		t.Errorf("second fault: %+v", got)
	}
	resp, err := http.Get(base + "/_emulator/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var seen struct {
		Calls  []emulator.Call
		Totals map[string]emulator.Total
		Routes []string
	}
	if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
		t.Fatal(err)
	}
	if len(seen.Calls) != 2 || seen.Totals[route] != (emulator.Total{Calls: 2, OK: 1}) || len(seen.Routes) != 1 {
		t.Errorf("calls: %+v", seen)
	}
	if got := mustPost(t, base+"/_emulator/reset", ""); got.status != 204 || len(s.Calls()) != 0 || !s.Now().Equal(now) {
		t.Errorf("after reset: %+v, %v, %s", got, s.Calls(), s.Now())
	}
}

func TestFileClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	clock := emulator.FileClock(path)
	ahead := func() time.Duration { return time.Until(clock()).Round(time.Minute) }
	if got := ahead(); got != 0 {
		t.Errorf("without a file %s ahead", got)
	}
	for _, want := range []time.Duration{90 * time.Minute, -time.Hour, 0, 5 * time.Minute} {
		if err := emulator.WriteClock(path, want); err != nil {
			t.Fatal(err)
		}
		if got := ahead(); got != want {
			t.Errorf("%s ahead, want %s", got, want)
		}
	}
	if err := os.WriteFile(path, []byte("5"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ahead(); got != 5*time.Minute {
		t.Errorf("a half-written file moved the clock to %s", got)
	}
}

// FuzzBasicCredentials: whatever was encoded as RFC 6749 §2.3.1 says comes back.
func FuzzBasicCredentials(f *testing.F) {
	f.Add("client", "secret")
	f.Add("a:b%c+d e", "ü\x00")
	f.Fuzz(func(t *testing.T, id, secret string) {
		r, _ := http.NewRequest(http.MethodPost, "/", nil)
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		gotID, gotSecret, ok := emulator.BasicCredentials(r)
		if !ok || gotID != id || gotSecret != secret {
			t.Errorf("got %q, %q, %t", gotID, gotSecret, ok)
		}
	})
}

// Whoever has an answer finds it in the record, however early it was flushed.
func TestRecordIsAheadOfTheAnswer(t *testing.T) {
	s, base := start(t, emulator.Config{})
	s.AddFault(emulator.Fault{Drip: time.Nanosecond})
	for n := range 200 {
		mustPost(t, base+"/thing/x", "")
		if got := s.Totals()[route]; got != (emulator.Total{Calls: n + 1, OK: n + 1}) {
			t.Fatalf("after %d answers: %+v", n+1, got)
		}
	}
}

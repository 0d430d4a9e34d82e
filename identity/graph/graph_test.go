package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/identity/graph"
	"github.com/lakegate/sts/internal/emulator"
	emulated "github.com/lakegate/sts/internal/emulator/graph"
)

const (
	acme   = "00000000-1111-2222-3333-444444444444"
	globex = "11111111-2222-3333-4444-555555555555"
	ada    = "aaaaaaaa-0000-4000-8000-000000000001"
	robot  = "aaaaaaaa-0000-4000-8000-000000000002"
	group1 = "bbbbbbbb-0000-4000-8000-000000000001"
	group2 = "bbbbbbbb-0000-4000-8000-000000000002"
	secret = "dose-of-a-secret"
)

// clock is a clock that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a Resolver and the Graph that it asks.
type world struct {
	*graph.Resolver
	clock *clock
	graph *emulated.Server
	log   *strings.Builder
	logMu sync.Mutex
}

func (w *world) Write(b []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(b)
}

func newWorld(t *testing.T, change ...func(*graph.Config)) *world {
	t.Helper()
	w := &world{clock: &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}, log: &strings.Builder{}}
	w.graph = emulated.New(emulated.Config{Now: w.clock.Now, ClientID: "us", ClientSecret: secret, Tenants: []string{acme, globex}})
	if _, err := w.graph.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.graph.Close)
	c := graph.Config{Providers: []graph.Settings{w.settings()}, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w, nil)), MaxWait: 30 * time.Second}
	for _, f := range change {
		f(&c)
	}
	var err error
	if w.Resolver, err = graph.New(c); err != nil {
		t.Fatal(err)
	}
	w.graph.Put(acme, ada, group2, group1, group2)
	w.graph.PutApplication(acme, robot, group2)
	return w
}

func (w *world) settings() graph.Settings {
	return graph.Settings{Provider: "entra", ClientID: "us", ClientSecret: secret, Endpoint: w.graph.URL(), Authority: w.graph.URL()}
}

func (w *world) ask(who identity.Member) ([]string, error) {
	who.Provider = "entra"
	names, _, err := w.Groups(context.Background(), who)
	return names, err
}

func (w *world) calls(route string) int { return w.graph.Totals()[route].Calls }

// wantUnavailable holds that an error is an outage and tells nothing.
func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	var e *exchange.Error
	if !errors.As(err, &e) || e.Code != exchange.CodeUnavailable || e.Reason != exchange.ReasonProviderUnavailable || e.RetryAfter <= 0 {
		t.Errorf("%s: %v", what, err)
	}
}

var member = identity.Member{Tenant: acme, Object: ada}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name string
		who  identity.Member
		want []string // nil: none can be had
	}{
		{"a person", member, []string{group1, group2}},
		{"an application", identity.Member{Tenant: acme, Object: robot, Application: true}, []string{group2}},
		{"a person who is none", identity.Member{Tenant: acme, Object: robot}, nil},
		{"a person of another tenant", identity.Member{Tenant: globex, Object: ada}, nil},
		{"a tenant that isn't ours", identity.Member{Tenant: ada, Object: ada}, nil},
		{"a path in place of an id", identity.Member{Tenant: acme, Object: ada + "/../" + ada}, nil},
		{"a path in place of a tenant", identity.Member{Tenant: "common/../" + acme, Object: ada}, nil},
		{"nothing", identity.Member{}, nil},
	} {
		got, err := w.ask(test.who)
		if test.want == nil {
			wantUnavailable(t, test.name, err)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	if n := w.calls(emulated.TokenRoute); n != 3 { // acme, globex, and the one that isn't ours
		t.Errorf("%d calls for tokens", n)
	}
	_, _, err := w.Groups(context.Background(), identity.Member{Provider: "other", Tenant: acme, Object: ada})
	wantUnavailable(t, "another provider", err)
}

// An answer is used for two minutes from when it was asked for; a failure is never kept.
func TestFreshness(t *testing.T) {
	w := newWorld(t)
	expect := func(what string, calls int, want ...string) {
		t.Helper()
		got, err := w.ask(member)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", what, err, diff)
		}
		if n := w.calls(emulated.UsersRoute); n != calls {
			t.Errorf("%s: %d calls, want %d", what, n, calls)
		}
	}
	expect("at first", 1, group1, group2)
	w.graph.Put(acme, ada, group1)
	w.clock.move(2*time.Minute - time.Second)
	expect("still known", 1, group1, group2)
	w.clock.move(time.Second)
	expect("no longer", 2, group1)
	w.clock.move(-time.Hour)
	expect("a clock that was set back", 3, group1)

	w.clock.move(time.Hour)
	remove := w.graph.AddFault(emulator.Fault{Route: emulated.UsersRoute, Status: http.StatusInternalServerError})
	for range 2 {
		_, err := w.ask(member)
		wantUnavailable(t, "an outage", err)
	}
	remove()
	expect("the outage is over", 6, group1)
}

// Whatever isn't a whole list of ids is an outage, never an empty list; and so is whatever isn't a token.
func TestOddAnswers(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`"`+group1+`",`, emulated.MaxMembers+1), ",")
	for _, test := range []struct {
		name  string
		fault emulator.Fault
	}{
		{"no list", emulator.Fault{Route: emulated.UsersRoute, Drop: []string{"value"}}},
		{"null", emulator.Fault{Route: emulated.UsersRoute, Set: set("value", `null`)}},
		{"an object", emulator.Fault{Route: emulated.UsersRoute, Set: set("value", `{}`)}},
		{"a page", emulator.Fault{Route: emulated.UsersRoute, Set: set("@odata.nextLink", `"https://graph.example/next"`)}},
		{"names", emulator.Fault{Route: emulated.UsersRoute, Set: set("value", `["data-eng"]`)}},
		{"numbers", emulator.Fault{Route: emulated.UsersRoute, Set: set("value", `[7]`)}},
		{"more than there are", emulator.Fault{Route: emulated.UsersRoute, Status: 200, Body: `{"value":[` + many + `]}`}},
		{"twice", emulator.Fault{Route: emulated.UsersRoute, Status: 200, Body: `{"value":["` + group1 + `"],"value":[]}`}},
		{"no JSON", emulator.Fault{Route: emulated.UsersRoute, Status: 200, Body: `<html>`}},
		{"nothing", emulator.Fault{Route: emulated.UsersRoute, Status: 204}},
		{"too long", emulator.Fault{Route: emulated.UsersRoute, Pad: 2 << 20}},
		{"cut off", emulator.Fault{Route: emulated.UsersRoute, Cut: true}},
		{"hung up", emulator.Fault{Route: emulated.UsersRoute, Hangup: true}},
		{"a redirect", emulator.Fault{Route: emulated.UsersRoute, Status: 307, Headers: map[string]string{"Location": "/elsewhere"}}},
		{"no token", emulator.Fault{Route: emulated.TokenRoute, Drop: []string{"access_token"}}},
		{"a token that is no header", emulator.Fault{Route: emulated.TokenRoute, Set: set("access_token", `"a\r\nb"`)}},
		{"a token of another type", emulator.Fault{Route: emulated.TokenRoute, Set: set("token_type", `"PoP"`)}},
		{"no expiry", emulator.Fault{Route: emulated.TokenRoute, Drop: []string{"expires_in"}}},
		{"a text of an expiry", emulator.Fault{Route: emulated.TokenRoute, Set: set("expires_in", `"3599"`)}},
		{"an expiry before now", emulator.Fault{Route: emulated.TokenRoute, Set: set("expires_in", `-1`)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			remove := w.graph.AddFault(test.fault)
			_, err := w.ask(member)
			wantUnavailable(t, test.name, err)
			remove()
			if got, err := w.ask(member); err != nil || len(got) != 2 {
				t.Errorf("afterwards: %v, %v", got, err)
			}
		})
	}
}

func set(name, text string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(text)}
}

// Tokens for Graph are used until shortly before they expire, and no longer once Graph refuses one.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	ask := func(tokens int) {
		t.Helper()
		if _, err := w.ask(member); err != nil {
			t.Error(err)
		}
		if n := w.calls(emulated.TokenRoute); n != tokens {
			t.Errorf("%d calls for tokens, want %d", n, tokens)
		}
	}
	ask(1)
	w.clock.move(50 * time.Minute)
	ask(1)
	w.clock.move(5 * time.Minute)
	ask(2)
	w.clock.move(5 * time.Minute)
	w.graph.Withdraw()
	_, err := w.ask(member)
	wantUnavailable(t, "a token that was withdrawn", err)
	ask(3)
}

// A wrong secret is an outage, whose cause the log tells in codes; neither it nor the error holds the secret, or text of
// the answer.
func TestWrongSecret(t *testing.T) {
	w := newWorld(t, func(c *graph.Config) { c.Providers[0].ClientSecret = "a-wrong-secret" })
	_, err := w.ask(member)
	wantUnavailable(t, "a wrong secret", err)
	w.logMu.Lock()
	defer w.logMu.Unlock()
	if log := w.log.String(); !strings.Contains(log, "invalid_client (AADSTS7000215)") || strings.Contains(log, "wrong-secret") || strings.Contains(log, "Trace ID") {
		t.Errorf("the log says %q", log)
	}
}

// However many ask, there is one call for one person, and eight at once for all.
func TestFlights(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.graph.Put(acme, person(i), group1)
	}
	if _, err := w.ask(member); err != nil { // the token is there
		t.Fatal(err)
	}
	release := w.graph.AddFault(emulator.Fault{Route: emulated.UsersRoute, Hold: true})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if _, err := w.ask(identity.Member{Tenant: acme, Object: person(i % 20)}); err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := w.graph.WaitCalls(ctx, emulated.UsersRoute, 1+8); err != nil {
		t.Fatal(err)
	}
	if n := w.calls(emulated.UsersRoute); n != 1+8 {
		t.Errorf("%d calls at once", n-1)
	}
	release()
	all.Wait()
	if n := w.calls(emulated.UsersRoute); n != 1+20 {
		t.Errorf("%d calls for 20 people", n-1)
	}
}

func person(i int) string { return fmt.Sprintf("cccccccc-0000-4000-8000-%012d", i) }

// A caller goes when his time is over, and the call goes on without him.
func TestSlow(t *testing.T) {
	w := newWorld(t, func(c *graph.Config) { c.MaxWait = 10 * time.Millisecond })
	release := w.graph.AddFault(emulator.Fault{Route: emulated.UsersRoute, Hold: true})
	_, err := w.ask(member)
	wantUnavailable(t, "slow", err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.Groups(ctx, identity.Member{Provider: "entra", Tenant: acme, Object: ada}); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone is told %v", err)
	}
	release()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err = w.ask(member); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if n := w.calls(emulated.UsersRoute); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Graph says when it wants to be asked again, and isn't asked before.
func TestThrottled(t *testing.T) {
	w := newWorld(t)
	remove := w.graph.AddFault(emulator.Fault{Route: emulated.UsersRoute, Status: http.StatusTooManyRequests, Headers: map[string]string{"Retry-After": "20"}})
	for range 3 {
		_, err := w.ask(member)
		wantUnavailable(t, "throttled", err)
		var e *exchange.Error
		if errors.As(err, &e) && e.RetryAfter != 20*time.Second {
			t.Errorf("told to come back in %s", e.RetryAfter)
		}
	}
	if n := w.calls(emulated.UsersRoute); n != 1 {
		t.Errorf("%d calls", n)
	}
	remove()
	w.clock.move(20 * time.Second)
	if _, err := w.ask(member); err != nil {
		t.Error(err)
	}
}

// A reload keeps what is known where nothing has changed, and asks with a new secret at once.
func TestReload(t *testing.T) {
	w := newWorld(t)
	if _, err := w.ask(member); err != nil {
		t.Fatal(err)
	}
	same, err := w.Prepare([]graph.Settings{w.settings()})
	if err != nil {
		t.Fatal(err)
	}
	same()
	if _, err := w.ask(member); err != nil || w.calls(emulated.UsersRoute) != 1 {
		t.Errorf("%v, %d calls", err, w.calls(emulated.UsersRoute))
	}
	other := w.settings()
	other.ClientSecret = "a-wrong-secret"
	changed, err := w.Prepare([]graph.Settings{other})
	if err != nil {
		t.Fatal(err)
	}
	changed()
	_, err = w.ask(member)
	wantUnavailable(t, "another secret", err)

	for name, change := range map[string]func(*graph.Settings){
		"no secret":                 func(s *graph.Settings) { s.ClientSecret = "" },
		"a secret and an assertion": func(s *graph.Settings) { s.AssertionFile = "token" },
		"no client":                 func(s *graph.Settings) { s.ClientID = "" },
		"in the clear": func(s *graph.Settings) {
			s.Endpoint = "http://graph.example"
		},
		"a path": func(s *graph.Settings) { s.Authority += "/common" },
	} {
		s := w.settings()
		change(&s)
		if _, err := w.Prepare([]graph.Settings{s}); err == nil {
			t.Errorf("%s: no fault", name)
		}
	}
}

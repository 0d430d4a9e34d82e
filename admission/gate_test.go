package admission_test

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/admission"
	"github.com/lakegate/sts/exchange"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func newGate(t *testing.T, c admission.Config) (*admission.Gate, *clock) {
	t.Helper()
	now := &clock{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	c.Now = now.now
	g, err := admission.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g, now
}

func from(addr string) exchange.Source { return exchange.Source{Peer: netip.MustParseAddr(addr)} }

var here = from("192.0.2.1")

// enter asks n times and returns how many came in, and the last refusal.
func enter(g *admission.Gate, c *exchange.Client, n int) (entered int, refused *exchange.Error) {
	for range n {
		if err := g.Enter(c, here); err != nil {
			errors.As(err, &refused)
		} else {
			entered++
		}
	}
	return entered, refused
}

func TestClientLimit(t *testing.T) {
	g, now := newGate(t, admission.Config{})
	c := &exchange.Client{ID: "kong", Rate: 2, Burst: 5}
	entered, refused := enter(g, c, 20)
	if entered != 5 || refused == nil || refused.Code != exchange.CodeRateLimited || refused.RetryAfter != 500*time.Millisecond {
		t.Fatalf("%d entered, %v after %v", entered, refused, refused.RetryAfter)
	}
	if entered, _ := enter(g, &exchange.Client{ID: "other", Rate: 2, Burst: 5}, 5); entered != 5 {
		t.Errorf("another client is limited too: %d entered", entered)
	}
	if entered, _ := enter(g, &exchange.Client{ID: "free"}, 1000); entered != 1000 {
		t.Errorf("a client without a limit is limited: %d entered", entered)
	}
	now.forward(refused.RetryAfter)
	if entered, _ := enter(g, c, 20); entered != 1 {
		t.Errorf("%d entered after Retry-After, want 1", entered)
	}
}

// A rate alone, or one under one a second, lets through what it says.
func TestBurstLeftOut(t *testing.T) {
	for _, row := range []struct {
		rate    float64
		entered int
	}{{10, 10}, {2.5, 3}, {0.1, 1}} {
		g, _ := newGate(t, admission.Config{})
		if entered, _ := enter(g, &exchange.Client{ID: "kong", Rate: row.rate}, 100); entered != row.entered {
			t.Errorf("rate %v: %d entered, want %d", row.rate, entered, row.entered)
		}
	}
}

func TestReloadedLimit(t *testing.T) {
	g, _ := newGate(t, admission.Config{})
	_, _ = enter(g, &exchange.Client{ID: "kong", Rate: 1, Burst: 1}, 10)
	if entered, _ := enter(g, &exchange.Client{ID: "kong", Rate: 1, Burst: 7}, 10); entered != 7 {
		t.Errorf("%d entered under the new limit, want 7", entered)
	}
	if entered, _ := enter(g, &exchange.Client{ID: "kong"}, 100); entered != 100 {
		t.Errorf("%d entered without a limit, want 100", entered)
	}
}

func TestGlobalLimit(t *testing.T) {
	g, now := newGate(t, admission.Config{Rate: 10, Burst: 10})
	limited := &exchange.Client{ID: "limited", Rate: 1, Burst: 1}
	_, _ = enter(g, limited, 1000) // takes one of the ten: what its own limit refuses isn't counted against all
	entered, refused := enter(g, &exchange.Client{ID: "kong"}, 20)
	if entered != 9 || refused.Code != exchange.CodeUnavailable || refused.Reason != exchange.ReasonOverloaded || refused.RetryAfter <= 0 {
		t.Fatalf("%d entered, %v", entered, refused)
	}
	now.forward(time.Second)
	if entered, _ := enter(g, &exchange.Client{ID: "kong"}, 20); entered != 10 {
		t.Errorf("%d entered a second later, want 10", entered)
	}
}

// I08: a hundred invalid subject tokens a minute, by client and source.
func TestInvalidTokens(t *testing.T) {
	kong, job := &exchange.Client{ID: "kong"}, &exchange.Client{ID: "job"}
	claimed := exchange.Source{Peer: here.Peer, Claimed: exchange.Claimed{Source: "203.0.113.9"}}
	for _, row := range []struct {
		name    string
		blamed  exchange.Source
		strikes int
		client  *exchange.Client
		from    exchange.Source
		after   time.Duration
		refused bool
	}{
		{"99", here, 99, kong, here, 0, false},
		{"100", here, 100, kong, here, 0, true},
		{"another client", here, 200, job, here, 0, false},
		{"another source", here, 200, kong, from("192.0.2.2"), 0, false},
		{"behind a gateway, the same source", claimed, 100, kong, claimed, 0, true},
		{"behind a gateway, another source", claimed, 200, kong, here, 0, false},
		{"nearly a minute later", here, 100, kong, here, time.Minute - time.Nanosecond, true},
		{"a minute later", here, 100, kong, here, time.Minute, false},
		{"an hour later", here, 100, kong, here, time.Hour, false},
		{"another address of the same IPv6 network", from("2001:db8::1"), 100, kong, from("2001:db8::2"), 0, true},
		{"another IPv6 network", from("2001:db8::1"), 100, kong, from("2001:db8:0:1::1"), 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			g, now := newGate(t, admission.Config{})
			for range row.strikes {
				g.Penalize(kong, row.blamed)
			}
			now.forward(row.after)
			err := g.Enter(row.client, row.from)
			if (err != nil) != row.refused {
				t.Fatalf("got %v", err)
			}
			var refused *exchange.Error
			if errors.As(err, &refused) && (refused.Reason != exchange.ReasonRateLimited || refused.RetryAfter != time.Minute-row.after) {
				t.Errorf("%v after %v", refused, refused.RetryAfter)
			}
		})
	}
}

// A minute that straddles two generations of the table is counted as one.
func TestStrikesAcrossGenerations(t *testing.T) {
	g, now := newGate(t, admission.Config{})
	kong := &exchange.Client{ID: "kong"}
	g.Penalize(kong, from("192.0.2.9")) // begins the young generation
	now.forward(50 * time.Second)
	for range 60 {
		g.Penalize(kong, here)
	}
	now.forward(20 * time.Second)
	for range 40 {
		g.Penalize(kong, here)
	}
	if g.Enter(kong, here) == nil {
		t.Error("100 invalid tokens within 20 s were let pass")
	}
}

// Each minute is counted anew, in the table's old generation too.
// TestClockSetBack holds that whoever was locked out doesn't stay so until a clock that was set back has caught up, and
// that the limit goes on counting.
func TestClockSetBack(t *testing.T) {
	g, now := newGate(t, admission.Config{Rate: 1000, Burst: 1000})
	kong := &exchange.Client{ID: "kong", Rate: 10, Burst: 10}
	for range 100 {
		g.Penalize(kong, here)
	}
	if g.Enter(kong, here) == nil {
		t.Fatal("100 invalid tokens lock nobody out")
	}
	now.forward(-3 * time.Hour)
	if err := g.Enter(kong, here); err != nil {
		t.Fatalf("after the clock was set back: %v", err)
	}
	for range 100 {
		g.Penalize(kong, here)
	}
	var refused *exchange.Error
	if err := g.Enter(kong, here); !errors.As(err, &refused) || refused.RetryAfter > time.Minute {
		t.Errorf("100 more invalid tokens: %v", err)
	}
}

func TestStrikesBeginAgain(t *testing.T) {
	g, now := newGate(t, admission.Config{})
	kong := &exchange.Client{ID: "kong"}
	for minute := range 3 {
		if err := g.Enter(kong, here); err != nil {
			t.Errorf("minute %d began with %v", minute, err)
		}
		for range 100 {
			g.Penalize(kong, here)
		}
		if g.Enter(kong, here) == nil {
			t.Errorf("100 invalid tokens in minute %d were let pass", minute)
		}
		now.forward(61 * time.Second)
	}
}

// Whatever number of sources there is, the table is bounded, and a source that goes on is still caught.
func TestStrikesAreBounded(t *testing.T) {
	g, _ := newGate(t, admission.Config{})
	kong := &exchange.Client{ID: "kong"}
	for i := range 200_000 {
		g.Penalize(kong, exchange.Source{Claimed: exchange.Claimed{Source: fmt.Sprint("source-", i)}})
	}
	if n := g.Offenders(); n > 2*32<<10 {
		t.Errorf("the table holds %d offenders", n)
	}
	for range 100 {
		g.Penalize(kong, here)
	}
	if g.Enter(kong, here) == nil {
		t.Error("an offender got in beside a full table")
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	g, _ := newGate(t, admission.Config{Metrics: registry})
	_, _ = enter(g, &exchange.Client{ID: "kong", Rate: 1, Burst: 1}, 3)
	if n := testutil.CollectAndCount(registry, "sts_limited_total"); n != 5 {
		t.Errorf("%d series, want one for each limit", n)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if _, err := admission.New(admission.Config{Metrics: registry}); err == nil {
		t.Error("registered twice")
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := admission.New(admission.Config{Rate: -1}); err == nil {
		t.Error("a negative rate was taken")
	}
}

func TestConcurrentUse(t *testing.T) {
	g, _ := newGate(t, admission.Config{Rate: 1000, Burst: 100})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := &exchange.Client{ID: fmt.Sprint("c", i%2), Rate: float64(1 + i%3), Burst: 10}
			for range 200 {
				_ = g.Enter(c, here)
				g.Penalize(c, here)
			}
		})
	}
	wg.Wait()
}

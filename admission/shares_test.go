package admission_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/admission"
	"github.com/lakegate/sts/exchange"
)

var limited = &exchange.Client{ID: "kong", SubjectRate: 5, ActorRate: 2}

func someone(issuer, subject string) *exchange.Identity {
	return &exchange.Identity{Issuer: issuer, Subject: subject}
}

// attempt is one by a client, for a subject of okta's, through an actor of okta's where there is one.
func attempt(c *exchange.Client, subject, actor string) *exchange.Attempt {
	a := &exchange.Attempt{Call: &exchange.Call{Client: c}, Subject: someone("https://okta.example", subject)}
	if actor != "" {
		a.Actor = someone("https://okta.example", actor)
	}
	return a
}

// admit asks n times and returns how many were admitted, and the last refusal.
func admit(g *admission.Gate, a *exchange.Attempt, n int) (admitted int, refused *exchange.Error) {
	for range n {
		if err := g.Admit(a); err != nil {
			errors.As(err, &refused)
		} else {
			admitted++
		}
	}
	return admitted, refused
}

// An agent has a limit of its own, for all whom it acts for, and takes no more of a person's than that.
func TestLimitsOfSubjectAndActor(t *testing.T) {
	metrics := prometheus.NewRegistry()
	g, now := newGate(t, admission.Config{Metrics: metrics})
	admitted, refused := admit(g, attempt(limited, "ada", "agent"), 10)
	if admitted != 2 || refused.Code != exchange.CodeRateLimited || refused.Reason != exchange.ReasonRateLimited || refused.RetryAfter != 500*time.Millisecond {
		t.Fatalf("%d admitted, %v after %v", admitted, refused, refused.RetryAfter)
	}
	if !strings.Contains(refused.Message, "limits.per_actor") || strings.Contains(refused.Message, "agent") {
		t.Errorf("it is told %q", refused.Message)
	}
	for _, row := range []struct {
		name           string
		client         *exchange.Client
		subject, actor string
		admitted       int
	}{
		{"the agent for somebody else", limited, "eve", "agent", 0},
		{"another agent", limited, "eve", "agent-2", 2},
		{"the person herself, who has what her agent left", limited, "ada", "", 3},
		{"another person", limited, "bob", "", 5},
		{"the agent as a subject, which is another limit", limited, "agent", "", 5},
		{"another client", &exchange.Client{ID: "other", SubjectRate: 5, ActorRate: 2}, "ada", "agent", 2},
		{"a client without limits", &exchange.Client{ID: "free"}, "ada", "agent", 20},
		{"a client with one for actors alone", &exchange.Client{ID: "half", ActorRate: 2}, "ada", "", 20},
	} {
		if admitted, _ := admit(g, attempt(row.client, row.subject, row.actor), 20); admitted != row.admitted {
			t.Errorf("%s: %d admitted, want %d", row.name, admitted, row.admitted)
		}
	}
	elsewhere := attempt(limited, "ada", "")
	elsewhere.Subject.Issuer = "https://other.example"
	if admitted, _ := admit(g, elsewhere, 20); admitted != 5 {
		t.Errorf("somebody else of the same name: %d admitted, want 5", admitted)
	}
	_, refused = admit(g, attempt(limited, "bob", ""), 1)
	if !strings.Contains(refused.Message, "limits.per_subject") || strings.Contains(refused.Message, "bob") || refused.RetryAfter != 200*time.Millisecond {
		t.Errorf("it is told %q, to come after %v", refused.Message, refused.RetryAfter)
	}
	now.forward(refused.RetryAfter)
	if admitted, _ := admit(g, attempt(limited, "bob", ""), 20); admitted != 1 {
		t.Errorf("%d admitted after Retry-After, want 1", admitted)
	}
	now.forward(time.Second)
	if admitted, _ := admit(g, attempt(limited, "bob", ""), 20); admitted != 5 {
		t.Errorf("%d admitted a second later, want 5", admitted)
	}
	want := `
# HELP sts_limited_total Requests that a limit refused, by limit.
# TYPE sts_limited_total counter
sts_limited_total{limit="actor"} 64
sts_limited_total{limit="client"} 0
sts_limited_total{limit="global"} 0
sts_limited_total{limit="invalid_tokens"} 0
sts_limited_total{limit="subject"} 97
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "sts_limited_total"); err != nil {
		t.Error(err)
	}
}

// Over a long time, no more comes through than the rate, whatever it is and however it is asked for.
func TestRatesOfSubjects(t *testing.T) {
	for _, row := range []struct{ perSecond, within float64 }{{50, 60}, {1, 60}, {0.5, 600}, {1.0 / 60, 6000}, {1.0 / 3600, 36000}, {2.5, 60}} {
		g, now := newGate(t, admission.Config{})
		c := &exchange.Client{ID: "kong", SubjectRate: row.perSecond}
		admitted, step := 0, time.Duration(float64(time.Second)/row.perSecond/7)+1
		for at := time.Duration(0); at < time.Duration(row.within)*time.Second; at += step {
			n, _ := admit(g, attempt(c, "ada", ""), 1)
			admitted += n
			now.forward(step)
		}
		// A burst at first, then the rate.
		if most := row.within*row.perSecond + max(1, row.perSecond+1); float64(admitted) > most || float64(admitted) < row.within*row.perSecond-1 {
			t.Errorf("%v/s: %d admitted in %v s", row.perSecond, admitted, row.within)
		}
	}
}

// A limit that was changed holds at once, and a clock that was set back locks nobody out for longer than an empty bucket.
func TestSubjectLimitFollows(t *testing.T) {
	g, now := newGate(t, admission.Config{})
	if _, refused := admit(g, attempt(&exchange.Client{ID: "kong", SubjectRate: 1.0 / 3600}, "ada", ""), 2); refused.RetryAfter != time.Hour {
		t.Fatalf("come again after %v, want an hour", refused.RetryAfter)
	}
	raised := attempt(&exchange.Client{ID: "kong", SubjectRate: 10}, "ada", "")
	_, refused := admit(g, raised, 1)
	now.forward(refused.RetryAfter)
	if admitted, _ := admit(g, raised, 1); refused.RetryAfter > time.Second || admitted != 1 {
		t.Errorf("under the new limit: come again after %v, and then %d admitted", refused.RetryAfter, admitted)
	}
	_, _ = admit(g, raised, 20)
	now.forward(-24 * time.Hour)
	_, refused = admit(g, raised, 20)
	now.forward(refused.RetryAfter)
	if admitted, _ := admit(g, raised, 1); refused.RetryAfter > time.Second || admitted != 1 {
		t.Errorf("the clock was set back by a day: come again after %v, and then %d admitted", refused.RetryAfter, admitted)
	}
}

// The table is bounded, forgets who has not been there for as long as a bucket takes to fill, and nobody else before that.
func TestSharersAreBounded(t *testing.T) {
	metrics := prometheus.NewRegistry()
	g, now := newGate(t, admission.Config{Metrics: metrics})
	slow := &exchange.Client{ID: "kong", SubjectRate: 1.0 / 60}
	forgotten := func() float64 {
		t.Helper()
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "sts_limits_forgotten_total" {
				return f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("no sts_limits_forgotten_total")
		return 0
	}
	for minute := range 10 {
		for i := range 1000 {
			_, _ = admit(g, attempt(slow, fmt.Sprintf("subject-%d-%d", minute, i), ""), 1)
		}
		if admitted, _ := admit(g, attempt(slow, fmt.Sprintf("subject-%d-0", minute), ""), 1); admitted != 0 {
			t.Fatalf("minute %d: the first of its subjects is admitted twice", minute)
		}
		now.forward(time.Minute)
	}
	if subjects, _ := g.Sharers(); subjects > 3000 || forgotten() != 0 {
		t.Errorf("%d are remembered after ten minutes of a thousand each, and %v were crowded out", subjects, forgotten())
	}
	for i := range admission.MaxSharers + 4000 {
		_, _ = admit(g, attempt(slow, fmt.Sprintf("crowd-%d", i), ""), 1)
	}
	if subjects, _ := g.Sharers(); subjects > admission.MaxSharers || forgotten() == 0 {
		t.Errorf("%d are remembered of a crowd, at most %d may be; %v were crowded out", subjects, admission.MaxSharers, forgotten())
	}
}

// However many ask at once, a bucket gives what it holds.
func TestSharersAtOnce(t *testing.T) {
	g, _ := newGate(t, admission.Config{})
	c := &exchange.Client{ID: "kong", SubjectRate: 100}
	var admitted atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			n, _ := admit(g, attempt(c, "ada", ""), 50)
			admitted.Add(int64(n))
		})
	}
	all.Wait()
	if n := admitted.Load(); n != 100 {
		t.Errorf("%d admitted, want 100", n)
	}
}

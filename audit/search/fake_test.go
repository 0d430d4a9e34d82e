package search_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/exchange"
)

// fake is an index that answers what it is told to, and remembers what it was asked.
type fake struct {
	page       index.Page
	events     map[string]*index.Event
	steps      []index.Step
	token      index.Token
	counts     []index.HourCount
	receipt    *audit.Receipt
	newest     []audit.Checkpoint
	err        error
	asked      index.Query
	cursor     string
	hash       string
	statistics index.StatisticsQuery
}

func (f *fake) Search(_ context.Context, q index.Query) (index.Page, error) {
	f.asked = q
	return f.page, f.err
}

func (f *fake) Find(_ context.Context, id string) (*index.Event, error) {
	if f.err != nil {
		return nil, f.err
	}
	if e := f.events[id]; e != nil {
		return e, nil
	}
	return nil, index.ErrNotFound
}

func (f *fake) Tail(_ context.Context, q index.Query, cursor string) iter.Seq2[index.Step, error] {
	f.asked, f.cursor = q, cursor
	return func(yield func(index.Step, error) bool) {
		for _, s := range f.steps {
			if !yield(s, nil) {
				return
			}
		}
		if f.err != nil {
			yield(index.Step{}, f.err)
		}
	}
}

func (f *fake) Token(_ context.Context, sha256 string, _ int) (index.Token, error) {
	f.hash = sha256
	return f.token, f.err
}

func (f *fake) Statistics(_ context.Context, q index.StatisticsQuery) ([]index.HourCount, error) {
	f.statistics = q
	return f.counts, f.err
}

func (f *fake) Receipt(context.Context, string) (*audit.Receipt, error) { return f.receipt, f.err }

func (f *fake) Checkpoints(context.Context) ([]audit.Checkpoint, error) { return f.newest, f.err }

var (
	today   = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	errAway = errors.New("dial tcp 10.0.0.1:5432: connection refused")
)

// newService is a service over a fake, at a time that can be moved.
func newService(t *testing.T) (*search.Service, *fake, *time.Time) {
	t.Helper()
	f, now := &fake{}, today
	s, err := search.New(search.Config{Index: f, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return s, f, &now
}

// lines are the records of a file of the log's own tests.
func lines(t *testing.T, name string) (events []*index.Event) {
	t.Helper()
	text, err := os.ReadFile("../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range splitLines(text) {
		r, err := audit.Decode(line)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		events = append(events, &index.Event{Record: r, Origin: "sts.example/audit/sts-0/12345678", Place: 7})
	}
	return events
}

// refusal is what a refusal says.
type refusal struct {
	Message    string
	RetryAfter time.Duration
}

// wantReason holds that an error is of the core.
func wantReason(t *testing.T, err error, code exchange.Code, reason exchange.Reason) refusal {
	t.Helper()
	var e *exchange.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Fatalf("got %v, want %s (%s)", err, code, reason)
	}
	return refusal{e.Message, e.RetryAfter}
}

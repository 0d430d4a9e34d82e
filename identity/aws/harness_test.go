package aws_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/aws"
	"github.com/lakegate/sts/internal/emulator/awssts"
)

const (
	account  = "123456789012"
	audience = "https://sts.example.com"
)

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()).UTC() }

// marks is an exchange.Once.
type marks struct {
	mu   sync.Mutex
	seen map[string]bool
	ends time.Time // of the last one
	fail error
}

func (m *marks) Claim(_ context.Context, key string, _, ends time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return false, m.fail
	}
	fresh := !m.seen[key]
	m.seen[key], m.ends = true, ends
	return fresh, nil
}

func (m *marks) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seen)
}

var errGone = errors.New("the store is gone")

// world is an AWS STS and a verifier that asks it.
type world struct {
	*clock
	t        testing.TB
	sts      *awssts.Server
	marks    *marks
	settings *aws.Provider
	verifier *aws.Verifier
}

func newWorld(t testing.TB, changes ...func(*aws.Provider)) *world {
	t.Helper()
	w := &world{clock: newClock(), t: t, marks: &marks{seen: map[string]bool{}}}
	w.sts = awssts.New(awssts.Config{Now: w.now})
	url, err := w.sts.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sts.Close)
	w.settings = &aws.Provider{
		Name: "aws", Audience: audience, AccountIDs: []string{account, "210987654321"}, Regions: []string{"eu-central-1"},
		Endpoints: map[string]string{"eu-central-1": url}, ClockSkew: 30 * time.Second,
	}
	for _, change := range changes {
		change(w.settings)
	}
	w.verifier, err = aws.New(aws.Config{Provider: w.settings, Once: w.marks, Now: w.now, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sign signs a request by a key of a role.
func (w *world) sign(ask awssts.Ask) *awssts.Draft {
	return w.signBy(w.sts.Role(account, "etl", "i-0123456789abcdef0"), ask)
}

func (w *world) signBy(k *awssts.Key, ask awssts.Ask) *awssts.Draft {
	w.t.Helper()
	if ask.Audience == "" {
		ask.Audience = audience
	}
	d, err := w.sts.Sign(k, ask)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) verify(text string) (*exchange.Identity, error) {
	return w.verifyAs(text, exchange.UseSubject)
}

func (w *world) verifyAs(text string, use exchange.Use) (*exchange.Identity, error) {
	return w.verifier.Verify(w.t.Context(), exchange.Presented{Token: exchange.Secret(text), Type: exchange.TypeAWS4Request}, use)
}

// refused holds an error to a reason and a part of its message.
func (w *world) refused(err error, code exchange.Code, reason exchange.Reason) {
	w.t.Helper()
	var e *exchange.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		w.t.Errorf("error %v, want %s (%s)", err, code, reason)
	}
}

// newCanary counts the connections that it gets; there should be none.
func newCanary(t testing.TB) (address string, connections *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	connections = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), connections
}

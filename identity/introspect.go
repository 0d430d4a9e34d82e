package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/internal/refresh"
	"github.com/lakegate/sts/internal/outbound"
)

// Introspection says where a provider's access tokens are asked about (RFC 7662), and as whom.
type Introspection struct {
	// Endpoint is https, or http on the loopback.
	Endpoint string
	// ClientID and ClientSecret are ours at the provider.
	ClientID     string
	ClientSecret exchange.Secret
	// Prefix is how the provider's opaque tokens begin. At most one provider has none: its tokens are all others.
	Prefix string
}

const (
	// maxAnswerAge is how long an answer that a token is active is believed: a token that its provider revokes goes on
	// being taken for no longer.
	maxAnswerAge = 30 * time.Second
	// maxCalls is how many calls there are to one provider at once, and maxInquiries how many tokens may be asked about or
	// wait for that: anybody can make up tokens, and nobody shall use us to flood a provider.
	maxCalls     = 32
	maxInquiries = 256
	// maxAnswerBytes bounds an answer. Read, it may take fifty times as much, and 32 are read at once.
	maxAnswerBytes = 128 << 10
)

// introspector asks one provider about tokens.
type introspector struct {
	settings Introspection
	provider string
	client   *http.Client
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics
	skew     *skew
	maxWait  time.Duration
	interval time.Duration
	calls    chan struct{} // holds one for each call under way

	mu        sync.Mutex
	inquiries map[[sha256.Size]byte]*inquiry // under way, by token
	probe     chan struct{}                  // closed at the end of the probe under way; nil where there is none
	due       time.Time                      // when the next probe is
	failures  int                            // in a row
	lastErr   error                          // nil where the last call went well
}

// inquiry is one question, shared by all who present the same token at the same time and ended by none of them.
type inquiry struct {
	done chan struct{}
	at   time.Time // when it was asked
	answer
	err error
}

func newIntrospector(c Config, m *metrics, p Provider, skew *skew) *introspector {
	return &introspector{
		settings: *p.Introspection, provider: p.Name, skew: skew, now: c.Now, log: c.Log.With("provider", p.Name), metrics: m,
		maxWait: c.MaxWait, interval: c.RefreshInterval, calls: make(chan struct{}, maxCalls),
		client:    outbound.New(outbound.Config{Timeout: c.FetchTimeout, MaxBytes: maxAnswerBytes, MaxConnsPerHost: maxCalls, RootCAs: c.RootCAs}),
		inquiries: map[[sha256.Size]byte]*inquiry{},
	}
}

// What an introspection comes to, as metrics call it.
const (
	resultActive       = "active"
	resultInactive     = "inactive"
	resultFailed       = "failed"       // no answer, or none that can be read
	resultUnauthorized = "unauthorized" // our credential is refused
	resultOverloaded   = "overloaded"   // not asked
)

var (
	errOverloaded    = errors.New("too many tokens are being asked about")
	errIntrospection = errors.New("its introspection endpoint is slow to answer")
)

// ask asks about a token, or joins whoever does. Its error is the caller's own deadline, or *refresh.Unavailable.
func (i *introspector) ask(ctx context.Context, sum [sha256.Size]byte, token string) (*inquiry, error) {
	q := i.join(sum, token)
	if q == nil {
		i.metrics.introspected(i.provider, resultOverloaded)
		return nil, &refresh.Unavailable{Cause: errOverloaded, Retry: refresh.FirstRetry}
	}
	timer := time.NewTimer(i.maxWait)
	defer timer.Stop()
	select {
	case <-q.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, &refresh.Unavailable{Cause: errIntrospection, Retry: refresh.FirstRetry}
	}
	if q.err != nil {
		return nil, &refresh.Unavailable{Cause: q.err, Retry: i.retryIn()}
	}
	return q, nil
}

func (i *introspector) join(sum [sha256.Size]byte, token string) *inquiry {
	i.mu.Lock()
	defer i.mu.Unlock()
	if q := i.inquiries[sum]; q != nil {
		return q
	}
	if len(i.inquiries) >= maxInquiries {
		return nil
	}
	q := &inquiry{done: make(chan struct{})}
	i.inquiries[sum] = q
	go func() {
		i.run(q, token)
		i.mu.Lock()
		delete(i.inquiries, sum)
		i.mu.Unlock()
		close(q.done)
	}()
	return q
}

// run waits for its turn and asks. Who asked has left when it takes too long, and then nothing is asked.
func (i *introspector) run(q *inquiry, token string) {
	timer := time.NewTimer(i.maxWait)
	defer timer.Stop()
	select {
	case i.calls <- struct{}{}:
		defer func() { <-i.calls }()
	case <-timer.C:
		i.metrics.introspected(i.provider, resultOverloaded)
		q.err = errOverloaded
		return
	}
	q.at = i.now()
	q.answer, q.err = i.call(context.Background(), token)
	i.land(q.answer, q.err)
}

// land counts a call and remembers how it went. That one question was refused (400) may be for its token, which anybody
// can make up, and says nothing of the provider.
func (i *introspector) land(a answer, err error) {
	i.metrics.introspected(i.provider, resultOf(a, err))
	if errors.Is(err, errQuestion) {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	unknown := errors.Is(err, errCredential)
	news := unknown && !errors.Is(i.lastErr, errCredential)
	i.lastErr = err
	now := i.now()
	if err == nil {
		if i.failures > 0 {
			i.log.Info("an identity provider's introspection endpoint answers again", "failures", i.failures)
		}
		i.due, i.failures = now.Add(i.interval), 0
		return
	}
	i.due = now.Add(min(refresh.FirstRetry<<min(i.failures, 6), refresh.LastRetry))
	i.failures++
	if i.failures&(i.failures-1) != 0 && !news { // the 1st, 2nd, 4th, 8th, … in a row
		return
	}
	if unknown {
		i.log.Error("an identity provider refuses our credential for its introspection endpoint; mend introspection.client_id or the secret", "error", err, "failures", i.failures)
		return
	}
	i.log.Warn("an identity provider can't be asked about tokens", "error", err, "failures", i.failures)
}

func resultOf(a answer, err error) string {
	switch {
	case errors.Is(err, errCredential):
		return resultUnauthorized
	case err != nil:
		return resultFailed
	case a.active:
		return resultActive
	}
	return resultInactive
}

func (i *introspector) retryIn() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return min(max(i.due.Sub(i.now()), refresh.FirstRetry), refresh.AskInterval)
}

// trouble is why tokens can't be asked about, nil where they can, or nobody has tried yet.
func (i *introspector) trouble() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lastErr
}

// probeToken is a token that no provider issues, and that says in a provider's log what it is for.
const probeToken = "lakegate-sts-probe-this-token-was-never-issued"

// probeIfDue asks about a token that nobody issued, so that an endpoint that is dead, or that doesn't know us, shows
// before a user comes, and one that has come back is soon known to be well.
func (i *introspector) probeIfDue(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.probe != nil || refresh.Within(i.due, now, i.interval+refresh.LastRetry) {
		return
	}
	done := make(chan struct{})
	i.probe = done
	go func() {
		i.land(i.askNobodys(context.Background()))
		i.mu.Lock()
		defer i.mu.Unlock()
		i.probe = nil
		close(done)
	}()
}

// askNobodys wants to hear that the token of a probe isn't active.
func (i *introspector) askNobodys(ctx context.Context) (answer, error) {
	a, err := i.call(ctx, i.settings.Prefix+probeToken)
	switch {
	case errors.Is(err, errQuestion):
		err = errors.New(err.Error()) // here it is the provider that is asked about, not a token
	case err == nil && a.active:
		err = errors.New("it says that a token is active which nobody issued")
	}
	return a, err
}

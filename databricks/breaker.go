package databricks

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/lakegate/sts/exchange"
)

const (
	// rejections in a row open a breaker.
	rejections = 3
	// openFor is how long it stays open: then one mint tries. It is short, so that what was mended works at once.
	openFor = time.Second
	// maxBreakers bounds what is remembered; to forget costs a few requests.
	maxBreakers = 4096
)

// breakers keep what Databricks refuses from being asked again for every request: a principal, or scopes and details
// that it may not have, neither in the way of its neighbours. That Databricks is down opens none: the caller is told to
// wait, and the answer of the first who doesn't is as good as any probe's.
type breakers struct {
	mu    sync.Mutex
	byKey map[breakerKey]*breaker
}

// breakerKey names what Databricks refuses: a rotated secret starts anew.
type breakerKey struct {
	host, applicationID, credential string
	method                          exchange.Method
	asked                           string // scopes and details
}

type breaker struct {
	circuit *gobreaker.CircuitBreaker[exchange.Token]
	last    atomic.Pointer[exchange.Error]
}

func (b *breakers) of(g *exchange.Grant) *breaker {
	key := breakerKey{g.Host, g.ApplicationID, g.Credential, g.Method, strings.Join(g.Scopes, " ") + " " + g.Details.JSON()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.byKey[key]; found != nil {
		return found
	}
	if b.byKey == nil || len(b.byKey) >= maxBreakers {
		b.byKey = make(map[breakerKey]*breaker)
	}
	made := newBreaker()
	b.byKey[key] = made
	return made
}

func newBreaker() *breaker {
	return &breaker{circuit: gobreaker.NewCircuitBreaker[exchange.Token](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      openFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= rejections },
		IsSuccessful: func(err error) bool { return !isRejection(err) },
		// What says nothing of the principal neither opens nor closes.
		IsExcluded: func(err error) bool { return err != nil && !isRejection(err) },
	})}
}

// run mints unless the breaker is open, when it answers what Databricks said last.
func (b *breaker) run(mint func() (exchange.Token, error)) (exchange.Token, error) {
	token, err := b.circuit.Execute(mint)
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		if last := b.last.Load(); last != nil {
			return exchange.Token{}, last.Because(errHeld{last.Cause})
		}
		return exchange.Token{}, unreachable(err)
	case isRejection(err):
		b.last.Store(exchange.AsError(err))
	}
	return token, err
}

// errHeld marks an answer that was not asked for again.
type errHeld struct{ last error }

func (e errHeld) Error() string { return "not asked again, because a moment ago: " + e.last.Error() }
func (e errHeld) Unwrap() error { return e.last }

// Answer is what a mint's record tells: without it, the record would say that Databricks had answered this mint.
func (e errHeld) Answer() string {
	var last *refusal
	if !errors.As(e.last, &last) {
		return "not asked"
	}
	return "not asked, because a moment ago: " + last.Answer()
}

func isRejection(err error) bool {
	var e *exchange.Error
	return errors.As(err, &e) && e.Reason == exchange.ReasonUpstreamRejected
}

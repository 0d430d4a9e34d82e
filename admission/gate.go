package admission

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// Config is what a Gate is made of.
type Config struct {
	// Rate is how many requests per second all clients together may make, 0 for no limit.
	Rate float64
	// Burst is how many of them may come at once; 0 means a second's worth.
	Burst int

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Metrics gets sts_limited_total and sts_limits_forgotten_total; nil is none.
	Metrics prometheus.Registerer
}

// Gate is the exchange's gate.
type Gate struct {
	now              func() time.Time
	all              *bucket
	clients          buckets
	strikes          strikes
	subjects, actors shares

	limitedAll, limitedClient, limitedStrikes, limitedSubject, limitedActor prometheus.Counter
}

var _ exchange.Gate = (*Gate)(nil)

// New makes a Gate.
func New(c Config) (*Gate, error) {
	if c.Rate < 0 || c.Burst < 0 {
		return nil, errors.New("admission.Config: Rate and Burst can't be negative")
	}
	g := &Gate{now: c.Now, all: newBucket(c.Rate, c.Burst)}
	if g.now == nil {
		g.now = time.Now
	}
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sts_limited_total", Help: "Requests that a limit refused, by limit.",
	}, []string{"limit"})
	forgotten := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sts_limits_forgotten_total", Help: "Limits of subjects and actors that began anew before their time, since there were too many to remember.",
	})
	if c.Metrics != nil {
		for _, m := range []prometheus.Collector{limited, forgotten} {
			if err := c.Metrics.Register(m); err != nil {
				return nil, fmt.Errorf("registering admission's metrics: %w", err)
			}
		}
	}
	g.subjects.forgotten, g.actors.forgotten = forgotten, forgotten
	g.limitedAll = limited.WithLabelValues("global")
	g.limitedClient = limited.WithLabelValues("client")
	g.limitedStrikes = limited.WithLabelValues("invalid_tokens")
	g.limitedSubject = limited.WithLabelValues("subject")
	g.limitedActor = limited.WithLabelValues("actor")
	return g, nil
}

// Enter implements exchange.Gate. The global limit is asked last, so that a client that is over its own limit takes
// nothing from the others.
func (g *Gate) Enter(c *exchange.Client, from exchange.Source) error {
	now := g.now()
	if wait := g.strikes.wait(c.ID, from, now); wait > 0 {
		g.limitedStrikes.Inc()
		return exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited,
			"too many invalid subject tokens came from this source; wait until the minute is over").After(wait)
	}
	if wait := g.clients.take(c, now); wait > 0 {
		g.limitedClient.Inc()
		return exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited,
			"this client makes more requests than its limit allows; slow down or raise limits.rate of the client").After(wait)
	}
	if wait := g.all.take(now); wait > 0 {
		g.limitedAll.Inc()
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded,
			"the service as a whole is at its limit; ask again shortly").After(wait)
	}
	return nil
}

// Admit implements exchange.Gate. The actor's limit is asked first, so that an agent that is over its own takes nothing
// from the person for whom it acts.
func (g *Gate) Admit(a *exchange.Attempt) error {
	c := a.Call.Client
	if c.SubjectRate <= 0 && c.ActorRate <= 0 {
		return nil
	}
	now := g.now()
	if a.Actor != nil {
		if wait := g.actors.take(sharer{c.ID, a.Actor.Issuer, a.Actor.Subject}, c.ActorRate, now); wait > 0 {
			g.limitedActor.Inc()
			return exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited,
				"this actor makes more requests by this client than one may, for all subjects together; slow down, or raise limits.per_actor of the client").After(wait)
		}
	}
	if wait := g.subjects.take(sharer{c.ID, a.Subject.Issuer, a.Subject.Subject}, c.SubjectRate, now); wait > 0 {
		g.limitedSubject.Inc()
		return exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited,
			"more requests are made for this subject by this client than may be, with and without an actor; slow down, or raise limits.per_subject of the client").After(wait)
	}
	return nil
}

// Penalize implements exchange.Gate.
func (g *Gate) Penalize(c *exchange.Client, from exchange.Source) {
	g.strikes.add(c.ID, from, g.now())
}

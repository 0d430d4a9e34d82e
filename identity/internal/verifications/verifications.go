// Package verifications counts the tokens that were verified, of all kinds in one metric.
package verifications

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
)

// unknown is the label of tokens that led to no provider.
const unknown = "unknown"

// Count is the metric. Its label provider is a configured name, or "unknown".
type Count struct {
	vec *prometheus.CounterVec
}

// New registers the metric, or finds it where another kind of tokens has registered it. A nil Registerer keeps it to itself.
func New(r prometheus.Registerer) (Count, error) {
	c := Count{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sts_identity_verifications_total",
		Help: "Tokens that were verified, by identity provider and result: ok, or the reason of the refusal.",
	}, []string{"provider", "result"})}
	if r == nil {
		return c, nil
	}
	err := r.Register(c.vec)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if shared, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return Count{shared}, nil
		}
	}
	return c, err
}

// Accepted is a provider's counter of good tokens.
func (c Count) Accepted(provider string) prometheus.Counter {
	return c.vec.WithLabelValues(provider, "ok")
}

// Refused counts a token that was refused, of a provider that is "" where the token led to none.
func (c Count) Refused(provider string, err error) {
	if provider == "" {
		provider = unknown
	}
	c.vec.WithLabelValues(provider, string(exchange.AsError(err).Reason)).Inc()
}

// Forget drops what was counted of a provider that is no longer configured.
func (c Count) Forget(provider string) {
	c.vec.DeletePartialMatch(prometheus.Labels{"provider": provider})
}

package server

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/rpc"
)

// completeBearers fills in what of the services for bearers is the server's: the resource that they are, and the counter.
func (c *Config) completeBearers() (err error) {
	if c.Bearers.Resource, err = rpc.ResourceOf(c.Issuer); err != nil {
		return err
	}
	uses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sts_api_requests_total", Help: "Requests of bearers that were answered, by action, outcome (granted, denied, failed) and reason.",
	}, []string{"action", "outcome", "reason"})
	c.Bearers.Observe = func(action string, err *exchange.Error) {
		reason := ""
		if err != nil {
			reason = string(err.Reason)
		}
		uses.WithLabelValues(action, string((&exchange.Admin{Err: err}).Outcome()), reason).Inc()
	}
	if c.Metrics == nil {
		return nil
	}
	if err := c.Metrics.Register(uses); err != nil {
		return fmt.Errorf("registering the server's metrics: %w", err)
	}
	return nil
}

// resourceMetadata is the description of the API as a protected resource, as of now: policy says where its tokens come
// from.
func (c *Config) resourceMetadata() document {
	resource, issuers := c.Bearers.Resource, c.BearerIssuers
	return document{refuse: c.Exchanger.RefuseUnknown, body: func() []byte {
		var servers []string
		if issuers != nil {
			servers = issuers()
		}
		return resource.Document(servers)
	}}
}

package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/inbound"
)

const (
	// maxRequests bounds a batch.
	maxRequests = 1000
	// batchWorkers is how many requests of one batch are under way at once.
	batchWorkers = 16
)

// BatchExchange implements stsv1.TokenServiceServer. Each request is an attempt of its own, with its own limits, decision
// and record.
func (t *tokens) BatchExchange(ctx context.Context, r *stsv1.BatchExchangeRequest) (*stsv1.BatchExchangeResponse, error) {
	c := callerOf(ctx)
	if err := checkBatch(r); err != nil {
		return nil, t.refusals.reject(c, err)
	}
	client, err := t.authenticate(ctx, c, r)
	if err != nil {
		t.refusals.observe(c, err, c.began)
		return nil, err
	}
	results := make([]*stsv1.BatchExchangeResult, len(r.GetRequests()))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(batchWorkers, len(results)) {
		workers.Go(func() {
			for i := range next {
				results[i] = t.one(ctx, c, client, r.GetRequests()[i])
			}
		})
	}
	for i := range results {
		next <- i
	}
	close(next)
	workers.Wait()
	return &stsv1.BatchExchangeResponse{Results: results}, nil
}

// checkBatch looks at the frame of a batch.
func checkBatch(r *stsv1.BatchExchangeRequest) *exchange.Error {
	if n := len(r.GetRequests()); n == 0 || n > maxRequests {
		return inbound.Malformed("a batch must have 1 to %d requests", maxRequests)
	}
	for i, one := range r.GetRequests() {
		if one.GetClientAssertion() != "" || one.GetClientAssertionType() != "" || one.GetClientId() != "" {
			return inbound.Malformed("request %d of the batch names or authenticates a client; do that once, beside the requests", i)
		}
	}
	return nil
}

// one exchanges for one request of a batch. It runs beside the guard, so that it looks after its own panics.
func (t *tokens) one(ctx context.Context, c *caller, client *exchange.Client, r *stsv1.ExchangeRequest) (result *stsv1.BatchExchangeResult) {
	began := t.refusals.now()
	var failed *exchange.Error
	defer func() {
		if p := recover(); p != nil {
			failed = t.refusals.refuse(c, exchange.AsError(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
			t.log.ErrorContext(ctx, "a request of a batch panicked", "decision_id", failed.DecisionID, "error", failed)
		}
		if failed != nil {
			result = &stsv1.BatchExchangeResult{Outcome: &stsv1.BatchExchangeResult_Error{Error: errorOf(failed)}}
		}
		t.refusals.observe(c, failed, began)
	}()
	answer, err := t.call(ctx, c, client, r)
	if err != nil {
		failed = err
		return nil
	}
	return &stsv1.BatchExchangeResult{Outcome: &stsv1.BatchExchangeResult_Response{Response: responseOf(&answer)}}
}

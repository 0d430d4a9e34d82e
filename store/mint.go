package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lakegate/sts/exchange"
)

// mint asks Databricks once, records the attempt, and keeps what it got. ctx is nobody's.
func (t *Tokens) mint(ctx context.Context, k key, g *exchange.Grant, w *want, cause exchange.MintCause) (exchange.Token, error) {
	id, err := exchange.NewID(w.now, t.random)
	if err != nil {
		return exchange.Token{}, err
	}
	until := w.until()
	started := t.now()
	token, err := t.ask(ctx, exchange.MintID(id), g, until)
	if err == nil {
		err = check(&token, exchange.MintID(id), g, until, t.now())
	}
	event := &exchange.Mint{Cause: cause, Grant: *g, Asked: until, Duration: t.now().Sub(started)}
	if err != nil {
		token, event.Err = exchange.Token{}, exchange.AsError(err)
	} else {
		token.Scopes, token.Details, token.Cache = g.Scopes, g.Details, exchange.CacheMinted
		event.Token = token
	}
	t.metrics.seconds.Observe(event.Duration.Seconds())
	if rerr := t.recorder.Record(ctx, &exchange.Event{ID: id, Time: started, Mint: event}); rerr != nil {
		// What can't be recorded doesn't happen: the token goes to nobody.
		t.log.ErrorContext(ctx, "the audit log did not accept a mint; its token is thrown away", "mint", id, "error", rerr)
		token, event.Err = exchange.Token{}, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonAuditUnavailable,
			"the audit log can't be written, so no token is minted; ask again shortly").After(time.Second).Because(rerr)
	}
	t.count(g, cause, event.Err)
	if event.Err != nil {
		if cause == exchange.CauseRenewal {
			t.log.WarnContext(ctx, "renewing a token ahead of need failed; it is tried again", "mint", id, "principal", g.Principal, "error", event.Err)
		}
		t.failures.note(k, t.now(), event.Err.Code == exchange.CodeUnavailable)
		return exchange.Token{}, event.Err
	}
	t.failures.forget(k)
	t.keep(k, &token)
	return token, nil
}

func (t *Tokens) count(g *exchange.Grant, cause exchange.MintCause, err *exchange.Error) {
	result := "ok"
	if err != nil {
		result = string(err.Reason)
	}
	t.metrics.mints.WithLabelValues(string(cause), string(g.Method), result).Inc()
}

// ask calls the minter, in bounded time; a panic of its is an attempt that failed, and recorded like any.
func (t *Tokens) ask(ctx context.Context, id exchange.MintID, g *exchange.Grant, until time.Time) (token exchange.Token, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			token, err = exchange.Token{}, fmt.Errorf("panic while minting: %v\n%s", p, debug.Stack())
		}
	}()
	token, err = t.minter.Mint(ctx, id, *g, until)
	var known *exchange.Error
	if err != nil && !errors.As(err, &known) && ctx.Err() != nil {
		// Our own bound ended it, not a caller's deadline.
		err = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable,
			"Databricks did not answer in time; ask again").After(time.Second).Because(err)
	}
	return token, err
}

// check holds what was minted against what was asked.
func check(token *exchange.Token, id exchange.MintID, g *exchange.Grant, until, now time.Time) error {
	bound := boundOf(g.Method)
	var wrong string
	switch {
	case token.Text == "":
		wrong = "it is empty"
	case token.SHA256 != sha256.Sum256([]byte(token.Text.Reveal())):
		wrong = "its hash is another's"
	case token.Mint != id:
		wrong = "it belongs to another mint"
	case token.Bound != bound:
		wrong = "it is not bounded the way its method bounds"
	case token.TrueExpiry.Nanosecond() != 0:
		wrong = "its end is not in whole seconds"
	case bound == exchange.BoundToken && token.TrueExpiry.After(until):
		wrong = "it outlives what was asked"
	case exchange.Rest(token.TrueExpiry, now) < min(margin, exchange.Rest(until, now)):
		wrong = "too little of its life is left"
	case !slices.Equal(token.Scopes, g.Scopes):
		wrong = "its scopes are not those that were asked"
	case token.Details.JSON() != g.Details.JSON():
		wrong = "its authorization details are not those that were asked"
	default:
		return nil
	}
	return exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamInvalid,
		"Databricks answered with a token that can't be served: %s", wrong)
}

// keep stores a token. One that can't be sealed is still good, only not kept.
func (t *Tokens) keep(k key, token *exchange.Token) {
	box, err := seal(t.aead, &k, token)
	if err != nil {
		t.metrics.dropped.WithLabelValues(string(exchange.CacheMemory), dropUnsealed).Inc()
		t.log.Error("a token could not be sealed, so it is not cached", "error", err)
		return
	}
	t.memory.put(k, entry{expiry: token.TrueExpiry, box: box})
}

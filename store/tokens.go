package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Tokens = (*Tokens)(nil)

// TokensConfig is what Tokens are made of. Minter, Recorder, AEAD and Log are needed.
type TokensConfig struct {
	Minter   exchange.Minter
	Recorder exchange.Recorder
	// AEAD seals the entries; OpenKeyset gives it.
	AEAD tink.AEAD
	Log  *slog.Logger
	// Redis is the tier that replicas share; nil where there is one replica.
	Redis *Redis
	// Ended reports whether a client has given a token up, so that it is not for that client any more. It is asked at every
	// hit; nil says no.
	Ended func(client string, token [sha256.Size]byte) bool

	// MintTimeout bounds one mint, whoever waits for it. [10 s]; at most 14 s.
	MintTimeout time.Duration
	// MaxEntries and MaxBytes bound the memory tier. [100,000 and 192 MiB]
	MaxEntries int
	MaxBytes   int

	// Metrics may be nil: then none are kept.
	Metrics prometheus.Registerer
	// Now is the clock. [time.Now]
	Now func() time.Time
	// Random makes mint ids. [crypto/rand]
	Random io.Reader
}

// Tokens obtains tokens for grants: from memory, from Redis, or by minting, once for all who ask at the same time.
type Tokens struct {
	minter   exchange.Minter
	recorder exchange.Recorder
	aead     tink.AEAD
	log      *slog.Logger
	timeout  time.Duration
	now      func() time.Time
	random   io.Reader
	ended    func(client string, token [sha256.Size]byte) bool // or nil

	memory   *memory
	redis    *Redis // or nil
	flights  flights
	failures failures
	metrics  *tokensMetrics
}

// NewTokens makes Tokens. Close them.
func NewTokens(c TokensConfig) (*Tokens, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{{"Minter", c.Minter == nil}, {"Recorder", c.Recorder == nil}, {"AEAD", c.AEAD == nil}, {"Log", c.Log == nil}} {
		if need.missing {
			return nil, fmt.Errorf("store.TokensConfig.%s is missing", need.name)
		}
	}
	t := &Tokens{minter: c.Minter, recorder: c.Recorder, aead: c.AEAD, log: c.Log, redis: c.Redis, ended: c.Ended, timeout: c.MintTimeout, now: c.Now, random: c.Random}
	if t.timeout == 0 {
		t.timeout = 10 * time.Second
	}
	if t.timeout < 0 || t.timeout > maxMintTimeout {
		return nil, fmt.Errorf("store.TokensConfig.MintTimeout is %v; it must lie within 0 and %v, so that the shortest token is of use when it arrives", t.timeout, maxMintTimeout)
	}
	if t.now == nil {
		t.now = time.Now
	}
	if t.random == nil {
		t.random = rand.Reader
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = 100_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 192 << 20
	}
	if c.MaxEntries < 0 || c.MaxBytes < 0 {
		return nil, errors.New("store.TokensConfig.MaxEntries and MaxBytes can't be negative")
	}
	var err error
	if t.memory, err = newMemory(c.MaxEntries, c.MaxBytes, t.now); err != nil {
		return nil, err
	}
	t.metrics, err = newTokensMetrics(c.Metrics, t.memory.entries)
	return t, err
}

// complete refuses a grant that lacks what sets it apart: its token would be shared by all who lack it.
func complete(g *exchange.Grant, limit time.Duration) error {
	if g.Host == "" || g.ApplicationID == "" || len(g.Scopes) == 0 || g.Lifetime <= 0 || limit <= 0 {
		return errors.New("a grant without host, application id, scopes or lifetime can't be obtained")
	}
	if g.Method != exchange.MethodFederation && g.Method != exchange.MethodClientSecret {
		return fmt.Errorf("tokens can't be obtained by the method %q", g.Method)
	}
	return nil
}

// maxRounds bounds how often a caller looks again because what it waited for does not fit it.
const maxRounds = 4

// Obtain implements exchange.Tokens. Its errors are *exchange.Error, or ctx's own; any other is a fault of the caller's
// or ours.
func (t *Tokens) Obtain(ctx context.Context, g exchange.Grant, limit time.Duration, notAfter time.Time) (exchange.Token, error) {
	if err := complete(&g, limit); err != nil {
		return exchange.Token{}, err
	}
	var scratch [512]byte
	fields := appendGrant(scratch[:0], &g)
	for range maxRounds {
		w := newWant(&g, limit, notAfter, t.now())
		if token, ok := t.find(fields, &g, &w, w.least); ok {
			t.metrics.hits.Inc()
			if w.ahead(exchange.Rest(token.TrueExpiry, w.now), token.SHA256[0]) {
				t.renew(ctx, keyAt(fields, w.step), g, w, w.least+maxWindow)
			}
			return token, nil
		}
		if token, again, err := t.miss(ctx, fields, g, w); !again {
			return token, err
		}
	}
	return exchange.Token{}, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable,
		"tokens arrive too late to be of use; ask again").After(time.Second)
}

// accepts reports whether what a flight brought fits who waited for it. A caller may have joined just before a second's
// boundary that the flight started behind; a fresh token may be short of comfort, but not of use.
func (w *want) accepts(token *exchange.Token, now time.Time) bool {
	least := w.least
	if token.Cache == exchange.CacheMinted {
		least = min(margin, w.limit)
	}
	return w.fits(token.TrueExpiry, now, least)
}

// miss obtains a token where none was found that fits w. again says that what came is not for this caller: look anew.
func (t *Tokens) miss(ctx context.Context, fields []byte, g exchange.Grant, w want) (token exchange.Token, again bool, err error) {
	k := keyAt(fields, w.step)
	if t.failures.unavailable(k, w.now) {
		// Nobody needs to wait for what won't come while there is a token that lives a little longer.
		if token, ok := t.find(fields, &g, &w, margin); ok {
			t.metrics.hits.Inc()
			t.renew(ctx, k, g, w, w.least)
			return token, false, nil
		}
	}
	if w.limit <= 0 || !w.served && w.step == 0 {
		t.metrics.misses.Inc()
		return token, false, exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenExpiring,
			"the presented token has less than %d s left, the least that a Databricks token is made for; get a fresh one", int(ladder[len(ladder)-1]/time.Second))
	}
	token, err = t.fly(ctx, k, g, w)
	if token.Cache == exchange.CacheRedis {
		t.metrics.redisHits.Inc()
	} else {
		t.metrics.misses.Inc()
	}
	switch {
	case err == nil && token.Cache == exchange.CacheMinted && t.gaveUp(&g, &token):
		// To ask again would be to be given it again.
		return exchange.Token{}, false, exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamInvalid,
			"Databricks minted a token a second time that this client has given up; it can have another when that one expires")
	case err == nil:
		return token, t.gaveUp(&g, &token) || !w.accepts(&token, t.now()), nil
	case isUnavailable(err):
		later := w.at(t.now())
		if token, ok := t.find(fields, &g, &later, margin); ok {
			t.metrics.hits.Inc()
			return token, false, nil
		}
	}
	return token, false, err
}

// fly waits for the flight that obtains a token of w.
func (t *Tokens) fly(ctx context.Context, k key, g exchange.Grant, w want) (exchange.Token, error) {
	if err := ctx.Err(); err != nil {
		return exchange.Token{}, err
	}
	f := t.flights.join(k, func() (exchange.Token, error) { return t.obtain(ctx, k, &g, &w, w.least, exchange.CauseMiss) })
	if f == nil {
		return exchange.Token{}, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded, "this replica is stopping; ask again").After(time.Second)
	}
	t.metrics.waiters.Inc()
	defer t.metrics.waiters.Dec()
	return f.wait(ctx)
}

// renew obtains a token ahead of need; nobody waits for it. It is asked for at a hit, so that only what is in use is
// renewed, and shares the flight of its key, so that it happens once.
func (t *Tokens) renew(ctx context.Context, k key, g exchange.Grant, w want, least time.Duration) {
	if (w.served || w.step > 0) && t.failures.mayRetry(k, w.now) {
		t.flights.join(k, func() (exchange.Token, error) { return t.obtain(ctx, k, &g, &w, least, exchange.CauseRenewal) })
	}
}

// obtain is the work of a flight. Whoever started it may have looked before the last flight landed, so it looks again.
func (t *Tokens) obtain(ctx context.Context, k key, g *exchange.Grant, w *want, least time.Duration, cause exchange.MintCause) (exchange.Token, error) {
	if token, ok := t.look(k, g, w, least); ok {
		return token, nil
	}
	ctx = context.WithoutCancel(ctx)
	if t.redis != nil {
		return t.obtainShared(ctx, k, g, w, least, cause)
	}
	return t.mint(ctx, k, g, w, cause)
}

// find looks for a token of any step that fits.
func (t *Tokens) find(fields []byte, g *exchange.Grant, w *want, least time.Duration) (exchange.Token, bool) {
	var room [len(ladder) + 1]time.Duration
	for _, s := range w.steps(room[:0], g.Lifetime) {
		if token, ok := t.look(keyAt(fields, s), g, w, least); ok {
			return token, true
		}
	}
	return exchange.Token{}, false
}

// look looks at one key. The end beside the sealed bytes is believed only to save the opening.
func (t *Tokens) look(k key, g *exchange.Grant, w *want, least time.Duration) (exchange.Token, bool) {
	e, ok := t.memory.get(k)
	if !ok || !w.fits(e.expiry, w.now, least) {
		return exchange.Token{}, false
	}
	token, err := open(t.aead, &k, e.box, g)
	if err != nil {
		t.memory.drop(k)
		t.metrics.dropped.WithLabelValues(string(exchange.CacheMemory), dropUnopened).Inc()
		t.log.Warn("a cached token did not open under its key; it was dropped and will be minted anew", "error", err)
		return exchange.Token{}, false
	}
	token.Cache = exchange.CacheMemory
	return token, w.fits(token.TrueExpiry, w.now, least) && !t.gaveUp(g, &token)
}

// gaveUp reports whether g's client has given a token up. For others the token is as good as it was; what is minted for
// that client takes its place in the cache, so that giving up costs one mint.
func (t *Tokens) gaveUp(g *exchange.Grant, token *exchange.Token) bool {
	return t.ended != nil && t.ended(g.Client, token.SHA256)
}

// Close lets no more mints start, waits for those that run until ctx ends, and stops what runs in the background.
func (t *Tokens) Close(ctx context.Context) error {
	defer t.memory.close()
	return t.flights.drain(ctx)
}

func isUnavailable(err error) bool {
	var e *exchange.Error
	return errors.As(err, &e) && e.Code == exchange.CodeUnavailable
}

package databricks

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/outbound"
)

// Config is what a Minter is made of.
type Config struct {
	Settings

	// Signer signs assertions with ES256.
	Signer exchange.Signer
	// HTTP is a client of internal/outbound; one with 64 kB a response if it is left out. Settings.Timeout bounds each
	// mint, so the client's own timeout should not be shorter.
	HTTP *http.Client

	Now     func() time.Time // time.Now if it is left out
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Minter mints tokens by federation and by client secret.
type Minter struct {
	settings atomic.Pointer[Settings]
	signer   exchange.Signer
	http     *http.Client
	now      func() time.Time
	log      *slog.Logger
	metrics  metrics
	breakers breakers
}

var _ exchange.Minter = (*Minter)(nil)

// longestCall is the own bound of our client, above every sensible Settings.Timeout.
const longestCall = time.Minute

// New makes a Minter.
func New(c Config) (*Minter, error) {
	switch {
	case c.Signer == nil:
		return nil, errors.New("databricks.Config.Signer is missing")
	case c.Log == nil:
		return nil, errors.New("databricks.Config.Log is missing")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = outbound.New(outbound.Config{Timeout: longestCall, MaxBytes: maxAnswer})
	}
	m := &Minter{signer: c.Signer, http: c.HTTP, now: c.Now, log: c.Log, metrics: newMetrics(c.Metrics)}
	commit, err := m.Prepare(c.Settings)
	if err != nil {
		return nil, err
	}
	commit()
	return m, nil
}

// Prepare checks new settings, all faults at once. Nothing changes until commit is called, which can't fail; mints
// that are under way end with the settings they began with. Commit a new secret here before the policy that names its
// generation.
func (m *Minter) Prepare(s Settings) (commit func(), err error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("databricks: %w", err)
	}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	return func() { m.settings.Store(&s) }, nil
}

// Mint implements exchange.Minter.
func (m *Minter) Mint(ctx context.Context, id exchange.MintID, g exchange.Grant, until time.Time) (exchange.Token, error) {
	start := m.now()
	token, err := m.breakers.of(&g).run(func() (exchange.Token, error) { return m.mint(ctx, id, &g, until) })
	m.metrics.observe(g.Method, err, m.now().Sub(start))
	if err != nil {
		return exchange.Token{}, err
	}
	return token, nil
}

// mint makes one request.
func (m *Minter) mint(ctx context.Context, id exchange.MintID, g *exchange.Grant, until time.Time) (exchange.Token, error) {
	settings, sent := m.settings.Load(), m.now()
	bounded, cancel := context.WithTimeoutCause(ctx, settings.Timeout, outbound.ErrTimeout)
	defer cancel()

	source, err := m.source(bounded, settings, id, g, sent, until)
	if err != nil {
		return exchange.Token{}, fmt.Errorf("minting a Databricks token: %w", err)
	}
	reply := fetch(bounded, m.http, source)
	if reply.err != nil && ctx.Err() != nil {
		return exchange.Token{}, ctx.Err() // whoever asked is gone; Databricks is not to blame
	}
	answer, refused := reply.read(g, m.now())
	if refused != nil {
		m.alarm(ctx, g, refused)
		return exchange.Token{}, refused
	}
	end, refused := expiry(answer, g.Method, sent, until)
	if refused != nil {
		m.alarm(ctx, g, refused)
		return exchange.Token{}, refused
	}
	bound := exchange.BoundToken
	if g.Method == exchange.MethodClientSecret {
		bound = exchange.BoundServed
	}
	return exchange.Token{
		Text: answer.token, Scopes: g.Scopes, Details: g.Details, TrueExpiry: end, Bound: bound,
		Mint: id, SHA256: sha256.Sum256([]byte(answer.token.Reveal())), Cache: exchange.CacheMinted,
	}, nil
}

// alarm says in our own log what an operator must mend. That Databricks is not there is the callers' error to log.
func (m *Minter) alarm(ctx context.Context, g *exchange.Grant, e *exchange.Error) {
	if e.Code == exchange.CodeUpstream {
		m.log.ErrorContext(ctx, "Databricks does not mint for a principal", "principal", g.Principal, "workspace", g.Workspace,
			"method", string(g.Method), "reason", string(e.Reason), "error", e)
	}
}

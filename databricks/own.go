package databricks

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
)

// OwnConfig is what an Own is made of.
type OwnConfig struct {
	Minter   exchange.Minter
	Recorder exchange.Recorder
	// Grant is the principal's, by the policy that is in force.
	Grant func() (exchange.Grant, error)

	Now    func() time.Time // time.Now if it is left out
	Random io.Reader        // crypto/rand if it is left out
}

// Own is a principal of the policy that the service itself uses. Its token is minted by federation and recorded like any
// other, under a cause of its own, and kept until near its end; there is no secret.
type Own struct {
	c OwnConfig

	mu    sync.Mutex // held while a token is minted, so that there is one at a time
	grant exchange.Grant
	token exchange.Token
}

// NewOwn makes an Own.
func NewOwn(c OwnConfig) (*Own, error) {
	if c.Minter == nil || c.Recorder == nil || c.Grant == nil {
		return nil, errors.New("databricks.OwnConfig needs Minter, Recorder and Grant")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return &Own{c: c}, nil
}

// rest is what a token must have left to be used for another call.
const rest = 45 * time.Second

// Token returns a token that lives for a while, and the workspace's host that it is for. Its errors are *exchange.Error.
func (o *Own) Token(ctx context.Context) (token exchange.Secret, host string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, err := o.c.Grant()
	if err != nil {
		return "", "", exchange.Refuse(exchange.CodeInternal, exchange.ReasonInternal, "the policy in force has no such principal").Because(err)
	}
	if g.Method != exchange.MethodFederation {
		return "", "", exchange.Refuse(exchange.CodeInternal, exchange.ReasonInternal,
			"the principal is minted by %s; the service uses none but by federation", g.Method)
	}
	if o.fits(&g) {
		return o.token.Text, g.Host, nil
	}
	o.token = exchange.Token{}
	if o.token, err = o.mint(ctx, &g); err != nil {
		return "", "", exchange.AsError(err)
	}
	o.grant = g
	return o.token.Text, g.Host, nil
}

// Forget throws the token away: it was refused.
func (o *Own) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.token = exchange.Token{}
}

// fits reports whether the token is of the grant, and lives long enough.
func (o *Own) fits(g *exchange.Grant) bool {
	is := &o.grant
	return o.token.Text != "" && o.token.TrueExpiry.Sub(o.c.Now()) >= rest && is.Host == g.Host && is.ApplicationID == g.ApplicationID &&
		is.Details.JSON() == g.Details.JSON() && fmt.Sprint(is.Scopes) == fmt.Sprint(g.Scopes)
}

// mint asks for a token and records it. What can't be recorded is not used.
func (o *Own) mint(ctx context.Context, g *exchange.Grant) (exchange.Token, error) {
	started := o.c.Now()
	id, err := exchange.NewID(started, o.c.Random)
	if err != nil {
		return exchange.Token{}, err
	}
	until := started.Add(g.Lifetime).Truncate(time.Second)
	token, err := o.c.Minter.Mint(ctx, exchange.MintID(id), *g, until)
	event := &exchange.Mint{Cause: exchange.CauseExport, Grant: *g, Asked: until, Duration: o.c.Now().Sub(started)}
	if err != nil {
		event.Err = exchange.AsError(err)
	} else {
		event.Token = token
	}
	if rerr := o.c.Recorder.Record(ctx, &exchange.Event{ID: id, Time: started, Mint: event}); rerr != nil {
		return exchange.Token{}, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonAuditUnavailable,
			"the audit log can't be written, so no token is minted; ask again shortly").After(time.Second).Because(rerr)
	}
	return token, err
}

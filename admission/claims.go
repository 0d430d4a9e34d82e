package admission

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lakegate/sts/exchange"
)

// claimsKey is the ledger's entry of claims that clients have ended. It is over when the last of the tokens is.
const claimsKey = "revocations/claims"

// maxTries bounds how often others may be first.
const maxTries = 10

// errBusy is the answer where too many are first.
var errBusy = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable,
	"too many revoke at the same time, or the ledger is slow; ask again shortly").After(time.Second)

// claims are the tokens that each client has given up, by their SHA-256, with their true expiry in Unix seconds. Nobody
// changes them once they are in force.
type claims map[string]map[[sha256.Size]byte]int64

// ended does not look at the expiry: what is over is over, whether or not it still stands here.
func (c claims) ended(client string, token [sha256.Size]byte) bool {
	_, ended := c[client][token]
	return ended
}

// count counts those that have not expired.
func (c *claims) count(now time.Time) (n int) {
	if c == nil {
		return 0
	}
	for _, tokens := range *c {
		for _, until := range tokens {
			if until > now.Unix() {
				n++
			}
		}
	}
	return n
}

// drop forgets what has expired. Only those who have just read them may do that.
func (c claims) drop(now time.Time) {
	for client, tokens := range c {
		for token, until := range tokens {
			if until <= now.Unix() {
				delete(tokens, token)
			}
		}
		if len(tokens) == 0 {
			delete(c, client)
		}
	}
}

// last is when the last of them expires, first when the first of a client does.
func (c claims) last() (last int64) {
	for _, tokens := range c {
		for _, until := range tokens {
			last = max(last, until)
		}
	}
	return last
}

func (c claims) first(client string) (first int64) {
	for _, until := range c[client] {
		if first == 0 || until < first {
			first = until
		}
	}
	return first
}

// End implements exchange.Revocations. Its errors are *exchange.Error, the ledger's own, or ctx's.
func (r *Revocations) End(ctx context.Context, client string, token [sha256.Size]byte, until time.Time) error {
	if err := r.takeTurnSoon(ctx); err != nil {
		return err
	}
	defer r.endTurn()
	ctx = context.WithoutCancel(ctx) // whoever gives a token up and leaves has given it up
	for range maxTries {
		c, version, err := r.read(ctx)
		if err != nil {
			return err
		}
		now := r.now()
		c.drop(now)
		if c.ended(client, token) { // at another replica, since our last look
			r.install(c, 0)
			return nil
		}
		if len(c[client]) >= r.most {
			return exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited,
				"this client has revoked %d tokens that have not expired yet, and no more are remembered; use a token until its end, or revoke again when others have ended", r.most).
				After(max(time.Second, time.Unix(c.first(client), 0).Sub(now)))
		}
		if c[client] == nil {
			c[client] = map[[sha256.Size]byte]int64{}
		}
		c[client][token] = until.Unix()
		switch err := r.ledger.Put(ctx, claimsKey, c.encode(), version, time.Unix(c.last(), 0)); {
		case err == nil:
			r.install(c, 0)
			return nil
		case !errors.Is(err, exchange.ErrConflict):
			// It may be stored all the same, if only the answer was lost; then the next look finds it, which is no harm.
			return fmt.Errorf("writing what is revoked to the ledger: %w", err)
		}
	}
	return errBusy
}

// Look puts in force what the ledger has. Run calls it.
func (r *Revocations) Look(ctx context.Context) error {
	if err := r.takeTurn(ctx); err != nil {
		return err
	}
	defer r.endTurn()
	text, version, err := r.ledger.Get(ctx, claimsKey)
	if err == nil && (version == 0 || version != r.version) {
		var c claims
		if c, err = decodeClaims(text); err == nil {
			r.install(c, version)
		}
	}
	if err != nil {
		err = fmt.Errorf("reading what is revoked from the ledger: %w", err)
		r.fault.Store(&err)
		return err
	}
	r.fault.Store(nil)
	return nil
}

// read reads the ledger's list, for a change of it.
func (r *Revocations) read(ctx context.Context) (claims, uint64, error) {
	text, version, err := r.ledger.Get(ctx, claimsKey)
	if err != nil {
		return nil, 0, fmt.Errorf("reading what is revoked from the ledger: %w", err)
	}
	c, err := decodeClaims(text)
	if err != nil {
		return nil, 0, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable,
			"the ledger's list of revocations is damaged, so none can be added").After(time.Second).Because(err)
	}
	return c, version, nil
}

func (r *Revocations) install(c claims, version uint64) {
	r.version = version
	if len(c) == 0 {
		r.claims.Store(nil)
		return
	}
	r.claims.Store(&c)
}

func (r *Revocations) takeTurn(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeTurnSoon is takeTurn for whoever has somebody waiting for an answer.
func (r *Revocations) takeTurnSoon(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	err := r.takeTurn(soon)
	if err != nil && ctx.Err() == nil {
		return errBusy
	}
	return err
}

func (r *Revocations) endTurn() { <-r.turn }

// claimsDocument is the entry as it is written: by client, each token's hash in unpadded base64url, and its expiry.
type claimsDocument struct {
	Claims map[string]map[string]int64 `json:"claims"`
}

func (c claims) encode() []byte {
	d := claimsDocument{Claims: make(map[string]map[string]int64, len(c))}
	for client, tokens := range c {
		d.Claims[client] = make(map[string]int64, len(tokens))
		for token, until := range tokens {
			d.Claims[client][base64.RawURLEncoding.EncodeToString(token[:])] = until
		}
	}
	text, _ := json.Marshal(d) // strings and numbers always encode
	return text
}

// decodeClaims reads what encode wrote; no text is no claims.
func decodeClaims(text []byte) (claims, error) {
	c := claims{}
	if len(text) == 0 {
		return c, nil
	}
	var d claimsDocument
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("decoding the claims that clients have ended: %w", err)
	}
	for client, tokens := range d.Claims {
		c[client] = make(map[[sha256.Size]byte]int64, len(tokens))
		for text, until := range tokens {
			token, err := base64.RawURLEncoding.Strict().DecodeString(text)
			if err != nil || len(token) != sha256.Size {
				return nil, errors.New("decoding the claims that clients have ended: one is of no token")
			}
			c[client][[sha256.Size]byte(token)] = until
		}
	}
	return c, nil
}

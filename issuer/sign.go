package issuer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Signer = (*Issuer)(nil)

// state is what was last read of the ledger, opened. It is replaced whole.
type state struct {
	document document
	keys     map[string]*key
	jwks     []byte
	// read is when the ledger said so.
	read time.Time
}

func newState(d document, keys map[string]*key, read time.Time) (*state, error) {
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(d.Keys))}
	for _, r := range d.Keys {
		set.Keys = append(set.Keys, keys[r.ID].public)
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encoding the JWKS: %w", err)
	}
	return &state{document: d, keys: keys, jwks: jwks, read: read}, nil
}

// promised reports whether the key that signs stays published until then. A successor that we have not read of was
// made after we last read, so it signs publish_ahead later at the earliest, and our key leaves the JWKS a MaxLifetime
// after that.
func (s *state) promised(until time.Time, ahead time.Duration) bool {
	return !until.After(s.read.Add(ahead + MaxLifetime))
}

// Sign implements exchange.Signer: a compact JWS (ES256, typ JWT) of claims. until, the assertion's end, is at most
// MaxLifetime away.
func (i *Issuer) Sign(ctx context.Context, claims []byte, until time.Time) (exchange.Secret, error) {
	now := i.now()
	if until.After(now.Add(MaxLifetime)) {
		return "", fmt.Errorf("an assertion that is valid for more than %v is not signed: its key might be gone by then", MaxLifetime)
	}
	s := i.state.Load()
	if !s.promised(until, i.ahead) {
		if err := i.Advance(ctx); err != nil {
			i.log.WarnContext(ctx, "reading the signing keys anew failed", "error", err)
		}
		if s = i.state.Load(); !s.promised(until, i.ahead) {
			return "", exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable,
				"the ledger has been out of reach for so long that the signing key may have been replaced; ask again").After(time.Second)
		}
	}
	key := s.keys[s.document.Keys[s.document.current(now)].ID]
	jws, err := key.signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("signing an assertion with the key %s: %w", key.id, err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("writing an assertion: %w", err)
	}
	return exchange.Secret(text), nil
}

// JWKS is the published key set (RFC 7517 §5), public halves only: the key that signs, the one that will, and those
// whose assertions may still be valid. Nobody changes these bytes.
func (i *Issuer) JWKS() []byte { return i.state.Load().jwks }

// Algorithms are those that assertions are signed with, as JWA names.
func (*Issuer) Algorithms() []string { return []string{string(algorithm)} }

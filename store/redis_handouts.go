package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lakegate/sts/exchange"
)

// A hand-out stands in Redis twice: under token and client, with all that is known of it, and under the token alone, so
// that a replica can tell a token of others from one that nobody handed out. Both are sealed with their names as
// associated data, and end with the token.

// maxHandout bounds what is read of a hand-out: scopes and two names, of bounded length.
const maxHandout = 64 << 10

// sharedHandout is a hand-out as it is sealed; under the token alone it has its end and nothing else.
type sharedHandout struct {
	Expiry   int64           `json:"exp"`
	IssuedAt int64           `json:"iat,omitempty"`
	Scopes   []string        `json:"scopes,omitempty"`
	Subject  *exchange.Party `json:"sub,omitempty"`
	Actor    *exchange.Party `json:"act,omitempty"`
}

// names are where a hand-out stands: under token and client, and under the token alone. The digits of neither can be had
// without the token.
func (h *handout) names() [2]string {
	name := func(client string) string {
		fields := appendField(appendField(nil, "sts handout 1"), string(h.token[:]))
		k := key(sha256.Sum256(appendField(fields, client)))
		return redisPrefix + "handout:" + k.text()
	}
	return [2]string{name(h.client), name("")}
}

// share tells the other replicas of a hand-out.
func (h *Handouts) share(ctx context.Context, one handout, made *exchange.Handout) error {
	life := exchange.Rest(made.Expiry, h.now())
	if life <= 0 {
		return nil
	}
	whole := sharedHandout{Expiry: made.Expiry.Unix(), Scopes: made.Scopes, Subject: made.Subject, Actor: made.Actor}
	if !made.IssuedAt.IsZero() {
		whole.IssuedAt = made.IssuedAt.Unix()
	}
	names := one.names()
	var boxes [len(names)][]byte
	for i, part := range []sharedHandout{whole, {Expiry: whole.Expiry}} {
		plain, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("encoding a hand-out: %w", err)
		}
		if boxes[i], err = h.aead.Encrypt(plain, []byte(names[i])); err != nil {
			return fmt.Errorf("sealing a hand-out: %w", err)
		}
	}
	return h.redis.call(ctx, "note", func(ctx context.Context) error {
		pipe := h.redis.client.Pipeline()
		for i, name := range names {
			pipe.Set(ctx, name, boxes[i], life)
		}
		_, err := pipe.Exec(ctx)
		return err
	})
}

// ask looks into Redis for a hand-out.
func (h *Handouts) ask(ctx context.Context, one handout) (found *exchange.Handout, others bool, err error) {
	names := one.names()
	boxes, err := h.redis.values(ctx, "find", names[:], maxHandout)
	if err != nil {
		return nil, false, err
	}
	var parts [len(names)]*sharedHandout
	for i, box := range boxes {
		if box == nil {
			continue
		}
		if parts[i], err = h.open(names[i], box); err != nil {
			// As good as not there: whoever can change it can delete it too.
			h.log.WarnContext(ctx, "a hand-out in redis did not open under its own name; it is not believed: was it changed, or "+
				"does another replica have another store.keyset_file?", "error", err)
		}
	}
	if parts[0] == nil {
		return nil, parts[1] != nil, nil
	}
	return parts[0].handout(), false, nil
}

func (h *Handouts) open(name string, box []byte) (*sharedHandout, error) {
	plain, err := h.aead.Decrypt(box, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("opening a hand-out: %w", err)
	}
	s := new(sharedHandout)
	if err := json.Unmarshal(plain, s); err != nil || s.Expiry == 0 {
		return nil, errors.New("a hand-out is not what it was sealed as")
	}
	return s, nil
}

func (s *sharedHandout) handout() *exchange.Handout {
	h := &exchange.Handout{Expiry: time.Unix(s.Expiry, 0).UTC(), Scopes: s.Scopes, Subject: s.Subject, Actor: s.Actor}
	if s.IssuedAt != 0 {
		h.IssuedAt = time.Unix(s.IssuedAt, 0).UTC()
	}
	return h
}

package store

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lakegate/sts/exchange"
)

const (
	// lockLife is how long a key waits for a replica that died while it minted.
	lockLife = 2 * time.Second
	// leastPoll and mostPoll bound the wait between two looks for what another replica mints.
	leastPoll, mostPoll = 5 * time.Millisecond, 50 * time.Millisecond
	// maxBox bounds what is read of an entry; a token has 16 KiB at most.
	maxBox = 20 << 10
)

// obtainShared is obtain where replicas share a Redis: what another has minted is taken, what another is minting is
// waited for, and only then it is minted here, and shared. From the first call of Redis that fails on, it goes on
// without, so that Redis costs a flight one time-out at most.
func (t *Tokens) obtainShared(ctx context.Context, k key, g *exchange.Grant, w *want, least time.Duration, cause exchange.MintCause) (exchange.Token, error) {
	patience := time.NewTimer(t.timeout) // no mint takes longer
	defer patience.Stop()
	token, ok, err := t.fetch(ctx, g, w, least)
	for waiting := true; waiting && !ok && err == nil; {
		var unlock func()
		var locked bool
		if unlock, locked, err = t.redis.TryLock(ctx, k.text(), lockLife); err != nil {
			break
		}
		// Whoever held the lock may have shared its token just before it gave it up.
		token, ok, err = t.fetch(ctx, g, w, least)
		if locked {
			defer unlock()
			break
		}
		waiting = pause(patience)
	}
	if ok {
		return token, nil
	}
	token, mintErr := t.mint(ctx, k, g, w, cause)
	if e, kept := t.memory.get(k); err == nil && mintErr == nil && kept {
		_ = t.redis.putEntry(ctx, &k, e.box, exchange.Rest(e.expiry, t.now())-margin) // Health tells
	}
	return token, mintErr
}

// pause waits a moment, not the same for all, and reports whether there is patience left.
func pause(patience *time.Timer) bool {
	moment := time.NewTimer(leastPoll + rand.N(mostPoll-leastPoll)) //nolint:gosec // it spreads load and guards nothing
	defer moment.Stop()
	select {
	case <-moment.C:
		return true
	case <-patience.C:
		return false
	}
}

// fetch looks into Redis for a token that fits. All that opens is kept in memory, whether it fits or not: it may do while
// minting is unavailable.
//
// It looks with the clock of this moment: a replica whose flight started a little later mints a token that ends a little
// later. Whether that is too late for those who wait here is asked of each of them.
func (t *Tokens) fetch(ctx context.Context, g *exchange.Grant, w *want, least time.Duration) (token exchange.Token, ok bool, err error) {
	moved := *w
	moved.now = t.now()
	var room [len(ladder) + 1]time.Duration
	steps := w.steps(room[:0], g.Lifetime)
	keys, names := make([]key, len(steps)), make([]string, len(steps))
	fields := appendGrant(nil, g)
	for i, s := range steps {
		keys[i] = keyAt(fields, s)
		names[i] = entryKey(&keys[i])
	}
	boxes, err := t.redis.values(ctx, "get", names, maxBox)
	for i, box := range boxes {
		if box == nil {
			continue
		}
		found, openErr := open(t.aead, &keys[i], box, g)
		if openErr != nil || exchange.Rest(found.TrueExpiry, moved.now) <= 0 {
			t.countDrop(ctx, openErr)
			if err == nil { // no second call after one that failed
				err = t.redis.dropEntry(ctx, &keys[i], box)
			}
			continue
		}
		if e, has := t.memory.get(keys[i]); !has || e.expiry.Before(found.TrueExpiry) || t.gaveUpEntry(&keys[i], e, g) {
			t.memory.put(keys[i], entry{expiry: found.TrueExpiry, box: box})
		}
		if !ok && moved.fits(found.TrueExpiry, moved.now, least) && !t.gaveUp(g, &found) {
			token, ok = found, true
			token.Cache = exchange.CacheRedis
		}
	}
	return token, ok, err
}

// countDrop tells of an entry of Redis that did not open; nil is for one that did, and that Redis should have dropped itself
// long before.
func (t *Tokens) countDrop(ctx context.Context, unopened error) {
	if unopened == nil {
		t.metrics.dropped.WithLabelValues(string(exchange.CacheRedis), dropStale).Inc()
		t.log.WarnContext(ctx, "a token in redis has expired; it was dropped and will be minted anew: was it put back, or is a clock wrong?")
		return
	}
	t.metrics.dropped.WithLabelValues(string(exchange.CacheRedis), dropUnopened).Inc()
	t.log.WarnContext(ctx, "a token in redis did not open under its key; it was dropped and will be minted anew: was it changed, or "+
		"does another replica have another store.keyset_file?", "error", unopened)
}

// gaveUpEntry is gaveUp for a token that is sealed.
func (t *Tokens) gaveUpEntry(k *key, e entry, g *exchange.Grant) bool {
	if t.ended == nil {
		return false
	}
	token, err := open(t.aead, k, e.box, g)
	return err == nil && t.gaveUp(g, &token)
}

func (k *key) text() string { return hex.EncodeToString(k[:]) }

func entryKey(k *key) string { return redisPrefix + "token:" + k.text() }

// values reads what stands under the names, in one round trip; nil where there is nothing. What can't be a sealed value,
// or is longer than most, is there as bytes that don't open.
func (r *Redis) values(ctx context.Context, operation string, names []string, most int64) (boxes [][]byte, err error) {
	err = r.call(ctx, operation, func(ctx context.Context) error {
		pipe := r.client.Pipeline()
		for _, name := range names {
			// Not GET: somebody may have put anything there, and it is read whole.
			pipe.GetRange(ctx, name, 0, most)
		}
		answers, err := pipe.Exec(ctx)
		if err != nil && len(answers) != len(names) {
			return err
		}
		boxes = make([][]byte, len(names))
		for i, answer := range answers {
			switch text, err := answer.(*redis.StringCmd).Bytes(); {
			case isWrongType(err):
				boxes[i] = []byte{}
			case err != nil:
				return err
			case len(text) > 0:
				boxes[i] = text
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return boxes, nil
}

// putEntry shares a sealed token for as long as it is of use.
func (r *Redis) putEntry(ctx context.Context, k *key, box []byte, life time.Duration) error {
	if life <= 0 || len(box) > maxBox {
		return nil // a life of nothing would be one without an end
	}
	return r.call(ctx, "set", func(ctx context.Context) error { return r.client.Set(ctx, entryKey(k), box, life).Err() })
}

// dropEntry removes what did not open, but not what another replica may have put in its place.
func (r *Redis) dropEntry(ctx context.Context, k *key, box []byte) error {
	return r.call(ctx, "drop", func(ctx context.Context) error {
		if len(box) == 0 || len(box) > maxBox {
			return r.client.Del(ctx, entryKey(k)).Err()
		}
		return deleteIfStill.Run(ctx, r.client, []string{entryKey(k)}, box).Err()
	})
}

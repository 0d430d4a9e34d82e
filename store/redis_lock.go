package store

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Locker = (*Redis)(nil)

// TryLock implements exchange.Locker. The lock is a key that ends by itself, and is made longer while it is held.
func (r *Redis) TryLock(ctx context.Context, name string, ttl time.Duration) (unlock func(), ok bool, err error) {
	l := &lock{redis: r, key: redisPrefix + "lock:" + name, holder: rand.Text(), ttl: ttl, done: make(chan struct{})}
	err = r.call(ctx, "lock", func(ctx context.Context) (err error) {
		ok, err = r.client.SetNX(ctx, l.key, l.holder, ttl).Result()
		return err
	})
	switch {
	case errors.Is(err, errRedisResting):
		return nil, false, err
	case err != nil:
		// It may have been set all the same, and nobody would wait for anything.
		r.holding.Go(l.release)
		return nil, false, err
	case !ok:
		return nil, false, nil
	}
	r.holding.Go(l.hold)
	return sync.OnceFunc(func() { close(l.done) }), true, nil
}

// lock is one that this process holds, or may hold.
type lock struct {
	redis  *Redis
	key    string
	holder string // tells our lock from the next one of that name
	ttl    time.Duration
	done   chan struct{}
}

// hold keeps the lock until it is done with. Where that fails the lock ends early, and the work may be done twice.
func (l *lock) hold() {
	beat := time.NewTicker(l.ttl / 4)
	defer beat.Stop()
	for {
		select {
		case <-l.done:
			l.release()
			return
		case <-beat.C:
			_ = l.redis.call(context.Background(), "extend", func(ctx context.Context) error {
				return extendIfStill.Run(ctx, l.redis.client, []string{l.key}, l.holder, l.ttl.Milliseconds()).Err()
			})
		}
	}
}

// release gives the lock back. Nobody waits for it, so it tries for as long as the lock could last, or until Close.
func (l *lock) release() {
	again := time.NewTicker(l.ttl / 8)
	defer again.Stop()
	for end := time.Now().Add(l.ttl); ; {
		err := l.redis.call(context.Background(), "unlock", func(ctx context.Context) error {
			return deleteIfStill.Run(ctx, l.redis.client, []string{l.key}, l.holder).Err()
		})
		if err == nil || !time.Now().Before(end) {
			return
		}
		select {
		case <-again.C:
		case <-l.redis.closing:
			return
		}
	}
}

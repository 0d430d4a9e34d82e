package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"

	"github.com/lakegate/sts/exchange"
)

// Everything of ours stands under this prefix; the number is that of the layout (docs/redis.md).
const redisPrefix = "sts:1:"

const (
	// defaultRedisTimeout is how long one call of Redis may take, dialing included.
	defaultRedisTimeout = 50 * time.Millisecond
	// tripAfter is how many calls in a row may fail before Redis is left alone.
	tripAfter = 3
	// restTime is how long it is left alone before a single call tries again.
	restTime = 500 * time.Millisecond
	// probeInterval is how often Redis is asked whether it lives, so that it is found again without a request.
	probeInterval = time.Second
	// faultMemory is how long a call that failed shows in Health: a disk that is full fails now and then, and not always.
	faultMemory = 5 * time.Second
)

// RedisConfig is what a Redis is made of. Address and Log are needed.
type RedisConfig struct {
	// Address is host:port.
	Address string
	// Username and Password are those of an ACL user; both may be empty.
	Username string
	Password exchange.Secret
	// TLS is nil for a connection in the clear.
	TLS *tls.Config
	// Timeout bounds one call, dialing included. [50 ms]
	Timeout time.Duration

	Log *slog.Logger
	// Metrics may be nil: then none are kept.
	Metrics prometheus.Registerer
	// Now is the clock. [time.Now]
	Now func() time.Time
}

// Redis is what replicas share. Nothing in it is trusted, and nothing of it is needed: whoever asks it must have a way
// without. No call takes longer than the time-out, and after a few that failed none is made for a while.
type Redis struct {
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[struct{}]
	timeout time.Duration
	now     func() time.Time
	metrics *redisMetrics

	holding sync.WaitGroup // what works for locks
	closing chan struct{}  // closed when they should come to an end
	once    sync.Once

	mu     sync.Mutex
	fault  error // of the last call that failed
	failed time.Time
}

// NewRedis makes a Redis. It dials nobody: a Redis that is down when the service starts is no different from one that
// goes down later. Close it.
func NewRedis(c RedisConfig) (*Redis, error) {
	if c.Address == "" || c.Log == nil {
		return nil, errors.New("store.RedisConfig.Address and Log are needed")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultRedisTimeout
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("store.RedisConfig.Timeout is %v; it must be longer than nothing", c.Timeout)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	logging.Disable() // it writes to stderr by itself, for the whole process; we log what matters
	r := &Redis{timeout: c.Timeout, now: c.Now, closing: make(chan struct{})}
	r.client = redis.NewClient(&redis.Options{
		Addr: c.Address, Username: c.Username, Password: c.Password.Reveal(), TLSConfig: c.TLS,
		// Its own defaults wait up to 24 s for a Redis that hangs.
		DialTimeout: c.Timeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout,
		ContextTimeoutEnabled: true, DialerRetries: 1,
		// A call that is sent twice may find its own lock taken. The breaker and the callers' way without do for retries.
		MaxRetries: -1,
		// What a user with the least rights may not send (docs/redis.md).
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	r.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     restTime,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= tripAfter },
		IsExcluded:  func(err error) bool { return errors.As(err, new(*gaveUpError)) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
				c.Log.Warn("redis does not answer; tokens are minted without it until it does", "error", r.lastFault())
			case to == gobreaker.StateClosed:
				c.Log.Info("redis answers again")
			}
		},
	})
	var err error
	r.metrics, err = newRedisMetrics(c.Metrics, func() float64 { return float64(r.breaker.State()) })
	return r, err
}

// Close gives back the locks that are left, trying once, and ends the connections. It may be called again.
func (r *Redis) Close() error {
	r.once.Do(func() { close(r.closing) })
	r.holding.Wait()
	return r.client.Close()
}

// Run asks Redis once a second whether it lives, until ctx ends.
func (r *Redis) Run(ctx context.Context) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		_ = r.probe(ctx) // Health tells
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Health is why Redis is of no use, or was a moment ago; nil if all is well.
func (r *Redis) Health() error {
	if r.breaker.State() == gobreaker.StateClosed {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fault == nil || r.now().Sub(r.failed) >= faultMemory {
			return nil
		}
		return fmt.Errorf("redis failed a moment ago: %w", r.fault)
	}
	return fmt.Errorf("redis is left alone until it answers; each replica keeps and mints its own tokens: %w", r.lastFault())
}

func (r *Redis) lastFault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

// errRedisResting is the answer while the breaker is open: nothing was asked.
var errRedisResting = errors.New("redis has failed and is left alone for a moment")

// gaveUpError is that of a call whose caller went away or ran out of time. It says nothing of Redis: callers with short
// deadlines must not make the others do without it.
type gaveUpError struct{ error }

func (e *gaveUpError) Unwrap() error { return e.error }

// gaveUp is why a caller waits no more, nil while he does. A connection's deadline is the context's, and may be noticed first.
func gaveUp(ctx context.Context) error {
	if deadline, has := ctx.Deadline(); has && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// call makes one call of Redis in bounded time, or none while it is left alone. do returns an error only for what says
// that Redis is of no use; an answer that is merely unwelcome is for do to keep.
func (r *Redis) call(ctx context.Context, operation string, do func(ctx context.Context) error) error {
	_, err := r.breaker.Execute(func() (struct{}, error) {
		bounded, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		started := time.Now() // a duration, and no validity hangs on it
		err := do(bounded)
		r.metrics.seconds.WithLabelValues(operation).Observe(time.Since(started).Seconds())
		switch {
		case err != nil && gaveUp(ctx) != nil:
			err = &gaveUpError{gaveUp(ctx)}
		case err != nil:
			r.mu.Lock()
			r.fault, r.failed = fmt.Errorf("%s: %w", operation, err), r.now()
			r.mu.Unlock()
		}
		return struct{}{}, err
	})
	switch {
	case err == nil:
		r.metrics.calls.WithLabelValues(operation, "ok").Inc()
		return nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		r.metrics.calls.WithLabelValues(operation, "skipped").Inc()
		return errRedisResting
	case errors.As(err, new(*gaveUpError)):
		r.metrics.calls.WithLabelValues(operation, "left").Inc()
		return fmt.Errorf("calling redis: %s: %w", operation, err)
	}
	r.metrics.calls.WithLabelValues(operation, "failed").Inc()
	return fmt.Errorf("calling redis: %s: %w", operation, err)
}

// isWrongType reports whether a key holds something that is no text: not ours.
func isWrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// deleteIfStill deletes a key that still has that value: a lock that is ours, an entry that did not open.
var deleteIfStill = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// extendIfStill gives a key that still has that value so many milliseconds more.
var extendIfStill = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end return 0`)

type redisMetrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newRedisMetrics(reg prometheus.Registerer, state func() float64) (*redisMetrics, error) {
	m := &redisMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sts_redis_calls_total", Help: "Calls of Redis by operation, and result: ok, failed, skipped while it is left alone, or left by its caller.",
		}, []string{"operation", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sts_redis_seconds", Help: "How long calls of Redis took, by operation.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1},
		}, []string{"operation"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.calls, m.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sts_redis_breaker_state", Help: "0: Redis is asked. 1: one call tries whether it is back. 2: it is left alone.",
	}, state)} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of redis: %w", err)
		}
	}
	return m, nil
}

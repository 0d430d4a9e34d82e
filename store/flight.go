package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/lakegate/sts/exchange"
)

// flight is work that several callers wait for. Nobody of them can cancel it.
type flight struct {
	done  chan struct{}
	token exchange.Token
	err   error
}

// wait waits for the result, or until ctx ends: then the flight goes on without this caller.
func (f *flight) wait(ctx context.Context) (exchange.Token, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return exchange.Token{}, ctx.Err()
	}
}

// flights are those in the air, at most one per key.
type flights struct {
	mu     sync.Mutex
	air    map[key]*flight
	closed bool
}

// join returns the flight of k. Where none is in the air it starts one that does work; nil if no more may start. Work
// that succeeds must have stored its result before it returns, so that whoever comes next finds that or this.
func (fs *flights) join(k key, work func() (exchange.Token, error)) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.air[k]; f != nil {
		return f
	}
	if fs.closed {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	if fs.air == nil {
		fs.air = make(map[key]*flight)
	}
	fs.air[k] = f
	go func() {
		defer fs.land(k, f)
		f.token, f.err = work()
	}()
	return f
}

// land hands the result to those who wait. A panic must reach them as an error: they would wait for ever, and the
// process would end.
func (fs *flights) land(k key, f *flight) {
	if p := recover(); p != nil {
		f.token, f.err = exchange.Token{}, fmt.Errorf("panic while obtaining a token: %v\n%s", p, debug.Stack())
	}
	fs.mu.Lock()
	delete(fs.air, k)
	fs.mu.Unlock()
	close(f.done)
}

// drain lets no more start and waits until all have landed.
func (fs *flights) drain(ctx context.Context) error {
	for {
		fs.mu.Lock()
		fs.closed = true
		var last *flight
		for _, f := range fs.air {
			last = f
			break
		}
		inAir := len(fs.air)
		fs.mu.Unlock()
		if last == nil {
			return nil
		}
		select {
		case <-last.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d mints to end: %w", inAir, ctx.Err())
		}
	}
}

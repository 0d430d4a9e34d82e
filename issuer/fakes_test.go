package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
)

var errAway = errors.New("away")

// memoryLedger is a ledger of one entry that can be away.
type memoryLedger struct {
	mu      sync.Mutex
	value   []byte
	version uint64
	away    bool
}

func (l *memoryLedger) Get(context.Context, string) ([]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, 0, errAway
	}
	return l.value, l.version, nil
}

func (l *memoryLedger) Put(_ context.Context, _ string, value []byte, version uint64, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.away:
		return errAway
	case version != l.version:
		return exchange.ErrConflict
	}
	l.value, l.version = value, l.version+1
	return nil
}

func (l *memoryLedger) setAway(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

func (l *memoryLedger) isAway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

func (l *memoryLedger) wipe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value, l.version = nil, 0
}

func (l *memoryLedger) replace(change func([]byte) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value, l.version = change(l.value), l.version+1
}

func (l *memoryLedger) dump() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.version, string(l.value))
}

// recorder keeps events, and can be away.
type recorder struct {
	mu     sync.Mutex
	events []exchange.Event
	away   bool
}

func (r *recorder) Record(_ context.Context, e *exchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return errAway
	}
	r.events = append(r.events, *e)
	return nil
}

func (r *recorder) RecordFailure(exchange.Failure) string { return "" }

func (r *recorder) setAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *recorder) all() []exchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]exchange.Event(nil), r.events...)
}

func (r *recorder) actions() (list []string) {
	for _, e := range r.all() {
		list = append(list, e.Admin.Action+" "+e.Admin.Object)
	}
	return list
}

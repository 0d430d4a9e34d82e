package store

import (
	"sync"
	"time"
)

const (
	// maxBackoff bounds the wait between background attempts that fail.
	maxBackoff = 30 * time.Second
	// stale is when a failure no longer says anything: nobody has tried since.
	stale = 2 * maxBackoff
)

// failures remember, per key, that minting has just failed. They hold nobody back who waits for a token: they pace
// what is tried in the background, and say whether minting is unavailable.
type failures struct {
	mu sync.Mutex
	of map[key]failure
}

type failure struct {
	count       int
	at          time.Time
	unavailable bool
}

// note counts a failed attempt; unavailable says that the fault is passing, and not the grant's.
func (fs *failures) note(k key, now time.Time, unavailable bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.of == nil {
		fs.of = make(map[key]failure)
	}
	if f, ok := fs.of[k]; ok || len(fs.of) < 1000 {
		fs.of[k] = failure{count: f.count + 1, at: now, unavailable: unavailable}
		return
	}
	// Forgetting is harmless: at worst something is tried a little earlier.
	for other, f := range fs.of {
		if now.Sub(f.at) > stale {
			delete(fs.of, other)
		}
	}
	if len(fs.of) >= 1000 {
		clear(fs.of)
	}
	fs.of[k] = failure{count: 1, at: now, unavailable: unavailable}
}

// forget is called after a success.
func (fs *failures) forget(k key) {
	fs.mu.Lock()
	delete(fs.of, k)
	fs.mu.Unlock()
}

// mayRetry reports whether a background attempt is due: 1 s after the first failure, then 2, 4, … up to maxBackoff.
func (fs *failures) mayRetry(k key, now time.Time) bool {
	f, failing := fs.get(k)
	if !failing {
		return true
	}
	wait := min(time.Second<<min(f.count-1, 10), maxBackoff)
	// A clock that was set back must not stop renewals until it has caught up.
	return now.Before(f.at) || now.Sub(f.at) >= wait
}

// unavailable reports whether minting is unavailable, as far as we know from the last attempt.
func (fs *failures) unavailable(k key, now time.Time) bool {
	f, failing := fs.get(k)
	return failing && f.unavailable && now.Sub(f.at) < stale
}

func (fs *failures) get(k key) (failure, bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f, ok := fs.of[k]
	return f, ok
}

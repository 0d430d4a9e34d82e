package store

import (
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	// margin is the least rest of a token that is worth handing out: Azure Databricks refuses tokens within 30 s of their end.
	margin = 45 * time.Second
	// comfort is the rest that a long-lived token keeps for whoever gets it.
	comfort = 5 * time.Minute
	// renewable is the shortest life that is renewed ahead of need; shorter ones would be minted all the time.
	renewable = 10 * time.Minute
	// maxWindow bounds how long before its fitness ends a token is renewed.
	maxWindow = 2 * time.Minute
	// maxMintTimeout leaves the shortest token, which lives a minute less the fraction of a second, with its margin.
	maxMintTimeout = 14 * time.Second
)

// ladder are the lives that bounded tokens are minted with, so that subjects with every possible rest share a few.
var ladder = [...]time.Duration{
	60 * time.Minute, 30 * time.Minute, 15 * time.Minute, 10 * time.Minute, 5 * time.Minute, 2 * time.Minute, time.Minute,
}

// step is the life of a mint for somebody who may use a token for that long: all of it if that is the rule's own
// lifetime, else the largest step within; 0 where the shortest is too long.
func step(limit, own time.Duration) time.Duration {
	if limit == own {
		return own
	}
	for _, s := range ladder {
		if s <= limit {
			return s
		}
	}
	return 0
}

// want is what one caller can use of one grant, as seen at one moment.
type want struct {
	now time.Time
	// limit is L: how long it may use a token. Whole seconds, unless it is policy's.
	limit time.Duration
	// served says that the token itself can't be bounded, only what is served of it.
	served bool
	// step is M, the life that is minted; 0 where it is served, and where nothing is short enough.
	step time.Duration
	// least is the rest that a cached token needs.
	least time.Duration
}

func newWant(g *exchange.Grant, limit time.Duration, notAfter, now time.Time) want {
	w := want{now: now, limit: min(limit, exchange.Rest(notAfter, now)), served: g.Method != exchange.MethodFederation}
	life := w.limit
	if !w.served {
		w.step = step(w.limit, g.Lifetime)
		life = w.step
	}
	w.least = max(margin, min(life/2, comfort))
	return w
}

// steps appends the steps whose tokens may fit, the likeliest first: w's own, the rule's lifetime, then the ladder.
func (w *want) steps(s []time.Duration, own time.Duration) []time.Duration {
	if w.served {
		return append(s, 0)
	}
	if w.step > 0 {
		s = append(s, w.step)
	}
	if own != w.step {
		s = append(s, own)
	}
	for _, other := range ladder {
		if other != w.step && other != own {
			s = append(s, other)
		}
	}
	return s
}

// end is the latest true expiry of a bounded token for this caller.
func (w *want) end() time.Time { return w.now.Add(w.limit) }

// until is the end to ask Databricks for: whole seconds, rounded down, fixed now, so that a slow mint can't stretch it.
func (w *want) until() time.Time {
	life := w.step
	if w.served {
		life = w.limit
	}
	return w.now.Add(life).Truncate(time.Second)
}

// at is the same want with the same end, seen from a later moment.
func (w want) at(now time.Time) want {
	w.limit -= max(0, now.Sub(w.now))
	w.now = now
	return w
}

// fits reports whether a token that ends at expiry may go to this caller, with at least that rest now.
func (w *want) fits(expiry, now time.Time, least time.Duration) bool {
	end := w.end()
	if now.Before(w.now) {
		end = now.Add(w.limit) // the clock was set back while a mint was under way, and the end with it
	}
	return exchange.Rest(expiry, now) >= least && (w.served || !expiry.After(end))
}

// ahead reports whether a token with that rest should be renewed in the background: soon, or it won't fit any more.
// The moment differs from token to token, so that tokens minted together are not renewed together.
func (w *want) ahead(rest time.Duration, jitter byte) bool {
	if !w.served && w.step < renewable {
		return false
	}
	window := min(max(w.step, renewable)/10, maxWindow)
	window -= window / 2 * time.Duration(jitter) / 256
	return rest < w.least+window
}

package identity

import (
	"fmt"
	"sync"
	"time"

	"github.com/lakegate/sts/identity/internal/clocks"
	"github.com/lakegate/sts/identity/internal/refresh"
)

// skew is what is known of how far a provider's clock is ahead of ours. There are two witnesses. The Date of an answer
// tells where the clock of the server that wrote it is, to the second. A token whose iat is ahead of our clock proves that
// the clock it was stamped by is ahead by no less; nothing in a token proves that a clock is behind, since an iat of the
// past is what tokens have.
type skew struct {
	date clocks.Reading

	mu     sync.Mutex
	tokens [2]lead // of the stretch that goes on, and of the one before it
}

// lead is how far the iat of the tokens of one stretch was ahead at most.
type lead struct {
	begun time.Time
	most  time.Duration
	seen  bool
}

// stretch is half of how long a token's proof is remembered at least, so that a clock that was mended is soon believed.
const stretch = 5 * time.Minute

// agreed is up to what difference two clocks agree: a Date has whole seconds, and takes its time to get here.
const agreed = 2 * time.Second

// byDate is what the last answer said.
func (s *skew) byDate() (ahead time.Duration, known bool) {
	if ahead := s.date.Ahead(); ahead != nil {
		return *ahead, true
	}
	return 0, false
}

// issued takes note of a token that is proven to be the provider's.
func (s *skew) issued(at, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	current := &s.tokens[0]
	if ahead := at.Sub(now); !current.seen || ahead > current.most {
		current.most, current.seen = ahead, true
	}
}

// byTokens is how far the clock is ahead at least, as the tokens of the last minutes prove: never less than zero, which
// proves nothing. It is unknown where there were none.
func (s *skew) byTokens(now time.Time) (atLeast time.Duration, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	for _, l := range s.tokens {
		if l.seen {
			atLeast, known = max(atLeast, l.most), true
		}
	}
	return atLeast, known
}

// turn begins a new stretch where the last is over, also where our clock was set back; s.mu is held.
func (s *skew) turn(now time.Time) {
	if refresh.Within(s.tokens[0].begun.Add(stretch), now, stretch) {
		return
	}
	before := lead{}
	if refresh.Within(s.tokens[0].begun.Add(2*stretch), now, 2*stretch) {
		before = s.tokens[0]
	}
	s.tokens = [2]lead{{begun: now}, before}
}

// inWords tells of the provider's clock by its Date, "" where that isn't known.
func (s *skew) inWords() string {
	ahead, known := s.byDate()
	switch {
	case !known:
		return ""
	case ahead >= agreed:
		return fmt.Sprintf("the provider's clock is %d s ahead of ours", seconds(ahead))
	case ahead <= -agreed:
		return fmt.Sprintf("the provider's clock is %d s behind ours", seconds(-ahead))
	}
	return "the provider's clock agrees with ours"
}

package main

import (
	"fmt"
	"slices"
	"time"
)

// clockReading is how far a provider's clock is ahead of ours, and how far it may be.
type clockReading struct{ ahead, leeway time.Duration }

const (
	// sameTime is up to what difference two clocks agree: a Date has whole seconds, and takes its time to get here.
	sameTime = 2 * time.Second
	// ownClock is from what difference on our own clock is wrong, if the providers agree.
	ownClock = 5 * time.Second
)

// judgeClocks finds whose clock is wrong. Where several providers are ahead of us by the same, it is ours: then that is
// the fault, and each is judged by what the others say.
func judgeClocks(clocks map[string]clockReading) (ours []finding, judged map[string]finding) {
	median := medianOf(clocks)
	agreeing := 0
	for _, c := range clocks {
		if (c.ahead - median).Abs() <= sameTime {
			agreeing++
		}
	}
	wrong := len(clocks) > 1 && 2*agreeing > len(clocks) && median.Abs() >= ownClock
	switch {
	case wrong:
		ours = []finding{{Part: "clock", Text: fmt.Sprintf(
			"%d of %d providers agree on a time that is %s ours, so it is our own clock that is wrong; set it, by NTP", agreeing, len(clocks), beside(median))}}
	case len(clocks) > 1 && 2*agreeing > len(clocks):
		ours = []finding{{Part: "clock", OK: true, Text: fmt.Sprintf("it agrees with the clocks of %d of %d providers", agreeing, len(clocks))}}
	}
	judged = map[string]finding{}
	for name, c := range clocks {
		judged[name] = judgeClock(name, c, median, wrong)
	}
	return ours, judged
}

func judgeClock(name string, c clockReading, median time.Duration, oursIsWrong bool) finding {
	f := finding{Provider: name, Part: "clock", OK: true}
	switch {
	case oursIsWrong && (c.ahead-median).Abs() <= sameTime:
		f.Text = "it agrees with the other providers' and not with ours"
	case c.ahead.Abs() <= sameTime:
		f.Text = "it agrees with ours"
	case c.ahead > c.leeway:
		f.OK = false
		f.Text = fmt.Sprintf("the provider's clock is %s ahead of ours, and clock_skew is %s, so fresh tokens are refused as not valid yet; mend the clock that is wrong, or raise clock_skew", c.ahead, c.leeway)
	case -c.ahead > c.leeway:
		f.OK = false
		f.Text = fmt.Sprintf("the provider's clock is %s behind ours, so its tokens are over that much too early, and no setting mends that; mend the clock that is wrong", -c.ahead)
	default:
		f.Text = fmt.Sprintf("the provider's clock is %s ours, within clock_skew (%s)", beside(c.ahead), c.leeway)
	}
	return f
}

// beside is ahead or behind.
func beside(ahead time.Duration) string {
	if ahead > 0 {
		return ahead.String() + " ahead of"
	}
	return (-ahead).String() + " behind"
}

// medianOf is the one in the middle. Of two there, it is the one that is nearer to us, so that of two providers the one that
// agrees with us is believed.
func medianOf(clocks map[string]clockReading) time.Duration {
	if len(clocks) == 0 {
		return 0
	}
	var sorted []time.Duration
	for _, c := range clocks {
		sorted = append(sorted, c.ahead)
	}
	slices.Sort(sorted)
	low, high := sorted[(len(sorted)-1)/2], sorted[len(sorted)/2]
	if low.Abs() < high.Abs() {
		return low
	}
	return high
}

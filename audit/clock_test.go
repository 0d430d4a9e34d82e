package audit_test

import (
	"testing"
	"time"

	"github.com/lakegate/sts/audit"
)

// A machine that starts without a clock of its own begins a segment in 1970. When its time is right again, what it wrote
// yesterday is a day old, whatever the name of the file behind it says.
func TestRetentionAfterAClockThatWasBehind(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.Retention = 72 * time.Hour })
	mustRecord(t, l, exchangeEvent(granted(alice(), "yesterday")))
	mustClose(t, l)

	behind := c.Now().Sub(time.Unix(0, 0))
	c.Add(-behind)
	l, _ = open(t, dir, func(config *audit.Config) { config.Retention, config.Now = 72*time.Hour, c.Now })
	mustRecord(t, l, exchangeEvent(granted(alice(), "in 1970")))
	c.Add(behind + 24*time.Hour)
	l.Tick()
	if n := len(segments(t, dir)); n != 2 {
		t.Errorf("%d segments are left of 2", n)
	}
}

// A clock that was ahead for a while must not put retention off until it has caught up.
func TestRetentionAfterAClockThatWasAhead(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir, func(c *audit.Config) { c.SegmentAge, c.Retention = 24*time.Hour, 72*time.Hour })
	c.Add(30 * 24 * time.Hour)
	l.Tick()
	c.Add(-30 * 24 * time.Hour)
	wantDaysKept(t, dir, l, c)
}

package audit_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lakegate/sts/audit"
)

// room is a disk of 100 GB.
type room struct {
	mu   sync.Mutex
	free uint64
	err  error
}

func (r *room) set(free uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free, r.err = free, err
}

func (r *room) ask(string) (uint64, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.free, 100e9, r.err
}

// said is a log's text.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

// Below a fifth the disk is an alarm that says how much is left and how long that lasts; records go on.
func TestDiskAlarm(t *testing.T) {
	r, told, registry := &room{free: 30e9}, &said{}, prometheus.NewPedanticRegistry()
	l, c := open(t, t.TempDir(), func(c *audit.Config) {
		c.Space, c.Log, c.Metrics = r.ask, slog.New(slog.NewTextHandler(told, nil)), registry
	})
	steps := []struct {
		after  time.Duration
		free   uint64
		err    error
		health string // "" is well
	}{
		{0, 30e9, nil, ""},
		{30 * time.Minute, 20e9, nil, ""},
		{30 * time.Minute, 15e9, nil, "15.0 GB free, 15 % of it; at the rate of the last 1h0m0s that is enough for 1h0m0s"},
		{time.Second, 15e9, errors.New("an outage changes nothing"), "15.0 GB free"},
		{time.Minute, 21e9, nil, "21 % of it"}, // no flapping at the border
		{time.Minute, 22e9, nil, ""},
		{time.Hour, 0.25e9, nil, "250.0 MB free"},
		{time.Minute, 0.25e9, nil, "0 % of it"},
		{-48 * time.Hour, 0.25e9, nil, "it is not known yet how fast it fills"}, // the clock was set back
		{time.Minute, 50e9, nil, ""},
	}
	l.Tick()
	for i, step := range steps {
		c.Add(step.after)
		r.set(step.free, step.err)
		l.Tick()
		switch err := l.SpaceHealth(); {
		case (err == nil) != (step.health == ""), err != nil && !strings.Contains(err.Error(), step.health):
			t.Errorf("step %d: %v", i, err)
		}
		mustJot(t, l, "goes-on")
	}
	if told.count("is filling up") != 2 || told.count("has room again") != 2 {
		t.Error(told.text.String())
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`# HELP sts_audit_disk_free_ratio Share of the audit log's disk that is free; not a number where that can't be found out.
# TYPE sts_audit_disk_free_ratio gauge
sts_audit_disk_free_ratio 0.5
`), "sts_audit_disk_free_ratio"); err != nil {
		t.Error(err)
	}
}

// The machine's own answer is one.
func TestDiskSpace(t *testing.T) {
	free, size, err := audit.SpaceOf(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("not on this system")
	}
	if err != nil || size == 0 || free > size {
		t.Errorf("%d of %d, %v", free, size, err)
	}
	if _, _, err := audit.SpaceOf(t.TempDir() + "/missing"); err == nil {
		t.Error("there is no such directory")
	}
}

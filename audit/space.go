package audit

import (
	"fmt"
	"sync"
	"time"
)

// Below spaceLow of its size free, the log's disk is an alarm, until spaceWell is: a ratio that stands at the border is told
// once.
const (
	spaceLow  = 0.20
	spaceWell = 0.22
)

// A forecast goes by the last hour, of which one look a minute is kept.
const (
	spaceEvery = time.Minute
	spaceLooks = 60
)

// space is what is known of the room on the log's disk.
type space struct {
	mu    sync.Mutex
	now   spaceLook
	looks []spaceLook // one a minute, oldest first
	low   bool
}

type spaceLook struct {
	at         time.Time
	free, size uint64 // bytes
}

func (k spaceLook) ratio() float64 { return float64(k.free) / float64(k.size) }

// look looks how much room there is. Where that can't be found out, nothing is told: writes that fail tell enough.
func (l *Log) look(now time.Time) {
	free, size, err := l.c.Space(l.c.Directory)
	if err != nil || size == 0 {
		return
	}
	s := &l.space
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = spaceLook{now, free, size}
	if n := len(s.looks); n == 0 || now.Before(s.looks[n-1].at) || now.Sub(s.looks[n-1].at) >= spaceEvery {
		if n == spaceLooks {
			s.looks = s.looks[1:]
		}
		s.looks = append(s.looks, s.now)
	}
	l.metrics.free.Set(float64(free))
	l.metrics.freeRatio.Set(s.now.ratio())
	switch ratio := s.now.ratio(); {
	case !s.low && ratio < spaceLow:
		s.low = true
		l.c.Log.Warn("the audit log's disk is filling up; when it is full, requests are refused", "free_bytes", free, "free_ratio", ratio, "outlook", s.outlook())
	case s.low && ratio >= spaceWell:
		s.low = false
		l.c.Log.Info("the audit log's disk has room again", "free_bytes", free, "free_ratio", ratio)
	}
}

// SpaceHealth is nil while a fifth of the log's disk is free, else how much is and for how long.
func (l *Log) SpaceHealth() error {
	s := &l.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.low {
		return nil
	}
	return fmt.Errorf("the audit log's disk has %s free, %.0f %% of it; %s", bytesText(s.now.free), s.now.ratio()*100, s.outlook())
}

// outlook says when the disk is full.
func (s *space) outlook() string {
	first := s.looks[0]
	took := s.now.at.Sub(first.at)
	if took < spaceEvery {
		return "it is not known yet how fast it fills"
	}
	if s.now.free >= first.free {
		return fmt.Sprintf("it has not filled any further in the last %v", took.Round(time.Minute))
	}
	left := float64(s.now.free) / float64(first.free-s.now.free) * took.Hours()
	text := fmt.Sprintf("%.0f days", left/24)
	if left < 48 {
		text = (time.Duration(left*60) * time.Minute).String()
	}
	return fmt.Sprintf("at the rate of the last %v that is enough for %s", took.Round(time.Minute), text)
}

func bytesText(n uint64) string {
	value, unit := float64(n)/1e6, "MB"
	if value >= 1e3 {
		value, unit = value/1e3, "GB"
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Part is something that the service depends on.
type Part struct {
	Name string
	// Check says what is wrong with it, nil where nothing is. It answers from what is known, without a round trip, and
	// its text is public.
	Check func() error
	// Fatal parts make the service unready, others degraded.
	Fatal bool
}

// Status is how a part, or the whole, is.
type Status string

// The statuses, best first.
const (
	StatusOK       Status = "ok"
	StatusDegraded Status = "degraded"
	StatusUnready  Status = "unready"
)

// PartHealth is how a part is.
type PartHealth struct {
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Since is when it became so, as far as we saw.
	Since time.Time `json:"since"`
}

// Health is what /readyz and /livez answer.
type Health struct {
	Status Status                `json:"status"`
	Parts  map[string]PartHealth `json:"parts"`
}

// health looks after the parts.
type health struct {
	now func() time.Time
	log *slog.Logger
	ok  *prometheus.GaugeVec

	mu    sync.Mutex
	parts []Part
	known map[string]PartHealth
}

func newHealth(c *Config) (*health, error) {
	h := &health{now: c.Now, log: c.Log, parts: c.Parts, known: make(map[string]PartHealth)}
	h.ok = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sts_part_ok", Help: "1 where a part of the service is well, 0 where it is not; /readyz says why.",
	}, []string{"part"})
	if c.Metrics != nil {
		if err := c.Metrics.Register(h.ok); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// add adds a part.
func (h *health) add(p Part) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts = append(h.parts[:len(h.parts):len(h.parts)], p)
}

// look checks all parts, and tells the log what has changed.
func (h *health) look() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	whole := Health{Status: StatusOK, Parts: make(map[string]PartHealth, len(h.parts))}
	for _, p := range h.parts {
		is := h.lookAt(p)
		whole.Parts[p.Name] = is
		if is.Status == StatusUnready || is.Status == StatusDegraded && whole.Status == StatusOK {
			whole.Status = is.Status
		}
	}
	return whole
}

func (h *health) lookAt(p Part) PartHealth {
	is := PartHealth{Status: StatusOK, Since: h.now().UTC()}
	if err := p.Check(); err != nil {
		is.Reason, is.Status = err.Error(), StatusDegraded
		if p.Fatal {
			is.Status = StatusUnready
		}
	}
	was, seen := h.known[p.Name]
	switch {
	case seen && was.Status == is.Status:
		is.Since = was.Since
	case is.Status != StatusOK:
		h.log.Warn("a part is not well", "part", p.Name, "status", string(is.Status), "reason", is.Reason)
	case seen:
		h.log.Info("a part is well again", "part", p.Name, "after", is.Since.Sub(was.Since))
	}
	h.known[p.Name] = is
	well := 0.0
	if is.Status == StatusOK {
		well = 1
	}
	h.ok.WithLabelValues(p.Name).Set(well)
	return is
}

// ready answers /readyz.
func (h *health) ready(w http.ResponseWriter, _ *http.Request) { writeHealth(w, h.look()) }

// live answers /livez: whoever gets this answer has proof.
func (h *health) live(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, Health{Status: StatusOK, Parts: map[string]PartHealth{}})
}

func writeHealth(w http.ResponseWriter, is Health) {
	body, err := json.Marshal(is)
	if err != nil {
		panic(fmt.Sprintf("encoding strings and times as JSON: %v", err)) // only a year past 9999 doesn't
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if is.Status == StatusUnready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(body, '\n'))
}

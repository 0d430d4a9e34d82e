package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// readiness is what /readyz answers.
type readiness struct {
	HTTP   int
	Status string `json:"status"`
	Parts  map[string]struct {
		Status string    `json:"status"`
		Reason string    `json:"reason"`
		Since  time.Time `json:"since"`
	} `json:"parts"`
}

// Ready asks the admin port.
func (w *world) Ready() readiness {
	w.t.Helper()
	status, body := w.admin("/readyz")
	r := readiness{HTTP: status}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		w.t.Fatalf("/readyz answers %d %s", status, body)
	}
	return r
}

// Metrics is the text of /metrics.
func (w *world) Metrics() string {
	w.t.Helper()
	status, body := w.admin("/metrics")
	if status != http.StatusOK {
		w.t.Fatalf("/metrics answers %d", status)
	}
	return body
}

// Metric is the sum of a metric's series whose labels contain all of the given texts.
func (w *world) Metric(name string, labels ...string) float64 {
	w.t.Helper()
	sum := 0.0
	lines := bufio.NewScanner(strings.NewReader(w.Metrics()))
	lines.Buffer(nil, 1<<20)
lines:
	for lines.Scan() {
		line := lines.Text()
		rest, ours := strings.CutPrefix(line, name)
		if !ours || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			w.t.Fatalf("not a metric: %s", line)
		}
		sum += value
	}
	return sum
}

func (w *world) admin(path string) (status int, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+w.sts.admin+path, nil) // a test's own context has ended when it is cleaned up
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

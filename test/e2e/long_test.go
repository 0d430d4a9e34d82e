//go:build long

package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestLong_StepsOfTheLadder is TestStepsOfTheLadder with as many subjects as the main job promises.
func TestLong_StepsOfTheLadder(t *testing.T) { stepsOfTheLadder(t, 10_000) }

// TestLong_StopWithinTenSeconds holds that a request that never ends doesn't hold up the end of the service, and is
// recorded all the same.
func TestLong_StopWithinTenSeconds(t *testing.T) {
	w := newWorld(t, func(_ *world, s *setup) { s.config["databricks"].(object)["timeout"] = "10s" })
	w.dbx.AddFault(hold())
	asked := make(chan struct{})
	req := w.FormRequest(b0(w).Params.Encode())
	req.Header.Set("Authorization", w.basicAuth("kong"))
	go func() {
		defer close(asked)
		if a, err := w.try(req); err == nil && a.Status == http.StatusOK {
			t.Error("a token came out")
		}
	}()
	w.Eventually("the request waits", func() bool { return w.Metric("sts_flight_waiters") >= 1 })
	began := time.Now()
	if code := w.sts.Stop(t); code != 1 || !strings.Contains(w.sts.Log(), "cut off") {
		t.Errorf("exit code %d, and the log doesn't say that a request was cut off", code)
	}
	if took := time.Since(began); took > 11*time.Second {
		t.Errorf("the service took %v to end", took)
	}
	<-asked
	if len(w.Of("exchange")) != 1 {
		t.Errorf("%d records of one request", len(w.Of("exchange")))
	}
}

func TestLong_AuditKilled(t *testing.T) { auditKilled(t, 100) }

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestAuditKilled kills the service at any moment of a load, again and again: every token that somebody got has its record,
// the log opens each time, and in the end it is proven.
func TestAuditKilled(t *testing.T) {
	t.Parallel()
	auditKilled(t, 10)
}

func auditKilled(t *testing.T, kills int) {
	w := prepareWorld(t)
	var mu sync.Mutex
	granted := map[string]bool{} // decisions whose token came out
	for life := range kills {
		w.Start()
		warm := w.lasting("ada", "data-eng")
		enough := 10 + life*7%30
		var all sync.WaitGroup
		died := make(chan struct{})
		for n := range 6 {
			all.Go(func() {
				for i := 0; ; i++ {
					subject := warm
					if n%2 == 0 { // each is a first hand-out
						subject = w.lasting(fmt.Sprintf("subject-%d-%d-%d", life, n, i), "data-eng")
					}
					a, err := w.try(w.tokenRequest(subject))
					if err != nil {
						return // it is dead
					}
					mu.Lock()
					if a.Status == http.StatusOK {
						granted[a.DecisionID] = true
					} else {
						t.Errorf("%d %s", a.Status, a.Body)
					}
					if enough--; enough == 0 {
						close(died)
					}
					mu.Unlock()
				}
			})
		}
		select {
		case <-died:
		case <-w.sts.done:
			t.Fatal("it ended by itself")
		}
		w.sts.Kill()
		all.Wait()
	}
	w.Start()
	mustGrant(t, w.Ask(), tenMinutes)
	if w.Ready().Parts["audit_checkpoints"].Status != "ok" {
		t.Errorf("%+v", w.Ready().Parts)
	}
	w.sts.Stop(t)
	there := map[string]string{}
	for _, r := range w.Records() {
		there[r.ID] = r.Outcome
	}
	for id := range granted {
		if there[id] != "granted" {
			t.Errorf("a token is out, and its record is %q", there[id])
		}
	}
	out, code := w.run("audit", "verify", "--config", "sts.yaml", "--all")
	if code != 0 || strings.Count(out, "/audit/") != 1 {
		t.Errorf("%d %s", code, out)
	}
	t.Logf("%d tokens over %d kills", len(granted), kills)
}

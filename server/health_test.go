package server_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/server"
)

var errPart = errors.New("it is not well")

func TestHealth(t *testing.T) {
	now := newClock()
	var mu sync.Mutex
	var policy, ledger error
	set := func(p, l error) {
		mu.Lock()
		defer mu.Unlock()
		policy, ledger = p, l
	}
	var log logs
	c := config(t, &service{})
	c.Now, c.Log = now.now, log.logger(slog.LevelInfo)
	c.Parts = []server.Part{
		{Name: "policy", Check: func() error { mu.Lock(); defer mu.Unlock(); return policy }},
		{Name: "ledger", Fatal: true, Check: func() error { mu.Lock(); defer mu.Unlock(); return ledger }},
	}
	r := start(t, c)
	began := now.now()
	check := func(status int, whole server.Status, name string, part server.PartHealth) {
		t.Helper()
		answer, body := r.get(t, r.admin+"/readyz")
		var got server.Health
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != status || got.Status != whole || got.Parts[name] != part {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
	}
	check(200, "ok", "policy", server.PartHealth{Status: "ok", Since: began})
	now.forward(time.Minute)
	set(errPart, nil)
	check(200, "degraded", "policy", server.PartHealth{Status: "degraded", Reason: "it is not well", Since: began.Add(time.Minute)})
	now.forward(time.Minute)
	check(200, "degraded", "policy", server.PartHealth{Status: "degraded", Reason: "it is not well", Since: began.Add(time.Minute)})
	set(errPart, errPart)
	check(503, "unready", "ledger", server.PartHealth{Status: "unready", Reason: "it is not well", Since: began.Add(2 * time.Minute)})
	if answer, body := r.get(t, r.admin+"/livez"); answer.StatusCode != 200 || body != `{"status":"ok","parts":{}}`+"\n" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	now.forward(time.Minute)
	set(nil, nil)
	check(200, "ok", "ledger", server.PartHealth{Status: "ok", Since: began.Add(3 * time.Minute)})
	if n := strings.Count(log.String(), "a part is not well"); n != 2 {
		t.Errorf("%d alarms, want one for each change:\n%s", n, log.String())
	}
}

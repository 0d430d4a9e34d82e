package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/databricks"
)

// TestSigningKeyLife walks a signing key from its making to its end: the first signs at once, its successor is published
// a day before it signs, and the old one leaves once nothing that it signed is alive. Databricks, which keeps our keys for
// 15 minutes and refuses those that it doesn't know, accepts every assertion on the way.
func TestSigningKeyLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	published := func() []string {
		var set struct{ Keys []struct{ Kid string } }
		if err := json.Unmarshal([]byte(w.JWKS()), &set); err != nil {
			t.Fatal(err)
		}
		var kids []string
		for _, k := range set.Keys {
			kids = append(kids, k.Kid)
		}
		return kids
	}
	// signer makes a mint and tells which key signed its assertion.
	signer := func() string {
		t.Helper()
		w.dbx.Reset()
		if a := w.Ask(token(w.Token(map[string]any{"groups": []string{"private"}, "sub": w.Now().String()}))); a.Status != http.StatusOK {
			t.Fatalf("status %d: %s", a.Status, a.Body)
		}
		for _, call := range w.dbx.Calls() {
			if assertion, ok := call.Notes["assertion"].(map[string]any); ok && call.Route == databricks.TokenRoute {
				kid, _ := assertion["kid"].(string)
				return kid
			}
		}
		t.Fatal("no assertion was seen")
		return ""
	}
	const day = 24 * time.Hour
	first := signer()
	if got := published(); len(got) != 1 || got[0] != first {
		t.Fatalf("at the start %v are published and %s signs", got, first)
	}
	w.Move(29*day + time.Hour)
	w.Eventually("the successor is published", func() bool { return len(published()) == 2 })
	if got := signer(); got != first {
		t.Errorf("%s signs before it was published for a day", got)
	}
	w.Move(30*day + 2*time.Hour)
	w.Eventually("the successor signs", func() bool { return signer() != first })
	second := signer()
	if got := published(); len(got) != 2 {
		t.Errorf("%v are published while the first's assertions may live", got)
	}
	w.Move(32 * day)
	w.Eventually("the first is gone", func() bool { return len(published()) == 1 })
	if got := signer(); got != second {
		t.Errorf("%s signs, want %s", got, second)
	}
	var actions []string
	for _, r := range w.Of("admin") {
		if len(r.Action) > 4 && r.Action[:4] == "key." {
			actions = append(actions, r.Action)
		}
	}
	if len(actions) < 4 {
		t.Errorf("the life of two keys left the records %v", actions)
	}
}

// TestADeadDatabricksIsBridged holds that what is still valid is served while Databricks is down.
func TestADeadDatabricksIsBridged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.lasting("ada", "data-eng")
	first := w.Ask(token(ada))
	mustGrant(t, first, tenMinutes)
	w.dbx.Close()
	w.Move(9 * time.Minute) // beyond its fitness, within its life
	a := w.Ask(token(ada))
	if a.Status != http.StatusOK || a.AccessToken != first.AccessToken || a.ExpiresIn > 60 || a.ExpiresIn < 45 {
		t.Errorf("status %d, expires_in %d: %s", a.Status, a.ExpiresIn, a.Body)
	}
	w.Move(9*time.Minute + 30*time.Second) // less than 45 s are left
	mustRefuse(t, w.Ask(token(ada)), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonUpstreamUnavailable)
}

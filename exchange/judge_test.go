package exchange_test

import (
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
)

// What would become of an attempt is what becomes of it, but for what only the doing can tell.
func TestJudge(t *testing.T) {
	for _, row := range []struct {
		name   string
		tweak  func(*world, *exchange.Attempt)
		reason exchange.Reason // "" where it would be granted
		rest   time.Duration
	}{
		{"granted", func(*world, *exchange.Attempt) {}, "", 10 * time.Minute},
		{"a shorter wish", func(_ *world, a *exchange.Attempt) { a.Request.Lifetime = time.Minute }, "", time.Minute},
		{"a shorter token", func(w *world, _ *exchange.Attempt) {
			w.identity.Expiry = noon.Truncate(time.Second).Add(90 * time.Second)
		}, "", 89 * time.Second},
		{"a token near its end", func(w *world, _ *exchange.Attempt) { w.identity.Expiry = noon.Add(59 * time.Second) }, exchange.ReasonSubjectTokenExpiring, 0},
		{"another provider", func(w *world, _ *exchange.Attempt) { w.identity.Provider = "entra" }, exchange.ReasonIssuerNotAllowed, 0},
		{"another party", func(w *world, _ *exchange.Attempt) { w.identity.Party = "" }, exchange.ReasonPartyNotAuthorized, 0},
		{"no rule", func(w *world, _ *exchange.Attempt) {
			w.decide = func(*exchange.Attempt) exchange.Decision {
				return exchange.Decision{Denial: exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule, "no")}
			}
		}, exchange.ReasonNoMatchingRule, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld()
			a := &exchange.Attempt{
				Time: noon, Request: &exchange.Request{}, Subject: w.identity,
				Call: &exchange.Call{Client: &exchange.Client{ID: "kong", IdentityProviders: []string{"okta"}, AuthorizedParties: []string{"web"}}},
			}
			row.tweak(w, a)
			err := a.Judge(exchange.Delegation{}, w)
			if (err == nil) != (row.reason == "") || err != nil && err.Reason != row.reason {
				t.Fatalf("%v, want %q", err, row.reason)
			}
			if err == nil && a.ExpiresAt.Sub(noon) != row.rest {
				t.Errorf("it would live %s, want %s", a.ExpiresAt.Sub(noon), row.rest)
			}
		})
	}
}

package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
)

// row is one row of the conformance list: what it changes of the baseline request, and what must come of it.
type row struct {
	id string
	// ask makes the request; nil is the baseline.
	ask func(w *world) request
	// status is HTTP's; 0 means 200.
	status int
	code   string
	reason exchange.Reason
	// says is a part of the description.
	says string
	// check looks at the rest.
	check func(t *testing.T, w *world, a answer)
	// only names the entrances that have such a thing; nil means all.
	only []string
}

// of is a row of these entrances alone.
func of(only []string, r row) row {
	r.only = only
	return r
}

// change is a baseline request, changed.
func change(f ...func(*request)) func(*world) request {
	return func(w *world) request {
		r := b0(w)
		for _, g := range f {
			g(&r)
		}
		return r
	}
}

// subject is a baseline request with a token of these claims.
func subject(claims map[string]any, f ...func(*request)) func(*world) request {
	return func(w *world) request {
		r := b0(w)
		r.Params.Set("subject_token", w.Token(claims))
		for _, g := range f {
			g(&r)
		}
		return r
	}
}

// runRows runs each row through each entrance that has it, and holds what every answer must be, whatever the row, and
// that all entrances answered and recorded the same.
func runRows(t *testing.T, w *world, rows []row) {
	t.Helper()
	h := newHearing(w)
	h.shared = true
	for i, e := range entrances {
		if i > 0 {
			w.Later()
		}
		t.Run(e.name, func(t *testing.T) {
			for _, r := range rows {
				if r.only != nil && !slices.Contains(r.only, e.name) {
					continue
				}
				t.Run(r.id, func(t *testing.T) {
					covered.note(r.id, e.name)
					runRow(t, h.through(t, e, r.id), r)
				})
			}
		})
	}
	h.hold(t)
}

func runRow(t *testing.T, w *world, r row) {
	ask := b0
	if r.ask != nil {
		ask = r.ask
	}
	req := ask(w)
	a := w.door.ask(w, req)
	w.hear(a)
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if a.Status != r.status || a.Error != r.code || a.Reason != string(r.reason) {
		t.Fatalf("got %d %s (%s), want %d %s (%s): %s", a.Status, a.Error, a.Reason, r.status, r.code, r.reason, a.Body)
	}
	if !strings.Contains(a.Description, r.says) {
		t.Errorf("the description %q doesn't say %q", a.Description, r.says)
	}
	holdAlways(t, w, req, a)
	if r.check != nil {
		r.check(t, w, a)
	}
}

// holdAlways is what rows A01 to A03, D08, D09, I02 and I03 ask of every answer.
func holdAlways(t *testing.T, w *world, req request, a answer) {
	t.Helper()
	if a.Header != nil {
		for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if a.DecisionID == "" {
		t.Error("no decision_id")
	}
	if a.Status == http.StatusOK {
		if a.AccessToken == "" || a.IssuedTokenType != string(exchange.TypeAccessToken) || a.TokenType != "Bearer" || a.ExpiresIn <= 0 || a.RefreshToken != "" {
			t.Errorf("not a whole answer: %s", a.Body)
		}
		return
	}
	if a.Description == "" || a.AccessToken != "" {
		t.Errorf("not a whole error: %s", a.Body)
	}
	for _, leak := range []string{mlInference, etl, legacy, endpointCaller, "data-eng", req.Params.Get("subject_token"), w.secrets[req.Client]} {
		if len(leak) > 4 && strings.Contains(string(a.Body), leak) {
			t.Errorf("the error tells %.20q: %s", leak, a.Body)
		}
	}
	for _, c := range a.Description { // RFC 6749 §5.2
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			t.Errorf("the description holds %q", c)
		}
	}
}

package e2e_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
)

// eachEntrance runs a test of these rows through every entrance, one after the other in one world, each so much later
// that nothing is left of the one before. Then it holds that all entrances answered and recorded the same.
func eachEntrance(t *testing.T, w *world, rows string, test func(t *testing.T, w *world)) {
	t.Helper()
	eachOf(t, entrances, w, rows, test)
}

// eachOf is eachEntrance for some.
func eachOf(t *testing.T, some []entrance, w *world, rows string, test func(t *testing.T, w *world)) {
	t.Helper()
	h := newHearing(w)
	for i, e := range some {
		if i > 0 {
			w.Later()
		}
		t.Run(e.name, func(t *testing.T) {
			covered.notes(rows, e.name)
			test(t, h.through(t, e, "answer"))
		})
	}
	h.hold(t)
}

// hearing is what the entrances answered.
type hearing struct {
	w *world
	// shared says that entrances may have found in the cache what others left there.
	shared  bool
	answers map[string]map[string][]answer // row, entrance
}

func newHearing(w *world) *hearing { return &hearing{w: w, answers: map[string]map[string][]answer{}} }

// through is the world asked through an entrance, by a test of its own: what [world.Ask] is answered is kept as of a row.
func (h *hearing) through(t *testing.T, e entrance, row string) *world {
	w := h.w.Through(e)
	w.t = t
	if h.answers[row] == nil {
		h.answers[row] = map[string][]answer{}
	}
	of := h.answers[row]
	w.hear = func(a answer) { of[e.name] = append(of[e.name], a) }
	return w
}

// hold holds that the entrances answered each row alike, and left the same records but for the entrance.
func (h *hearing) hold(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // which says more than its consequences
	}
	book := h.read(t)
	for row, heard := range h.answers {
		var first []outcome
		var model string
		for _, e := range entrances {
			answers, asked := heard[e.name]
			if !asked {
				continue
			}
			got := h.outcomes(t, book, e, answers)
			if first == nil {
				first, model = got, e.name
			}
			if diff := cmp.Diff(first, got, cmp.Comparer(near)); diff != "" {
				t.Errorf("%s: %s (-) and %s (+) differ:\n%s", row, model, e.name, diff)
			}
		}
	}
}

// outcome is what came of a request, without what differs between two requests for the same: ids, times, hashes.
type outcome struct {
	Status                            int
	Error, Reason, Description        string
	IssuedTokenType, TokenType, Scope string
	Details                           []any
	Actors                            int
	ExpiresIn, RetryAfter             float64 // seconds
	// Token is the first of this entrance's answers that had the same one.
	Token  int
	Record map[string]any
}

// counted is what descriptions say of the time: how much has passed since, and of the provider's clock, which we see
// in another light while a test moves it.
var counted = regexp.MustCompile(`[0-9]+[0-9hms.]*|\(the provider's clock [^)]*\)|not valid yet: [^;]*`)

// near compares seconds, of which some may have passed.
func near(a, b float64) bool { return math.Abs(a-b) <= 20 }

func (h *hearing) outcomes(t *testing.T, book map[string]map[string]any, e entrance, answers []answer) (all []outcome) {
	t.Helper()
	for _, a := range answers {
		o := outcome{
			Status: a.Status, Error: a.Error, Reason: a.Reason, Description: counted.ReplaceAllString(a.Description, "…"),
			IssuedTokenType: a.IssuedTokenType, TokenType: a.TokenType, Scope: a.Scope, Details: a.Details, Actors: a.Delegation.Actors,
			ExpiresIn: float64(a.ExpiresIn), RetryAfter: a.RetryAfter.Seconds(),
		}
		for !h.shared && answers[o.Token].AccessToken != a.AccessToken {
			o.Token++
		}
		if o.Record = h.record(t, book, e, a); o.Record["type"] == "failures" && a.Reason == string(malformed) {
			o.Description = "" // of the form, the message or the body: each entrance speaks of its own
		}
		all = append(all, o)
	}
	return all
}

// read reads the audit log, by the ids of its records, once all that was answered is in it: failures from before client
// authentication are summed up, and written when their second is over.
func (h *hearing) read(t *testing.T) (book map[string]map[string]any) {
	t.Helper()
	h.w.Eventually("everything is recorded", func() bool {
		book = readBook(t, h.w.auditDir)
		for _, heard := range h.answers {
			for _, answers := range heard {
				for _, a := range answers {
					if recorded(a) && book[a.DecisionID] == nil {
						return false
					}
				}
			}
		}
		return true
	})
	return book
}

// recorded reports whether an answer has a record: none has where none could be written.
func recorded(a answer) bool { return a.Reason != string(exchange.ReasonAuditUnavailable) }

// readBook reads records as they are, so that none of their members is overlooked.
func readBook(t *testing.T, dir string) map[string]map[string]any {
	t.Helper()
	book := map[string]map[string]any{}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var r map[string]any
			if json.Unmarshal([]byte(line), &r) != nil {
				continue // it is being written
			}
			id, _ := r["id"].(string)
			if of, _ := r["of"].(string); r["type"] == "repeat" {
				r = unrepeated(r, book[of])
			}
			book[id] = r
		}
	}
	return book
}

// unrepeated is a repeat as the exchange that it was: as full, the record that it repeats, but for what it says itself.
func unrepeated(r, full map[string]any) map[string]any {
	r, whole := without(r, "type", "of"), without(full, "cache", "claimed")
	claimed, _ := full["claimed"].(map[string]any)
	if claimed = without(claimed, "request_id"); r["request_id"] != nil {
		claimed = maps.Clone(claimed)
		if claimed == nil {
			claimed = map[string]any{}
		}
		claimed["request_id"] = r["request_id"]
		delete(r, "request_id")
	}
	if len(claimed) > 0 {
		whole["claimed"] = claimed
	}
	maps.Copy(whole, r)
	return whole
}

// record is the record of an answer, without what must differ.
func (h *hearing) record(t *testing.T, book map[string]map[string]any, e entrance, a answer) map[string]any {
	t.Helper()
	if !recorded(a) {
		return nil
	}
	r := book[a.DecisionID]
	if r["type"] == "failures" {
		// Its summary may hold others of that second.
		reasons, _ := r["reasons"].(map[string]any)
		through, _ := r["entrances"].([]any)
		if count, _ := reasons[a.Reason].(float64); count < 1 || !slices.Contains(through, any(e.recorded)) || !h.shared && len(through) > 1 {
			t.Errorf("%s: %s is recorded as %v", e.name, a.Reason, r)
		}
		return map[string]any{"type": r["type"], "source": r["source"]}
	}
	if r["entrance"] != e.recorded {
		t.Errorf("recorded as of entrance %v, not %s", r["entrance"], e.recorded)
	}
	volatile := []string{"id", "time", "entrance", "duration_us"}
	if h.shared {
		volatile = append(volatile, "cache")
	}
	plain := without(r, volatile...)
	begun := instant(r["time"])
	for _, name := range []string{"expires_at", "true_expires_at"} {
		if r[name] != nil {
			plain[name] = instant(r[name]).Sub(begun).Seconds()
		}
	}
	for _, name := range []string{"mint", "token_sha256"} {
		if r[name] != nil {
			plain[name] = "…"
		}
	}
	for _, name := range []string{"subject_token", "actor_token"} {
		if presented, _ := r[name].(map[string]any); presented != nil {
			plain[name] = hidden(presented, "jti", "sha256")
		}
	}
	if subject, _ := r["subject"].(map[string]any); subject != nil {
		plain["subject"] = party(book, subject)
	}
	if actors, _ := r["actors"].([]any); actors != nil {
		var chain []any
		for _, actor := range actors {
			actor, _ := actor.(map[string]any)
			chain = append(chain, party(book, actor))
		}
		plain["actors"] = chain
	}
	return plain
}

// party is a subject or an actor of a record, with what the record of his token tells of him.
func party(book map[string]map[string]any, of map[string]any) []any {
	id, _ := of["id"].(string)
	who := without(book[id], "id", "time", "issued_at", "expires_at")
	if claims, _ := who["claims"].(map[string]any); claims != nil {
		who["claims"] = hidden(claims, "auth_time")
	}
	return []any{without(of, "id"), hidden(who, "jti", "sha256")}
}

func instant(v any) time.Time {
	text, _ := v.(string)
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}

// without is a record without some members; hidden is one in which they are only known to be there.
func without(r map[string]any, names ...string) map[string]any {
	rest := maps.Clone(r)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

func hidden(r map[string]any, names ...string) map[string]any {
	rest := maps.Clone(r)
	for _, name := range names {
		if rest[name] != nil {
			rest[name] = "…"
		}
	}
	return rest
}

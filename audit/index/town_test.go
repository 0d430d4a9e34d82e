package index_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/audit/index"
)

// town is the logs of some replicas, and all their records as a reader of JSON sees them: what searches are held against.
type town struct {
	logs   []*logbook
	random *rand.Rand
	// all are sorted by id, the greatest first.
	all []resident
}

// resident is a record: a repeat is the whole exchange, with its own id.
type resident struct {
	id, origin string
	place      int
	members    map[string]any
}

// newTown writes n records of all types into the logs of some replicas, whose times overlap. It is the same each time, but
// for the ids.
func newTown(t testing.TB, replicas, n int) *town {
	t.Helper()
	w := &town{random: rand.New(rand.NewPCG(1, 2))}
	for r := range replicas {
		w.logs = append(w.logs, newLogbook(t, fmt.Sprintf("sts-%d", r)))
	}
	for range n {
		w.write(t, w.logs[w.random.IntN(replicas)])
	}
	w.list(t)
	return w
}

func (w *town) write(t testing.TB, l *logbook) {
	t.Helper()
	one := func(of string, n int) string { return fmt.Sprintf("%s-%d", of, w.random.IntN(n)) }
	hash := func() string { return fmt.Sprintf("%064x", w.random.IntN(300)) }
	who := func() fields { return fields{"issuer": one("https://issuer", 2), "sub": one("user", 200)} }
	switch kind := w.random.IntN(20); {
	case kind < 9:
		e := fields{
			"entrance": "form", "client": one("client", 3), "peer": one("10.0.0", 5), "subject": who(), "workspace": "main",
			"outcome": "granted", "rule": one("rule", 10), "principal": one("principal", 20), "application_id": one("application", 20),
			"mint": one("mint", 50), "token_sha256": hash(), "subject_token": fields{"sha256": hash()}, "duration_us": 1,
			"claimed": fields{"source": one("192.0.2", 100), "request_id": "r"},
		}
		if kind == 0 {
			e["actors"] = []fields{who()}
		}
		if w.random.IntN(1000) == 0 {
			e["workspace"] = "rare"
		}
		l.write(t, "exchange", e)
	case kind < 11:
		l.write(t, "exchange", fields{"client": one("client", 3), "outcome": "denied", "reason": one("reason", 5), "subject_token": fields{"sha256": hash()}})
	case kind < 16:
		// One that was not so long ago.
		for at := len(l.entries) - 1; at >= max(0, len(l.entries)-200); at-- {
			if l.entries[at].Exchange != nil && (w.random.IntN(4) == 0 || at == 0) {
				l.write(t, "repeat", fields{"of": l.entries[at].ID, "cache": "memory", "duration_us": 2, "request_id": one("again", 9)})
				return
			}
		}
		l.write(t, "admin", fields{"action": "policy.load"})
	case kind < 17:
		l.write(t, "mint", fields{
			"cause": "miss", "principal": one("principal", 20), "workspace": "main", "outcome": one("outcome", 2), "token_sha256": hash(),
			"true_expires_at": start.Add(time.Hour),
		})
	case kind < 18:
		s := who()
		s["provider"], s["sha256"], s["expires_at"] = "okta", hash(), start.Add(time.Hour)
		l.write(t, "subject", s)
	case kind < 19:
		a := fields{"action": one("action", 4), "object": one("object", 40), "outcome": "granted", "peer": one("10.0.0", 5)}
		if w.random.IntN(2) == 0 {
			a["caller"] = fields{"issuer": "https://issuer-0", "sub": one("user", 200), "sha256": hash()}
		} else {
			a["client"], a["action"], a["object"] = one("client", 3), "token.revoke", hash()
		}
		l.write(t, "admin", a)
	default:
		l.write(t, "failures", fields{"source": one("192.0.2", 100), "count": 3, "reasons": map[string]int{one("reason", 5): 2, "reason-9": 1}})
	}
}

// list makes all of the logs.
func (w *town) list(t testing.TB) {
	t.Helper()
	w.all = nil
	for _, l := range w.logs {
		exchanges := map[string]map[string]any{}
		for n := range l.entries {
			m := map[string]any{}
			if err := json.Unmarshal(l.entries[n].Raw, &m); err != nil {
				t.Fatal(err)
			}
			id := m["id"].(string)
			switch m["type"] {
			case "exchange":
				exchanges[id] = m
			case "repeat":
				m = exchanges[m["of"].(string)]
			}
			w.all = append(w.all, resident{id, l.origin, n, m})
		}
	}
	slices.SortFunc(w.all, func(a, b resident) int { return strings.Compare(b.id, a.id) })
}

// where says in which members of which record a field's values stand: "type:path", where * is any type.
var where = map[index.Field][]string{
	index.FieldType:      {"*:type"},
	index.FieldSubject:   {"exchange:subject.sub", "subject:sub", "admin:caller.sub"},
	index.FieldIssuer:    {"exchange:subject.issuer", "subject:issuer", "admin:caller.issuer"},
	index.FieldActor:     {"exchange:actors.sub"},
	index.FieldClient:    {"*:client"},
	index.FieldPrincipal: {"*:principal", "*:application_id"},
	index.FieldWorkspace: {"*:workspace"},
	index.FieldRule:      {"*:rule"},
	index.FieldOutcome:   {"*:outcome"},
	index.FieldReason:    {"*:reason"},
	index.FieldToken:     {"exchange:token_sha256", "exchange:subject_token.sha256", "mint:token_sha256", "subject:sha256", "admin:caller.sha256"},
	index.FieldMint:      {"exchange:mint"},
	index.FieldSource:    {"*:peer", "*:claimed.source", "failures:source"},
	index.FieldAction:    {"admin:action"},
	index.FieldObject:    {"admin:object"},
}

// has reports whether a record has a value of a field, by its JSON.
func (r *resident) has(term index.Term) bool {
	kind := r.members["type"].(string)
	switch {
	case term.Field == index.FieldMint && kind == "mint":
		return r.members["id"] == term.Value
	case term.Field == index.FieldReason && kind == "failures":
		_, ok := r.members["reasons"].(map[string]any)[term.Value]
		return ok
	case term.Field == index.FieldToken && kind == "admin" && r.members["action"] == "token.revoke" && r.members["object"] == term.Value:
		return true
	}
	return slices.ContainsFunc(where[term.Field], func(w string) bool {
		of, path, _ := strings.Cut(w, ":")
		return (of == "*" || of == kind) && term.Value != "" && contains(r.members, strings.Split(path, "."), term.Value)
	})
}

func contains(v any, path []string, value string) bool {
	switch v := v.(type) {
	case string:
		return len(path) == 0 && v == value
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return contains(one, path, value) })
	case map[string]any:
		return len(path) > 0 && contains(v[path[0]], path[1:], value)
	}
	return false
}

// find is what a query is to find, by going through all.
func (w *town) find(q index.Query) (ids []string) {
	for n := range w.all {
		r := &w.all[n]
		ms := millisecondsOf(r.id)
		if (q.ID == "" || q.ID == r.id) && (q.From.IsZero() || ms >= q.From.UnixMilli()) && (q.To.IsZero() || ms < q.To.UnixMilli()) &&
			!slices.ContainsFunc(q.Terms, func(t index.Term) bool { return !r.has(t) }) {
			ids = append(ids, r.id)
		}
	}
	return ids
}

func millisecondsOf(id string) (ms int64) {
	if _, err := fmt.Sscanf(strings.ReplaceAll(id, "-", "")[:12], "%x", &ms); err != nil {
		panic(err)
	}
	return ms
}

// feed brings all that isn't in the index yet, in batches of random size, the logs by turns at random.
func (w *town) feed(t testing.TB, i *index.Index, fed []int) {
	t.Helper()
	left := func(n int) int { return len(w.logs[n].entries) - fed[n] }
	for {
		var open []int
		for n := range w.logs {
			if left(n) > 0 {
				open = append(open, n)
			}
		}
		if len(open) == 0 {
			return
		}
		n := open[w.random.IntN(len(open))]
		size := min(left(n), 1+w.random.IntN(700))
		if _, err := i.Add(t.Context(), w.logs[n].batch(t, fed[n], fed[n]+size)); err != nil {
			t.Fatal(err)
		}
		fed[n] += size
	}
}

package index_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit/index"
)

func TestStatistics(t *testing.T) {
	t.Parallel()
	w := newTown(t, 2, 0)
	for n := range 1500 {
		l := w.logs[n%2]
		l.at = l.at.Add(7 * time.Second) // three hours
		w.write(t, l)
	}
	w.list(t)
	all := []index.Field{index.FieldPrincipal, index.FieldRule, index.FieldOutcome}
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t, func(c *index.Config) { c.PartitionEvents = 400 })
		w.feed(t, i, make([]int, 2))
		for name, q := range map[string]index.StatisticsQuery{
			"all":          {From: start, To: start.Add(3 * time.Hour)},
			"one hour":     {From: start.Add(time.Hour), To: start.Add(2 * time.Hour), By: all},
			"any moment":   {From: start.Add(90 * time.Minute), To: start.Add(91 * time.Minute)},
			"nothing":      {From: start.Add(-time.Hour), To: start, By: all},
			"by principal": {From: start, To: start.Add(3 * time.Hour), By: all[:1]},
			"by outcome":   {From: start, To: start.Add(3 * time.Hour), By: all[2:]},
			"by two":       {From: start, To: start.Add(3 * time.Hour), By: []index.Field{index.FieldOutcome, index.FieldRule}},
			"of one rule":  {From: start, To: start.Add(3 * time.Hour), By: all, Rule: "rule-1"},
			"of all three": {From: start, To: start.Add(3 * time.Hour), Principal: "principal-1", Rule: "rule-1", Outcome: "granted"},
			"of nobody":    {From: start, To: start.Add(3 * time.Hour), Principal: "absent"},
		} {
			got, err := i.Statistics(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.count(q), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if _, err := i.Statistics(t.Context(), index.StatisticsQuery{By: []index.Field{"hour; DROP TABLE audit_hours"}}); err == nil {
			t.Error("counts can be split by anything")
		}
	})
}

// count is what statistics are to be, by going through all records.
func (w *town) count(q index.StatisticsQuery) (counts []index.HourCount) {
	from, to := q.From.Truncate(time.Hour), q.To.Add(time.Hour-1).Truncate(time.Hour)
	sums := map[index.HourCount]int64{}
	for n := range w.all {
		m := w.all[n].members
		if m["type"] != "exchange" {
			continue
		}
		text := func(name string) string { s, _ := m[name].(string); return s }
		c := index.HourCount{
			Hour:      time.UnixMilli(millisecondsOf(w.all[n].id)).UTC().Truncate(time.Hour),
			Principal: text("principal"), Rule: text("rule"), Outcome: text("outcome"),
		}
		for _, filter := range [][2]string{{q.Principal, c.Principal}, {q.Rule, c.Rule}, {q.Outcome, c.Outcome}} {
			if filter[0] != "" && filter[0] != filter[1] {
				c.Hour = time.Time{}
			}
		}
		if c.Hour.Before(from) || !c.Hour.Before(to) {
			continue
		}
		for field, value := range map[index.Field]*string{index.FieldPrincipal: &c.Principal, index.FieldRule: &c.Rule, index.FieldOutcome: &c.Outcome} {
			if !slices.Contains(q.By, field) {
				*value = ""
			}
		}
		sums[c]++
	}
	for c, n := range sums {
		c.Count = n
		counts = append(counts, c)
	}
	slices.SortFunc(counts, func(a, b index.HourCount) int {
		return strings.Compare(a.Hour.Format(time.RFC3339)+"\x00"+a.Principal+"\x00"+a.Rule+"\x00"+a.Outcome, b.Hour.Format(time.RFC3339)+"\x00"+b.Principal+"\x00"+b.Rule+"\x00"+b.Outcome)
	})
	return counts
}

package index_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lakegate/sts/audit/index"
)

// Each search of each field, for rare, common and absent values, goes by indexes alone: nothing is read whole, and nothing
// is sorted. It is so before and after the database has counted what is in its tables.
func TestSearchPlans(t *testing.T) {
	t.Parallel()
	searchPlans(t, 1_600)
}

func searchPlans(t *testing.T, n int) {
	t.Helper()
	w := newTown(t, 2, n)
	queries := append(fixedQueries(w), randomQueries(w, 8)...)
	onEach(t, func(t *testing.T, b *backend) {
		i := b.open(t, still, func(c *index.Config) { c.PartitionEvents = int64(n/2 - n/10) })
		w.feed(t, i, make([]int, len(w.logs)))
		checkPlans(t, i, w, queries)
		if err := i.Change(t.Context(), "ANALYZE"); err != nil {
			t.Fatal(err)
		}
		checkPlans(t, i, w, queries)
	})
}

func checkPlans(t *testing.T, i *index.Index, w *town, queries []index.Query) {
	t.Helper()
	for n, q := range queries {
		if q.PageSize = 15; n%20 == 0 {
			q.PageSize = 150
		}
		plans, found, err := i.Plans(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(len(w.find(q)), 2*q.PageSize); found != want {
			t.Errorf("%v finds %d, want %d", q.Terms, found, want)
		}
		checkSteps(t, plans, true)
	}
	plans, err := i.TailPlans(t.Context())
	if err != nil || len(plans) == 0 {
		t.Fatal(len(plans), err)
	}
	checkSteps(t, plans, true)
	if plans, err = i.StatisticsPlans(t.Context(), start); err != nil || len(plans) == 0 {
		t.Fatal(len(plans), err)
	}
	checkSteps(t, plans, false) // what is counted is grouped, somehow
}

var (
	// wholly reads a table, or an index, from end to end; sorts is whatever needs all rows before the first.
	wholly = regexp.MustCompile(`(?m)^SCAN (?:audit|e\b|t\d)|Seq Scan|Bitmap`)
	sorts  = regexp.MustCompile(`TEMP B-TREE|\bSort\b|Hash|Materialize`)
)

func checkSteps(t *testing.T, plans []index.Plan, inOrder bool) {
	t.Helper()
	for _, p := range plans {
		whole := strings.Join(p.Steps, "\n")
		if wholly.MatchString(whole) || inOrder && sorts.MatchString(whole) || !strings.Contains(strings.ToUpper(whole), "INDEX") && !strings.Contains(whole, "PRIMARY KEY") {
			t.Errorf("%s:\n%s", p.Statement, whole)
		}
		for n, step := range p.Steps {
			if strings.Contains(step, "Index") && strings.Contains(step, "Scan") && (n+1 == len(p.Steps) || !strings.HasPrefix(p.Steps[n+1], "Index Cond")) {
				t.Errorf("an index is read whole: %s:\n%s", p.Statement, whole)
			}
		}
	}
}

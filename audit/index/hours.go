package index

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
)

// hourKey is what exchanges are counted by.
type hourKey struct {
	hour                     int64 // Unix time over 3,600
	principal, rule, outcome string
}

func (k hourKey) compare(o hourKey) int {
	return cmp.Or(cmp.Compare(k.hour, o.hour), cmp.Compare(k.principal, o.principal), cmp.Compare(k.rule, o.rule), cmp.Compare(k.outcome, o.outcome))
}

const hourMilliseconds = 3_600_000

// hourCounts counts exchanges.
type hourCounts map[hourKey]int64

func (h hourCounts) count(r *prepared) {
	if r.of.counted {
		k := r.of.hour
		k.hour = r.id.milliseconds() / hourMilliseconds
		h[k]++
	}
}

// save adds the counts to those that there are.
func (h hourCounts) save(ctx context.Context, tx *sql.Tx) error {
	for _, k := range slices.SortedFunc(maps.Keys(h), hourKey.compare) {
		if _, err := tx.ExecContext(ctx, "INSERT INTO audit_hours AS h (hour, principal, rule, outcome, count) VALUES ($1, $2, $3, $4, $5) "+
			"ON CONFLICT (hour, principal, rule, outcome) DO UPDATE SET count = h.count + excluded.count", k.hour, text(k.principal), text(k.rule), text(k.outcome), h[k]); err != nil {
			return err
		}
	}
	return nil
}

// text is s as PostgreSQL has it in a text, which is without NULs.
func text(s string) string { return strings.ReplaceAll(s, "\x00", "\ufffd") }

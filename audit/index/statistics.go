package index

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Statistics implements [Reading].
func (i *Index) Statistics(ctx context.Context, q StatisticsQuery) ([]HourCount, error) {
	statement, args, err := q.statement()
	if err != nil {
		return nil, err
	}
	var counts []HourCount
	err = i.look(ctx, func(tx *sql.Tx) error {
		counts = nil
		return each(ctx, tx, statement, args, func(scan func(...any) error) error {
			var c HourCount
			var hour int64
			err := scan(&hour, &c.Principal, &c.Rule, &c.Outcome, &c.Count)
			c.Hour = time.Unix(hour*3600, 0).UTC()
			counts = append(counts, c)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("counting in the audit index: %w", err)
	}
	// Not by the database, whose order of texts is its own.
	slices.SortFunc(counts, func(a, b HourCount) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Outcome, b.Outcome))
	})
	return counts, nil
}

func (q *StatisticsQuery) statement() (statement string, args []any, err error) {
	const hour = 3600
	args = []any{floorDiv(q.From.Unix(), hour), floorDiv(q.To.Add(time.Hour-1).Unix(), hour)}
	columns, where := []string{"''", "''", "''"}, "hour >= $1 AND hour < $2"
	by := []string{"hour"}
	names := []Field{FieldPrincipal, FieldRule, FieldOutcome}
	for n, value := range []string{q.Principal, q.Rule, q.Outcome} {
		if slices.Contains(q.By, names[n]) {
			columns[n] = string(names[n])
			by = append(by, columns[n])
		}
		if value != "" {
			args = append(args, text(value))
			where += fmt.Sprintf(" AND %s = $%d", names[n], len(args))
		}
	}
	for _, f := range q.By {
		if !slices.Contains(names, f) {
			return "", nil, fmt.Errorf("counts can't be split by %q, only by %v", f, names)
		}
	}
	return "SELECT hour, " + strings.Join(columns, ", ") + ", CAST(sum(count) AS BIGINT) FROM audit_hours WHERE " + where +
		" GROUP BY " + strings.Join(by, ", "), args, nil
}

// floorDiv is a/b, rounded down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

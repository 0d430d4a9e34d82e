package index

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Plan is how the database does a statement.
type Plan struct {
	Statement string
	Steps     []string
}

// explaining asks for the plan of each statement before it is run.
type explaining struct {
	queryer
	sqlite bool
	plans  *[]Plan
}

func (e explaining) QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	if err := e.explain(ctx, statement, args); err != nil {
		return nil, err
	}
	return e.queryer.QueryContext(ctx, statement, args...)
}

func (e explaining) QueryRowContext(ctx context.Context, statement string, args ...any) *sql.Row {
	if err := e.explain(ctx, statement, args); err != nil {
		panic(err)
	}
	return e.queryer.QueryRowContext(ctx, statement, args...)
}

func (e explaining) explain(ctx context.Context, statement string, args []any) error {
	p := Plan{Statement: statement}
	explain := "EXPLAIN "
	if e.sqlite {
		explain = "EXPLAIN QUERY PLAN "
	}
	err := each(ctx, e.queryer, explain+statement, args, func(scan func(...any) error) error {
		var step string
		var n any
		into := []any{&step}
		if e.sqlite {
			into = []any{&n, &n, &n, &step}
		}
		err := scan(into...)
		p.Steps = append(p.Steps, strings.TrimSpace(step))
		return err
	})
	if err != nil {
		return fmt.Errorf("explaining %s: %w", statement, err)
	}
	if !strings.Contains(statement, "FROM audit_partitions") { // a short list, which is read as a whole
		*e.plans = append(*e.plans, p)
	}
	return nil
}

// Plans are those of the statements of a search's first two pages.
func (i *Index) Plans(ctx context.Context, q Query) (plans []Plan, found int, err error) {
	err = i.explaining(ctx, &plans, func(tx queryer) error {
		below := greatestID
		for range 2 {
			page, err := i.search(tx, &q).page(ctx, below)
			found += len(page.Events)
			if q.Page = page.Next; q.Page == "" || err != nil {
				return err
			}
			if below, err = q.below(); err != nil {
				return err
			}
		}
		return nil
	})
	return plans, found, err
}

// TailPlans are those of going on behind the beginning of all logs.
func (i *Index) TailPlans(ctx context.Context) (plans []Plan, err error) {
	err = i.explaining(ctx, &plans, func(tx queryer) error {
		all, err := origins(ctx, tx)
		if err != nil {
			return err
		}
		plans = nil // of which there are few
		for _, o := range all {
			if _, err := (&tailer{i: i, since: map[string]int64{}}).read(ctx, tx, o, o.next/2); err != nil {
				return err
			}
		}
		return nil
	})
	return plans, err
}

// StatisticsPlans are those of counting a day.
func (i *Index) StatisticsPlans(ctx context.Context, day time.Time) (plans []Plan, err error) {
	q := StatisticsQuery{From: day, To: day.Add(24 * time.Hour), By: []Field{FieldOutcome}, Rule: "rule-1"}
	statement, args, err := q.statement()
	if err != nil {
		return nil, err
	}
	err = i.explaining(ctx, &plans, func(tx queryer) error {
		return each(ctx, tx, statement, args, func(func(...any) error) error { return nil })
	})
	return plans, err
}

func (i *Index) explaining(ctx context.Context, plans *[]Plan, f func(tx queryer) error) error {
	return i.look(ctx, func(tx *sql.Tx) error {
		*plans = nil
		return f(explaining{tx, i.c.SQLite != "", plans})
	})
}

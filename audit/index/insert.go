package index

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// inserter puts events into partitions, within a transaction: in bulk, and their terms sorted, so that those of one value
// lie together and a page of the index is written once.
type inserter struct {
	d    *database
	conn *sql.Conn
	tx   *sql.Tx
	// careful says to look at each row: PostgreSQL refuses a bulk of which one row is there already.
	careful bool
}

// marks are n placeholders, the first of which is number from.
func marks(from, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(list, ", ")
}

// termRow is a row of a terms table.
type termRow struct {
	term int64
	id   id
}

// insert puts records of a log into the partition that grows, and into the next when that is full, and counts them.
func (in *inserter) insert(ctx context.Context, origin int64, records []prepared, limit int64) error {
	hours := hourCounts{}
	for len(records) > 0 {
		p, err := in.d.growing(ctx, in.tx, limit)
		if err != nil {
			return err
		}
		n := int(min(int64(len(records)), limit-p.events))
		if err := in.fill(ctx, p, origin, records[:n]); err != nil {
			return err
		}
		for r := range records[:n] {
			hours.count(&records[r])
		}
		records = records[n:]
	}
	return hours.save(ctx, in.tx)
}

// fill puts records into p, for which there is room.
func (in *inserter) fill(ctx context.Context, p *partition, origin int64, records []prepared) error {
	var terms []termRow
	for n := range records {
		r := &records[n]
		if r.id.compare(p.least) < 0 {
			p.least = r.id
		}
		if r.id.compare(p.greatest) > 0 {
			p.greatest = r.id
		}
		for _, term := range r.of.terms {
			terms = append(terms, termRow{term, r.id})
		}
	}
	p.events += int64(len(records))
	slices.SortFunc(terms, func(a, b termRow) int {
		return cmp.Or(cmp.Compare(a.term, b.term), bytes.Compare(a.id[:], b.id[:]))
	})
	terms = slices.Compact(terms)
	if err := in.rows(ctx, eventsTable(p.n), []string{"id", "origin", "place", "record"}, len(records), func(n int, row []any) {
		r := &records[n]
		row[0], row[1], row[2], row[3] = r.id[:], origin, int64(r.place), r.line //nolint:gosec // no log has that many records
	}); err != nil {
		return fmt.Errorf("writing events: %w", err)
	}
	if err := in.rows(ctx, termsTable(p.n), []string{"term", "id"}, len(terms), func(n int, row []any) {
		row[0], row[1] = terms[n].term, terms[n].id[:]
	}); err != nil {
		return fmt.Errorf("writing terms: %w", err)
	}
	return p.save(ctx, in.tx)
}

// rows inserts n rows, each of which is filled in by row.
func (in *inserter) rows(ctx context.Context, table string, columns []string, n int, row func(n int, row []any)) error {
	if in.d.sqlite || in.careful {
		return in.byStatements(ctx, table, columns, n, row)
	}
	return in.conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return errors.New("not a connection to PostgreSQL")
		}
		at, values := 0, make([]any, len(columns))
		_, err := c.Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
			if at == n {
				return nil, nil
			}
			row(at, values)
			at++
			return values, nil
		}))
		return err
	})
}

// maxMarks bounds the values of a statement.
const maxMarks = 1000

// byStatements inserts rows by as few statements as that makes, and leaves those that are there.
func (in *inserter) byStatements(ctx context.Context, table string, columns []string, n int, row func(n int, row []any)) error {
	for at, atOnce := 0, maxMarks/len(columns); at < n; at += atOnce {
		atOnce = min(atOnce, n-at)
		args := make([]any, atOnce*len(columns))
		for r := range atOnce {
			row(at+r, args[r*len(columns):])
		}
		if _, err := in.tx.ExecContext(ctx, in.statement(table, columns, atOnce), args...); err != nil {
			return err
		}
	}
	return nil
}

func (in *inserter) statement(table string, columns []string, rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", table, strings.Join(columns, ", "))
	for r := range rows {
		if r > 0 {
			b.WriteString(", ")
		}
		if in.d.sqlite {
			b.WriteString("(?" + strings.Repeat(", ?", len(columns)-1) + ")") // which is bound faster than by number
		} else {
			b.WriteString("(" + marks(1+r*len(columns), len(columns)) + ")")
		}
	}
	b.WriteString(" ON CONFLICT DO NOTHING")
	return b.String()
}

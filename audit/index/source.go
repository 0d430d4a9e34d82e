package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	// statementRows is what one more statement costs, in rows.
	statementRows = 50
	// foundRows is what reading and checking a hit costs, in rows of terms.
	foundRows = 10
	// leastShare is how many hits are read at least, where they are wanted.
	leastShare = 16
	// countRows is up to where the rows of a term are counted, to find the rarest.
	countRows = 2_000
	// firstStep is how many rows of the driving term are gone through at first, where others must hold, too; each further
	// step is stepGrowth times as long, up to lastStep.
	firstStep, stepGrowth, lastStep = 512, 2, 2_048
	// joined is how many terms the database checks, which is SQLite's limit of tables rather than a need; the rest is
	// checked here.
	joined = 16
	// unknown is more rows than a partition has.
	unknown = math.MaxInt
)

// source is a partition that is read from its greatest id down.
type source struct {
	n int64
	// What is still to be read is [low, high).
	low, high id
	// hits have been read and not yet been given, the newest first; all are at high or above.
	hits []hit
	// terms are the query's, the rarest here first; nil until they have been counted.
	terms []Term
	// left is how many rows the first of them has from high down, if that is known; step how many are gone through next.
	left, step int
}

// sources are a heap of partitions, the one first that may have the greatest id.
type sources []*source

func (s sources) Len() int      { return len(s) }
func (s sources) Swap(a, b int) { s[a], s[b] = s[b], s[a] }
func (s *sources) Push(x any)   { *s = append(*s, x.(*source)) }

func (s *sources) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	*s = (*s)[:last]
	return x
}

func (s sources) Less(a, b int) bool {
	x, y := s[a], s[b]
	switch {
	case len(x.hits) > 0 && len(y.hits) > 0:
		return x.hits[0].id.compare(y.hits[0].id) > 0
	case len(x.hits) > 0:
		return x.hits[0].id.compare(y.high) >= 0 // y goes on below high
	case len(y.hits) > 0:
		return x.high.compare(y.hits[0].id) > 0
	default:
		return x.high.compare(y.high) > 0
	}
}

// fetch reads at most want further hits of p, or learns that there is none for a while.
func (s *search) fetch(ctx context.Context, p *source, want int) error {
	s.rows += statementRows
	floor := p.low
	if len(s.terms) > 1 {
		if err := s.choose(ctx, p); err != nil {
			return err
		}
		if p.left > p.step {
			var err error
			if floor, err = s.floor(ctx, p); err != nil {
				return err
			}
		}
		s.rows += min(p.left, p.step)
		p.step = min(p.step*stepGrowth, lastStep)
	} else {
		p.terms = s.terms
	}
	if p.left == 0 {
		p.high = p.low
		return nil
	}
	statement, args := p.statement(floor, want)
	found, err := s.read(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("partition %d: %w", p.n, err)
	}
	s.rows += foundRows * len(found)
	if len(found) == want { // there may be more above floor
		floor, p.left = found[want-1].id, unknown
	}
	p.high = floor
	p.hits = slices.DeleteFunc(found, func(h hit) bool { return !(h.bare() && len(p.terms) <= joined) && !Matches(&h.Event, s.q) })
	return nil
}

// choose finds the rarest term, which then drives, by counting up to a bound.
func (s *search) choose(ctx context.Context, p *source) error {
	if p.terms != nil {
		return nil
	}
	var b strings.Builder
	args := []any{p.low[:], p.high[:]}
	for i, t := range s.terms[:min(len(s.terms), joined)] {
		args = append(args, t.hash())
		fmt.Fprintf(&b, ", (SELECT count(*) FROM (SELECT 1 FROM %s WHERE term = $%d AND id >= $1 AND id < $2 LIMIT %d) AS counted%d)", termsTable(p.n), len(args), countRows, i)
	}
	counts := make([]int, len(args)-2)
	dest := make([]any, len(counts))
	for i := range counts {
		dest[i] = &counts[i]
	}
	if err := s.tx.QueryRowContext(ctx, "SELECT "+b.String()[2:], args...).Scan(dest...); err != nil {
		return fmt.Errorf("counting in partition %d: %w", p.n, err)
	}
	for _, n := range counts {
		s.rows += n
	}
	rarest := slices.Index(counts, slices.Min(counts))
	p.terms = slices.Concat(s.terms[rarest:rarest+1], s.terms[:rarest], s.terms[rarest+1:])
	if p.left = counts[rarest]; p.left == countRows {
		p.left = unknown
	}
	return nil
}

// floor is the id down to which the next step goes: a bound that the database is given, since a LIMIT bounds only what it
// finds and not how long it seeks.
func (s *search) floor(ctx context.Context, p *source) (floor id, err error) {
	statement := fmt.Sprintf("SELECT id FROM %s WHERE term = $1 AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT 1 OFFSET $4", termsTable(p.n))
	var name []byte
	err = s.tx.QueryRowContext(ctx, statement, p.terms[0].hash(), p.low[:], p.high[:], int64(p.step-1)).Scan(&name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p.low, nil // it goes down to the end
	case err != nil:
		return floor, fmt.Errorf("looking ahead in partition %d: %w", p.n, err)
	}
	copy(floor[:], name)
	return floor, nil
}

// statement reads the events of [floor, high) that have all of p's terms, the newest first. The tables stand in the order
// in which they are gone through, which CROSS JOIN makes SQLite keep, and join_collapse_limit PostgreSQL.
func (p *source) statement(floor id, limit int) (statement string, args []any) {
	args = []any{floor[:], p.high[:], int64(limit)}
	if len(p.terms) == 0 {
		return fmt.Sprintf("SELECT "+eventColumns+" FROM %s e WHERE e.id >= $1 AND e.id < $2 ORDER BY e.id DESC LIMIT $3", eventsTable(p.n)), args
	}
	var from, where strings.Builder
	for i, t := range p.terms[:min(len(p.terms), joined)] {
		args = append(args, t.hash())
		fmt.Fprintf(&from, "%s t%d CROSS JOIN ", termsTable(p.n), i)
		fmt.Fprintf(&where, "t%d.term = $%d AND ", i, len(args))
		if i > 0 {
			fmt.Fprintf(&where, "t%d.id = t0.id AND ", i)
		}
	}
	return fmt.Sprintf("SELECT "+eventColumns+" FROM %s%s e WHERE %se.id = t0.id AND t0.id >= $1 AND t0.id < $2 ORDER BY t0.id DESC LIMIT $3",
		&from, eventsTable(p.n), &where), args
}

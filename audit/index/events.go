package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lakegate/sts/audit"
)

// hit is an event as it was found.
type hit struct {
	id     id
	origin int64
	Event
}

// bare reports whether h is a repeat of an exchange that is past its retention, or a record that can't be read. By what it
// was found can't be seen of it any more, so it is taken at its terms' word.
func (h *hit) bare() bool {
	return h.Exchange == nil && h.Mint == nil && h.Subject == nil && h.Admin == nil && h.Failures == nil && h.Segment == nil
}

// decode reads the record of an id. One that a newer program wrote, or that is damaged, is shown as it stands: it is
// nothing to refuse the others for, which are on its page or are to be made anew with it.
func decode(at id, line []byte) audit.Record {
	r, err := audit.Decode(line)
	if err != nil {
		r = audit.Record{Raw: line}
		if json.Unmarshal(line, &r.Header) != nil {
			r.Header = audit.Header{Time: time.UnixMilli(at.milliseconds()).UTC()}
		}
		r.ID = at.String()
	}
	return r
}

// reader reads events out of one look at the database.
type reader struct {
	tx queryer
	// origins are the names of logs, as far as they were needed.
	origins map[int64]string
	// firsts are the exchanges that others repeat, as far as they were needed; nil is of one that is not there any more.
	firsts map[place]*audit.ExchangeRecord
}

// place is a record of a log.
type place struct {
	origin int64
	id     id
}

// eventColumns is what reader.read wants of events e.
const eventColumns = "e.id, e.origin, e.place, e.record"

// read runs a statement that selects eventColumns, and makes repeats whole.
func (r *reader) read(ctx context.Context, statement string, args ...any) ([]hit, error) {
	var found []hit
	err := each(ctx, r.tx, statement, args, func(scan func(...any) error) (err error) {
		var h hit
		var name, record []byte
		var at int64
		if err := scan(&name, &h.origin, &at, &record); err != nil {
			return err
		}
		if h.id, err = toID(name); err != nil {
			return err
		}
		h.Place = uint64(at) //nolint:gosec // not below 0
		h.Record = decode(h.id, record)
		found = append(found, h)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range found {
		if found[i].Origin, err = r.origin(ctx, found[i].origin); err != nil {
			return nil, err
		}
	}
	return found, r.complete(ctx, found)
}

// origin is the name of a log. (A join would have SQLite go through all of them once it has counted that they are few.)
func (r *reader) origin(ctx context.Context, n int64) (string, error) {
	if name, ok := r.origins[n]; ok {
		return name, nil
	}
	var name string
	if err := r.tx.QueryRowContext(ctx, "SELECT name FROM audit_origins WHERE n = $1", n).Scan(&name); err != nil {
		return "", fmt.Errorf("looking for the name of a log: %w", err)
	}
	if r.origins == nil {
		r.origins = map[int64]string{}
	}
	r.origins[n] = name
	return name, nil
}

// complete makes exchanges of repeats, as far as what they repeat is still there.
func (r *reader) complete(ctx context.Context, found []hit) error {
	if r.firsts == nil {
		r.firsts = map[place]*audit.ExchangeRecord{}
	}
	var missing []id
	for i := range found {
		of, ok := found[i].repeats()
		if _, known := r.firsts[of]; ok && !known {
			r.firsts[of] = nil
			missing = append(missing, of.id)
		}
	}
	for some := range slices.Chunk(missing, firstsAtOnce) {
		if err := r.findFirsts(ctx, some); err != nil {
			return fmt.Errorf("looking for what was repeated: %w", err)
		}
	}
	for i := range found {
		if of, ok := found[i].repeats(); ok && r.firsts[of] != nil {
			found[i].Exchange = found[i].Repeat.In(r.firsts[of])
		}
	}
	return nil
}

// repeats is the exchange that h repeats, which is in the same log.
func (h *hit) repeats() (of place, ok bool) {
	if h.Repeat == nil {
		return of, false
	}
	of.origin = h.origin
	of.id, ok = parseID(h.Repeat.Of)
	return of, ok
}

// findFirsts reads those of r.firsts that have these ids.
func (r *reader) findFirsts(ctx context.Context, ids []id) error {
	low, high := ids[0], ids[0]
	args := make([]any, len(ids))
	for i, of := range ids {
		low, high, args[i] = lesser(low, of), greater(high, of), of[:]
	}
	all, err := partitions(ctx, r.tx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.events == 0 || p.least.compare(high) > 0 || p.greatest.compare(low) < 0 {
			continue
		}
		statement := fmt.Sprintf("SELECT id, origin, record FROM %s WHERE id IN (%s)", eventsTable(p.n), marks(1, len(ids)))
		if err := each(ctx, r.tx, statement, args, r.first); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) first(scan func(...any) error) error {
	var at place
	var name, record []byte
	if err := scan(&name, &at.origin, &record); err != nil {
		return err
	}
	var err error
	if at.id, err = toID(name); err != nil {
		return err
	}
	if _, asked := r.firsts[at]; !asked {
		return nil // of another log, which nobody repeats in this one
	}
	first := decode(at.id, record)
	r.firsts[at] = first.Exchange
	return nil
}

func toID(b []byte) (i id, err error) {
	if len(b) != len(i) {
		return i, errors.New("an id in it is damaged; run sts audit reindex")
	}
	return id(b), nil
}

package export

import (
	"fmt"

	"github.com/lakegate/sts/audit"
)

// Whole is a record with what others say that it refers to.
type Whole struct {
	audit.Record
	// RepeatOf is the id of the exchange of which this one is a repeat; "" where it is none. Exchange is then the whole, and
	// Raw is it as a line.
	RepeatOf string
	// Who is the record of an exchange's subject; nil where it isn't known.
	Who *audit.SubjectRecord
	// Gap is set where this stands for records that can't be sent.
	Gap *Gap
}

// Gap is a stretch of a log that can't be sent.
type Gap struct {
	Origin  string `json:"origin"`
	First   uint64 `json:"first"`
	Records uint64 `json:"records"`
	Cause   string `json:"cause"` // retention, damaged, missing
}

// whole makes records whole.
type whole struct{ places places }

// record writes an entry for the far end.
func (w *whole) record(e *audit.Entry, f Format) (Record, error) {
	if err := w.places.note(e.File, e.Offset, e.Raw); err != nil {
		return Record{}, err
	}
	all := Whole{Record: e.Record}
	if e.Repeat != nil {
		if err := w.unfold(&all); err != nil {
			return Record{}, err
		}
	}
	if x := all.Exchange; x != nil && x.Subject != nil && f.NeedsSubjects() {
		line, err := w.places.line(x.Subject.ID)
		if err != nil {
			return Record{}, err
		}
		if r, err := audit.Decode(line); line != nil && err == nil {
			all.Who = r.Subject
		}
	}
	return written(&all, f)
}

// written is a record in a format.
func written(all *Whole, f Format) (Record, error) {
	line, err := f.Line(all)
	if err != nil {
		return Record{}, fmt.Errorf("writing the record %s for an export: %w", all.ID, err)
	}
	return Record{ID: all.ID, Type: all.Type, Outcome: outcomeOf(&all.Record), Time: all.Time, Line: line}, nil
}

// unfold makes a repeat the exchange that it was. Where that is not to be found, the repeat goes as it is: nothing that it
// says is lost.
func (w *whole) unfold(all *Whole) error {
	repeat := all.Repeat
	line, err := w.places.line(repeat.Of)
	if line == nil || err != nil {
		return err
	}
	first, err := audit.Decode(line)
	if err != nil || first.Exchange == nil {
		return nil //nolint:nilerr // damaged, and told of by itself
	}
	unfolded, err := unfold(line, all.Raw)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	all.RepeatOf = repeat.Of
	all.Exchange, all.Raw, all.Type = repeat.In(first.Exchange), unfolded, first.Type
	return nil
}

// unfold is what audit.RepeatRecord.In does, with lines: full is that of the exchange. All that both have in common stays
// as it was written.
func unfold(full, repeat []byte) ([]byte, error) {
	o, err := parseObject(full)
	if err != nil {
		return nil, err
	}
	r, err := parseObject(repeat)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"id", "time", "replica"} {
		o = o.with(name, r.get(name), "type")
	}
	o = o.with("repeat_of", r.get("of"), "replica")
	if end := r.get("expires_at"); end != nil {
		o = o.with("expires_at", end, "")
	}
	o = o.with("cache", r.get("cache"), "mint").with("duration_us", r.get("duration_us"), "")

	var claimed object
	if text := o.get("claimed"); text != nil {
		if claimed, err = parseObject(text); err != nil {
			return nil, err
		}
	}
	if claimed = claimed.with("request_id", r.get("request_id"), ""); len(claimed) == 0 {
		return o.with("claimed", nil, "").text(), nil
	}
	after := "peer"
	if o.index(after) < 0 {
		after = "client"
	}
	return o.with("claimed", claimed.text(), after).text(), nil
}

// outcomeOf is how what a record tells of ended.
func outcomeOf(r *audit.Record) string {
	switch {
	case r.Exchange != nil:
		return r.Exchange.Outcome
	case r.Mint != nil:
		return r.Mint.Outcome
	case r.Admin != nil:
		return r.Admin.Outcome
	case r.Failures != nil:
		return "denied"
	}
	return ""
}

package export

import (
	"encoding/json"
	"time"

	"github.com/lakegate/sts/audit"
)

// Format writes records for a far end.
type Format interface {
	// Line returns a record as one JSON object, without the end of the line.
	Line(w *Whole) ([]byte, error)
	// NeedsSubjects says whether Line looks at Whole.Who.
	NeedsSubjects() bool
}

var (
	// JSON is the record as it stands in the log, byte for byte; a repeat is the exchange that it was, with repeat_of.
	JSON Format = jsonFormat{}
	// OCSF is an event of the Open Cybersecurity Schema Framework.
	OCSF Format = ocsfFormat{}
)

// typeGap is the type of what stands in a log's place; no log has it.
const typeGap = "gap"

type jsonFormat struct{}

func (jsonFormat) NeedsSubjects() bool { return false }

func (jsonFormat) Line(w *Whole) ([]byte, error) {
	if w.Gap == nil {
		return w.Raw, nil
	}
	return json.Marshal(struct {
		Type    string    `json:"type"`
		ID      string    `json:"id"`
		Time    time.Time `json:"time"`
		Replica string    `json:"replica"`
		*Gap
	}{typeGap, w.ID, w.Time, w.Replica, w.Gap})
}

// gapRecord is what is sent in the place of records that can't be.
func gapRecord(b *Batch, replica string, g *gap, f Format) Record {
	w := &Whole{
		Record: audit.Record{Header: audit.Header{Type: typeGap, ID: b.ID, Time: g.Time, Replica: replica}},
		Gap:    &Gap{Origin: b.Origin, First: b.From, Records: b.To - b.From, Cause: g.Cause},
	}
	r, err := written(w, f)
	if err != nil { // texts and numbers always encode
		r = Record{ID: b.ID, Type: typeGap, Time: g.Time, Line: []byte(`{"type":"gap"}`)}
	}
	return r
}

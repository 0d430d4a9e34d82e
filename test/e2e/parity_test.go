package e2e_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parity collects which decision each entrance came to in a row.
type parity map[string]map[string]string // row, entrance: decision id

func (p parity) add(row, entrance string, a answer) {
	if p[row] == nil {
		p[row] = map[string]string{}
	}
	p[row][entrance] = a.DecisionID
}

// hold holds that one request leaves one record, whichever entrance it came through, but for the entrance. Failures from
// before client authentication have no record of their own.
func (p parity) hold(t *testing.T, w *world) {
	t.Helper()
	records := map[string]record{}
	for _, r := range w.Records() {
		if r.Type == "exchange" {
			records[r.ID] = r
		}
	}
	for row, decisions := range p {
		var first *record
		for _, e := range entrances {
			is, recorded := records[decisions[e.name]]
			if !recorded {
				continue
			}
			if is.Entrance != e.name {
				t.Errorf("%s: recorded as of entrance %q, not %q", row, is.Entrance, e.name)
			}
			is = comparable(is)
			if first == nil {
				first = &is
			}
			if diff := cmp.Diff(*first, is); diff != "" {
				t.Errorf("%s: %s left another record than the first entrance:\n%s", row, e.name, diff)
			}
		}
	}
}

// comparable is a record without what differs between two requests for the same: when, and with which tokens.
func comparable(r record) record {
	r.ID, r.Entrance, r.Time, r.DurationUS = "", "", time.Time{}, 0
	r.ExpiresAt, r.TrueExpiresAt = time.Time{}, time.Time{}
	r.Mint, r.Cache, r.TokenSHA256 = "", "", ""
	r.SubjectToken.JTI, r.SubjectToken.SHA256 = "", ""
	return r
}

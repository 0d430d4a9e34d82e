package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	tenMinutes  = 10 * time.Minute
	quarterHour = 15 * time.Minute
)

// record is a record of the audit log, of any type, as far as tests look at it.
type record struct {
	Type     string    `json:"type"`
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Entrance string    `json:"entrance"`
	Client   string    `json:"client"`
	Peer     string    `json:"peer"`
	Claimed  struct {
		Source    string `json:"source"`
		Route     string `json:"route"`
		RequestID string `json:"request_id"`
	} `json:"claimed"`
	Subject       reference      `json:"subject"`
	Target        map[string]any `json:"target"`
	Outcome       string         `json:"outcome"`
	Reason        string         `json:"reason"`
	Rule          string         `json:"rule"`
	Policy        string         `json:"policy"`
	Principal     string         `json:"principal"`
	ApplicationID string         `json:"application_id"`
	Workspace     string         `json:"workspace"`
	Scopes        []string       `json:"scopes"`
	ExpiresAt     time.Time      `json:"expires_at"`
	TrueExpiresAt time.Time      `json:"true_expires_at"`
	Bound         string         `json:"bound"`
	Mint          string         `json:"mint"`
	Cache         string         `json:"cache"`
	TokenSHA256   string         `json:"token_sha256"`
	SubjectToken  subjectToken   `json:"subject_token"`
	DurationUS    int64          `json:"duration_us"`
	Cause         string         `json:"cause"`
	Action        string         `json:"action"`
	Object        string         `json:"object"`
	Detail        string         `json:"detail"`
	Count         int            `json:"count"`
	Groups        []string       `json:"groups"`
	Claims        map[string]any `json:"claims"`
	Of            string         `json:"of"`
	RequestID     string         `json:"request_id"`
}

// of is a repeat with all that the record says which it repeats.
func (r record) of(full record) record {
	full.Type, full.ID, full.Time, full.Cache, full.DurationUS = "exchange", r.ID, r.Time, r.Cache, r.DurationUS
	full.Claimed.RequestID = r.RequestID
	if !r.ExpiresAt.IsZero() {
		full.ExpiresAt = r.ExpiresAt
	}
	return full
}

type reference struct {
	Issuer string `json:"issuer"`
	Sub    string `json:"sub"`
}

type subjectToken struct {
	JTI    string `json:"jti"`
	SHA256 string `json:"sha256"`
	Type   string `json:"type"`
}

// UnmarshalJSON takes the subject of an exchange record, an object, and leaves other forms of the word alone.
func (r *reference) UnmarshalJSON(text []byte) error {
	type plain reference
	var p plain
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &p); err != nil {
			return err
		}
	}
	*r = reference(p)
	return nil
}

// Records reads the audit log from its beginning, repeats as the exchanges that they were.
func (w *world) Records() []record {
	w.t.Helper()
	records, err := readRecords(w.auditDir)
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}

// wholeLines is a text without a line that has no end yet: that is still being written.
func wholeLines(text []byte) []byte { return text[:bytes.LastIndexByte(text, '\n')+1] }

func readRecords(dir string) ([]record, error) {
	var records []record
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".jsonl" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		full := map[string]record{} // of this segment, as a repeat's is
		for line := range bytes.Lines(wholeLines(text)) {
			var r record
			if err := json.Unmarshal(line, &r); err != nil {
				return err
			}
			if r.Type == "exchange" {
				full[r.ID] = r
			}
			if r.Type == "repeat" {
				r = r.of(full[r.Of])
			}
			records = append(records, r)
		}
		return nil
	})
	return records, err
}

// Of are the records of one type.
func (w *world) Of(typ string) []record {
	w.t.Helper()
	var of []record
	for _, r := range w.Records() {
		if r.Type == typ {
			of = append(of, r)
		}
	}
	return of
}

// Exchange is the record behind a decision id.
func (w *world) Exchange(decisionID string) record {
	w.t.Helper()
	var found []record
	for _, r := range w.Records() {
		if r.ID == decisionID {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("decision %s has %d records", decisionID, len(found))
	}
	return found[0]
}

// TestRowI03 holds that every decision id leads to exactly one record, those from before client authentication included.
func TestRowI03(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "I03", func(t *testing.T, w *world) {
		for _, tc := range []struct {
			name string
			a    answer
			typ  string
		}{
			{"granted", w.Ask(), "exchange"},
			{"bad token", w.Ask(token("x")), "exchange"},
			{"no rule", w.Ask(token(w.lasting("ada"))), "exchange"},
			{"malformed", w.Ask(with("subject_token_type", "")), "exchange"},
			{"wrong secret", w.Ask(func(r *request) { r.Secret = "wrong" }), "failures"},
			{"repeated", w.Ask(func(r *request) { r.Params["scope"] = []string{"a", "b"} }), "failures"},
		} {
			w.Eventually(tc.name+" is recorded", func() bool { // a summary is written when its second is over
				for _, r := range w.Records() {
					if r.ID == tc.a.DecisionID {
						return r.Type == tc.typ
					}
				}
				return false
			})
		}
	})
}

package search_test

import (
	"bytes"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
)

func splitLines(text []byte) iter.Seq[[]byte] {
	return bytes.SplitSeq(bytes.TrimSpace(text), []byte("\n"))
}

// ofTheMessage are members of an event that no record has.
var ofTheMessage = []string{"origin", "repeat_of", "groups_unknown"}

// shown is an event as the service shows it, as JSON.
func shown(t *testing.T, e *index.Event) map[string]any {
	t.Helper()
	s, f, _ := newService(t)
	f.page.Events = []index.Event{*e}
	answer, err := s.SearchEvents(t.Context(), &stsv1.SearchEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(answer.GetEvents()[0])
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

func parse(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

// plain brings records and messages to one form: times alike, and nothing that is empty, which messages leave out.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, member := range v {
			if member = plain(member); member != nil {
				kept[name] = member
			}
		}
		return kept
	case []any:
		if len(v) == 0 {
			return nil
		}
		for i := range v {
			v[i] = plain(v[i])
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
		if v == "" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return value
}

// No member of any record gets lost on its way into an event, nor does any change: of those of the log's own tests, and of
// each type.
func TestEventsLoseNothing(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range files {
		for _, e := range lines(t, filepath.Base(path)) {
			seen[e.Type] = true
			want, got := plain(parse(t, e.Raw)), shown(t, e)
			for _, name := range ofTheMessage {
				delete(got, name)
			}
			if diff := cmp.Diff(want, plain(got)); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	}
	for _, kind := range []string{"exchange", "mint", "admin", "failures", "subject"} {
		if !seen[kind] {
			t.Errorf("no record of type %s was looked at", kind)
		}
	}
}

// Every member that a record may have is a field of the message, by its name: so what is added to records can't be
// forgotten here. A record's claims are free, and members of segments are about the log's files.
func TestEventsHaveAllMembers(t *testing.T) {
	source, err := os.ReadFile("../read.go")
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"number": true, "first": true, "range": true, "of": true, "request_id": true}
	fields := (&stsv1.Event{}).ProtoReflect().Descriptor().Fields()
	// A record's type is a struct of the package; which of its members are its own, and which of a member of it, is known
	// by where they are written.
	members := 0
	for block := range strings.SplitSeq(string(source), "\ntype ") {
		name, body, _ := strings.Cut(block, " struct {")
		if !strings.HasSuffix(name, "Record") && name != "Header" || name == "Record" {
			continue
		}
		body, _, _ = strings.Cut(body, "\n}")
		for _, part := range strings.Split(body, "json:\"")[1:] {
			member, _, _ := strings.Cut(part, "\"")
			member, _, _ = strings.Cut(member, ",")
			members++
			if fields.ByName(protoreflect.Name(member)) == nil && !left[member] {
				t.Errorf("%s.%s is no field of an event", name, member)
			}
		}
	}
	if members < 60 {
		t.Errorf("only %d members were found", members)
	}
}

// A repeat is shown as the exchange that it is.
func TestEventOfARepeat(t *testing.T) {
	full := lines(t, "granted.jsonl")[1]
	record, err := audit.Decode([]byte(`{"type":"repeat","id":"01936f2e-0000-7000-8000-00000000000a","time":"2026-11-24T10:00:01.5Z","replica":"sts-0","of":"` +
		full.ID + `","request_id":"req-2","cache":"memory","duration_us":12}`))
	if err != nil {
		t.Fatal(err)
	}
	e := &index.Event{Record: record, Origin: "o", Place: 8}
	alone := plain(shown(t, e))
	want := map[string]any{
		"type": "exchange", "id": record.ID, "time": "2026-11-24T10:00:01.5Z", "replica": "sts-0", "origin": "o", "repeat_of": full.ID,
		"claimed": map[string]any{"request_id": "req-2"}, "cache": "memory", "duration_us": 12.0,
	}
	if diff := cmp.Diff(any(want), alone); diff != "" {
		t.Error("without its exchange: " + diff)
	}
	e.Exchange = record.Repeat.In(full.Exchange)
	whole := plain(parse(t, full.Raw)).(map[string]any)
	for name, value := range want {
		whole[name] = value
	}
	whole["claimed"] = map[string]any{"source": "203.0.113.9", "route": "models", "request_id": "req-2"}
	if diff := cmp.Diff(any(whole), plain(shown(t, e))); diff != "" {
		t.Error(diff)
	}
}

// What is known of groups: some, none, or nothing.
func TestEventOfASubject(t *testing.T) {
	for groups, unknown := range map[string]bool{`"groups":["a"],`: false, `"groups":[],`: false, "": true} {
		r, err := audit.Decode([]byte(`{"type":"subject","id":"01936f2e-0000-7000-8000-00000000000a","time":"2026-11-24T10:00:00Z","replica":"r",` + groups + `"claims":{}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(t, &index.Event{Record: r})["groups_unknown"]; (got == true) != unknown {
			t.Errorf("%q: groups_unknown is %v", groups, got)
		}
	}
}

// A count that no int32 holds is the most that one does; it costs nobody his page.
func TestEventOfALongTime(t *testing.T) {
	r, err := audit.Decode([]byte(`{"type":"failures","id":"01936f2e-0000-7000-8000-00000000000a","time":"2026-11-24T10:00:00Z","replica":"r","count":99999999999,"reasons":{"internal":99999999999}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := shown(t, &index.Event{Record: r})
	if diff := cmp.Diff([]any{2147483647.0, map[string]any{"internal": 2147483647.0}}, []any{got["count"], got["reasons"]}); diff != "" {
		t.Error(diff)
	}
	r, err = audit.Decode([]byte(`{"type":"exchange","id":"01936f2e-0000-7000-8000-00000000000a","time":"2026-11-24T10:00:00Z","replica":"r","duration_us":-99999999999}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, &index.Event{Record: r})["duration_us"]; got != -2147483648.0 {
		t.Errorf("a duration of %v", got)
	}
}

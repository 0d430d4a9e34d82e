package export_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/exchange"
)

var update = flag.Bool("update", false, "write testdata anew")

// events are one of each kind of record, in a log.
func events() []*exchange.Event {
	var i ids
	who := ada()
	denied := granted(i.next(), ada())
	denied.Exchange.Token, denied.Exchange.Decision = exchange.Token{}, exchange.Decision{Rule: "no-contractors", Policy: "5d41402abc4b2a76b9719d911017c592"}
	denied.Exchange.Err = exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonDeniedByRule, "denied")
	denied.Exchange.Decision.Denial = denied.Exchange.Err
	invalid := granted(i.next(), nil)
	invalid.Exchange.Token, invalid.Exchange.Decision = exchange.Token{}, exchange.Decision{}
	invalid.Exchange.Err = exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenInvalid, "invalid")
	delegated := granted(i.next(), who)
	delegated.Exchange.Actor = &exchange.Identity{Provider: "okta", Issuer: "https://acme.okta.example", Subject: "agent-7", TokenType: exchange.TypeAccessToken}
	delegated.Exchange.Prior = []exchange.Actor{{Provider: "okta", Issuer: "https://acme.okta.example", Subject: "agent-6"}}
	mint := &exchange.Mint{Cause: exchange.CauseMiss, Grant: denied.Exchange.Decision.Grant, Asked: start.Add(900e9), Token: delegated.Exchange.Token, Duration: 5e6}
	mint.Grant = delegated.Exchange.Decision.Grant
	failed := *mint
	failed.Token, failed.Err = exchange.Token{}, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "away")
	read := &exchange.Admin{Action: "audit.search", Object: "subject=00u1", By: &exchange.Caller{Entrance: "json", Source: delegated.Exchange.Call.Source, Bearer: ada()}}
	revoked := &exchange.Admin{
		Action: "token.revoke", Object: "a token's hash", Detail: "given up by this client",
		By: &exchange.Caller{Entrance: "form", Source: delegated.Exchange.Call.Source, Client: "kong"},
	}
	return []*exchange.Event{
		loaded(i.next()), granted(i.next(), who), granted(i.next(), who), denied, invalid, delegated,
		{ID: i.next(), Time: start, Mint: mint}, {ID: i.next(), Time: start, Mint: &failed},
		{ID: i.next(), Time: start, Admin: read}, {ID: i.next(), Time: start, Admin: revoked},
	}
}

// TestGolden holds what each kind of record is for a far end, in both formats. The files are also what docs/exports.md shows.
func TestGolden(t *testing.T) {
	w := newTown(t, events()...)
	l := open(t, w.dir, nil)
	l.RecordFailure(exchange.Failure{Entrance: "form", Source: granted("00", nil).Exchange.Call.Source, Err: exchange.Refuse(exchange.CodeInvalidClient, exchange.ReasonClientAuthenticationFailed, "no")})
	closeLog(t, l)
	w.log = still{l.Checkpoint()}
	for name, format := range map[string]export.Format{"json": export.JSON, "ocsf": export.OCSF} {
		lines := exported(t, w, format)
		var got bytes.Buffer
		for _, line := range lines {
			if err := json.Indent(&got, []byte(line), "", "  "); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(readFile(t, path), got.String()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		clear(w.ledger.entries)
	}
}

// checkOCSF holds what the schema requires of every event, of whatever class.
func checkOCSF(t *testing.T, line []byte, r *audit.Record) {
	t.Helper()
	var e struct {
		Activity *int   `json:"activity_id"`
		Category *int   `json:"category_uid"`
		Class    *int   `json:"class_uid"`
		Type     *int   `json:"type_uid"`
		Severity *int   `json:"severity_id"`
		Time     *int64 `json:"time"`
		Metadata struct {
			UID     string            `json:"uid"`
			Version string            `json:"version"`
			Product map[string]string `json:"product"`
		} `json:"metadata"`
		User     map[string]any  `json:"user"`
		Actor    map[string]any  `json:"actor"`
		API      map[string]any  `json:"api"`
		Src      map[string]any  `json:"src_endpoint"`
		Service  map[string]any  `json:"service"`
		Unmapped json.RawMessage `json:"unmapped"`
	}
	if bytes.ContainsAny(line, "\n") || !json.Valid(line) {
		t.Fatalf("not one line of JSON: %q", line)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	switch {
	case e.Activity == nil || e.Category == nil || e.Class == nil || e.Type == nil || e.Severity == nil || e.Time == nil:
		t.Fatalf("a required attribute is missing in %s", line)
	case *e.Type != *e.Class*100+*e.Activity || *e.Category != *e.Class/1000:
		t.Fatalf("class, activity and type don't fit in %s", line)
	case *e.Time != r.Time.UnixMilli():
		t.Fatalf("the time is %d, want %d", *e.Time, r.Time.UnixMilli())
	case e.Metadata.Version == "" || e.Metadata.Product["vendor_name"] == "":
		t.Fatalf("metadata is not whole in %s", line)
	}
	var same string // what JSON makes of an id that is not UTF-8
	if text, err := json.Marshal(r.ID); err != nil || json.Unmarshal(text, &same) != nil || e.Metadata.UID != same {
		t.Fatalf("the id is %q, want %q", e.Metadata.UID, r.ID)
	}
	switch *e.Class {
	case 0:
	case 3002:
		if e.User["name"] == nil && e.User["uid"] == nil || e.Service == nil {
			t.Fatalf("an Authentication without user or service: %s", line)
		}
	case 6003:
		if e.Actor == nil || e.API["operation"] == nil || e.Src == nil {
			t.Fatalf("an API Activity without actor, api or src_endpoint: %s", line)
		}
	default:
		t.Fatalf("class %d", *e.Class)
	}
}

// FuzzOCSF holds that every record that can be read has an event: one line of valid JSON, with its id and time, and what its
// class requires.
func FuzzOCSF(f *testing.F) {
	w := newTown(f, events()...)
	for r, err := range audit.Read(w.dir) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(r.Raw))
	}
	f.Add([]byte(`{"type":"exchange","id":"\ud800","time":"2026-11-24T10:00:00Z","subject":{}}`))
	f.Add([]byte(`{"type":"failures","time":"0001-01-01T00:00:00Z","source":"::1%eth0"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := audit.Decode(line)
		if err != nil {
			return
		}
		out, err := export.OCSF.Line(&export.Whole{Record: r})
		if err != nil {
			t.Fatalf("%v of %s", err, line)
		}
		checkOCSF(t, out, &r)
	})
}

// Nothing that a record says is lost in its event: what has no attribute is unmapped.
func TestOCSFKeepsAll(t *testing.T) {
	w := newTown(t, events()...)
	for r, err := range audit.Read(w.dir) {
		if err != nil {
			t.Fatal(err)
		}
		out, err := export.OCSF.Line(&export.Whole{Record: r})
		if err != nil {
			t.Fatal(err)
		}
		checkOCSF(t, out, &r)
		for _, value := range leaves(jsonOf(t, string(r.Raw))) {
			if !strings.Contains(string(out), value) {
				t.Errorf("%s is not in the event of %s:\n%s", value, r.Raw, out)
			}
		}
	}
}

// leaves are all texts and numbers of an object, but for those that are written otherwise: types and times.
func leaves(v any) (list []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if name != "time" && name != "outcome" {
				list = append(list, leaves(value)...)
			}
		}
	case []any:
		for _, value := range v {
			list = append(list, leaves(value)...)
		}
	case string:
		list = append(list, v)
	}
	return list
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

var tenOClock = timestamppb.New(time.Date(2026, 11, 24, 10, 0, 0, 999, time.FixedZone("", 3600)))

func TestEventTable(t *testing.T) {
	events := []*stsv1.Event{
		{Type: "exchange", Time: tenOClock, Id: "id-1", Client: "kong", Subject: &stsv1.Reference{Sub: "ada"}, Outcome: "granted", Rule: "engineers", Workspace: "prod", Principal: "ml"},
		{Type: "exchange", Time: tenOClock, Id: "id-2", Client: "kong", Subject: &stsv1.Reference{Sub: "repo:lakegate/sts:ref:refs/heads/main"}, Outcome: "denied", Reason: "denied_by_rule", Rule: "nobody", Target: &stsv1.Target{Workspace: "prod"}},
		{Type: "exchange", Time: tenOClock, Id: "id-3", Outcome: "denied", Reason: "subject_token_invalid", Target: &stsv1.Target{Resource: "https://h.example"}},
		{Type: "mint", Time: tenOClock, Id: "id-4", Outcome: "failed", Reason: "upstream_rejected", Cause: "miss", Workspace: "prod", Principal: "ml"},
		{Type: "admin", Time: tenOClock, Id: "id-5", Action: "mapping.get_rule", Object: "engineers", Caller: &stsv1.Caller{Sub: "audrey"}, Outcome: "granted"},
		{Type: "admin", Time: tenOClock, Id: "id-8", Action: "audit.lookup_token", Entrance: "cli", Claimed: &stsv1.Claimed{Source: "ada as sts"}},
		{Type: "failures", Time: tenOClock, Id: "id-6", Source: "192.0.2.1", Count: 3, Reasons: map[string]int32{"rate_limited": 2, "overloaded": 1}},
		{Type: "subject", Time: tenOClock, Id: "id-7", Sub: "a\x1b[31md\u202ea\xff", Provider: "okta"},
	}
	var out bytes.Buffer
	table := eventTable(screen{out: &out})
	for _, e := range events[:7] { // as in a tail: columns only get wider
		if err := table.print(eventRow(e)); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	var rows [][]cell
	for _, e := range events {
		rows = append(rows, eventRow(e))
	}
	if err := table.print(rows...); err != nil {
		t.Fatal(err)
	}
	const want = `
2026-11-24 09:00:00Z  exchange  granted  kong    ada                               prod/ml            engineers                     id-1
2026-11-24 09:00:00Z  exchange  denied   kong    repo:lakegate/s…:refs/heads/main  prod               denied_by_rule nobody         id-2
2026-11-24 09:00:00Z  exchange  denied                                             https://h.example  subject_token_invalid         id-3
2026-11-24 09:00:00Z  mint      failed                                             prod/ml            upstream_rejected miss        id-4
2026-11-24 09:00:00Z  admin     granted          audrey                            engineers          mapping.get_rule              id-5
2026-11-24 09:00:00Z  admin                      ada as sts                                           audit.lookup_token            id-8
2026-11-24 09:00:00Z  failures                                                     192.0.2.1          1 overloaded, 2 rate_limited  id-6
2026-11-24 09:00:00Z  subject                    a\u001b[31md\u202ea\xff                              okta                          id-7
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), out.String()); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	if err := eventTable(screen{out: &out, colours: true}).print(eventRow(events[1])); err != nil || !strings.Contains(out.String(), "\x1b[33mdenied\x1b[0m   kong") {
		t.Errorf("%v %q", err, out.String())
	}
}

func TestFacts(t *testing.T) {
	claims, err := structpb.NewStruct(map[string]any{"dept": "ml", "amr": []any{"mfa"}})
	if err != nil {
		t.Fatal(err)
	}
	got := facts(&stsv1.Event{
		Type: "subject", Time: tenOClock, Groups: []string{"a", "b"}, Claims: claims, Actors: []*stsv1.Reference{{Sub: "x"}, {Sub: "y"}},
		Subject: &stsv1.Reference{Issuer: "okta"}, Reasons: map[string]int32{"b": 2, "a": 1}, DurationUs: 7, Overflow: true,
	})
	want := []fact{
		{"type", "subject"}, {"time", "2026-11-24 09:00:00Z"}, {"subject.issuer", "okta"}, {"actors[0].sub", "x"}, {"actors[1].sub", "y"},
		{"duration_us", "7"}, {"groups", "a, b"}, {"claims", `{"amr":["mfa"],"dept":"ml"}`}, {"reasons.a", "1"}, {"reasons.b", "2"}, {"overflow", "true"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(fact{})); diff != "" {
		t.Error(diff)
	}
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2h": "2026-11-24T10:00:00Z", "7d": "2026-11-17T12:00:00Z", "90m": "2026-11-24T10:30:00Z", "0s": "2026-11-24T12:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T10:00:00+01:00": "2026-11-01T09:00:00Z",
		"-2h": "", "yesterday": "", "2026-13-01": "", "d": "", "1.5d": "", "-1d": "", "99999999999d": "", "12": "",
	} {
		got, err := parseMoment(text, now)
		if (err != nil) != (want == "") || err == nil && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v %v, want %s", text, got, err, want)
		}
	}
}

func TestShowToken(t *testing.T) {
	at := tenOClock.AsTime()
	yes, no := true, false
	until := timestamppb.New(at.Add(5 * time.Minute))
	event := &stsv1.Event{Type: "exchange", Id: "id-1", Time: tenOClock, Outcome: "granted", Rule: "engineers"}
	for _, tc := range []struct {
		name   string
		answer *stsv1.LookupTokenResponse
		want   string
	}{
		{"unknown", &stsv1.LookupTokenResponse{}, "NOT KNOWN: "},
		{"alive", &stsv1.LookupTokenResponse{Known: true, Kind: "handed_out", Alive: &yes, ExpiresAt: until, Events: []*stsv1.Event{event}}, "MAY STILL BE GOOD until 2026-11-24 09:05:00Z (5m0s)\na token of Databricks"},
		{"over", &stsv1.LookupTokenResponse{Known: true, Kind: "presented", Alive: &no, ExpiresAt: tenOClock}, "OVER since 2026-11-24 09:00:00Z\na token of an identity provider"},
		{"no end", &stsv1.LookupTokenResponse{Known: true, Kind: "presented"}, "ITS END ISN'T KNOWN\n"},
		{"only asked about", &stsv1.LookupTokenResponse{Known: true}, "ITS END ISN'T KNOWN\nof which we know only"},
	} {
		var out bytes.Buffer
		if err := showToken(screen{out: &out}, tc.answer, at); err != nil || !strings.HasPrefix(out.String(), tc.want) {
			t.Errorf("%s: %v %q", tc.name, err, out.String())
		}
		if n := strings.Count(out.String(), "id-1"); n != len(tc.answer.GetEvents()) {
			t.Errorf("%s: %s", tc.name, out.String())
		}
	}
}

func TestShowCounts(t *testing.T) {
	var out bytes.Buffer
	counts := []*stsv1.HourCount{
		{Hour: tenOClock, Count: 1234567, Outcome: "granted", Rule: "engineers"}, {Hour: tenOClock, Count: 1, Outcome: "denied"},
	}
	if err := showCounts(screen{out: &out}, []string{"rule", "outcome"}, counts); err != nil {
		t.Fatal(err)
	}
	const want = `HOUR                  COUNT    OUTCOME  RULE
2026-11-24 09:00:00Z  1234567  granted  engineers
2026-11-24 09:00:00Z        1  denied
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

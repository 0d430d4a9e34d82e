package search_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/exchange"
)

const (
	someID = "01936f2e-0000-7000-8000-000000000001"
	noID   = "01936f2e-0000-7000-8000-0000000000ff"
)

var someHash = strings.Repeat("ab", 32)

// terms are terms, field by field.
func terms(pairs ...string) (all []index.Term) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, index.Term{Field: index.Field(pairs[i]), Value: pairs[i+1]})
	}
	return all
}

// Each filter is a term of its own field, and goes to the index as it is.
func TestSearchAsks(t *testing.T) {
	s, f, _ := newService(t)
	from, to := today.Add(-time.Hour), today
	if _, err := s.SearchEvents(t.Context(), &stsv1.SearchEventsRequest{
		PageSize: 5000, PageToken: "p", From: timestamppb.New(from), To: timestamppb.New(to), Type: "exchange", Subject: "ada", Issuer: "i", Actor: "a",
		Client: "c", Principal: "p", Workspace: "w", Rule: "r", Outcome: "denied", Reason: "no_matching_rule", TokenSha256: someHash, Mint: someID,
		Source: "10.0.0.1", Action: "x.y", Object: "o", DecisionId: someID,
	}); err != nil {
		t.Fatal(err)
	}
	want := index.Query{From: from, To: to, ID: someID, PageSize: 1000, Page: "p", Terms: terms(
		"type", "exchange", "subject", "ada", "issuer", "i", "actor", "a", "client", "c", "principal", "p", "workspace", "w", "rule", "r",
		"outcome", "denied", "reason", "no_matching_rule", "token", someHash, "mint", someID, "source", "10.0.0.1", "action", "x.y", "object", "o",
	)}
	if diff := cmp.Diff(want, f.asked); diff != "" {
		t.Error(diff)
	}
	if _, err := s.SearchEvents(t.Context(), &stsv1.SearchEventsRequest{To: timestamppb.New(time.Time{})}); err != nil || f.asked.To.IsZero() {
		t.Errorf("what ended before the year 1 is asked for as all that there is: %v", err)
	}
	if _, err := s.SearchEvents(t.Context(), &stsv1.SearchEventsRequest{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(index.Query{PageSize: 50}, f.asked); diff != "" {
		t.Error(diff)
	}
}

// What can't be meant is refused, and what could be is said.
func TestSearchIsStrict(t *testing.T) {
	invalid := &timestamppb.Timestamp{Seconds: 1 << 60}
	for _, row := range []struct {
		r    *stsv1.SearchEventsRequest
		says string
	}{
		{&stsv1.SearchEventsRequest{PageSize: -1}, "page_size is negative; leave it out for 50"},
		{&stsv1.SearchEventsRequest{From: invalid}, "from is no time"},
		{&stsv1.SearchEventsRequest{To: invalid}, "to is no time"},
		{&stsv1.SearchEventsRequest{From: timestamppb.New(today), To: timestamppb.New(today)}, "to is not after from"},
		{&stsv1.SearchEventsRequest{Type: "repeat"}, "type is none of exchange, mint, admin, failures, subject"},
		{&stsv1.SearchEventsRequest{Outcome: "Granted"}, "outcome is none of granted, denied, failed"},
		{&stsv1.SearchEventsRequest{Reason: "because"}, "reason is none of subject_token_invalid, "},
		{&stsv1.SearchEventsRequest{TokenSha256: "eyJ"}, "token_sha256 is no SHA-256 in hex"},
		{&stsv1.SearchEventsRequest{TokenSha256: strings.ToUpper(someHash)}, "token_sha256 is no SHA-256 in hex"},
		{&stsv1.SearchEventsRequest{Mint: "1"}, "mint is no id of an event"},
		{&stsv1.SearchEventsRequest{DecisionId: strings.ToUpper(someID)}, "decision_id is no id of an event"},
		{&stsv1.SearchEventsRequest{DecisionId: "{" + someID + "}"}, "decision_id is no id of an event"},
	} {
		s, f, _ := newService(t)
		_, err := s.SearchEvents(t.Context(), row.r)
		e := wantReason(t, err, exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
		if !strings.HasPrefix(e.Message, row.says) {
			t.Errorf("%v: %s", row.r, e.Message)
		}
		if f.asked.PageSize != 0 {
			t.Errorf("%v: the index was asked", row.r)
		}
	}
}

// What the index says no to, in the words of the API, of every method.
func TestErrors(t *testing.T) {
	methods := map[string]func(*search.Service, context.Context) error{
		"SearchEvents": func(s *search.Service, ctx context.Context) error {
			_, err := s.SearchEvents(ctx, &stsv1.SearchEventsRequest{})
			return err
		},
		"GetEvent": func(s *search.Service, ctx context.Context) error {
			_, err := s.GetEvent(ctx, &stsv1.GetEventRequest{Id: someID})
			return err
		},
		"TailEvents": func(s *search.Service, ctx context.Context) error {
			return s.TailEvents(&stsv1.TailEventsRequest{}, &tail{ctx: ctx})
		},
		"LookupToken": func(s *search.Service, ctx context.Context) error {
			_, err := s.LookupToken(ctx, &stsv1.LookupTokenRequest{TokenSha256: someHash})
			return err
		},
		"GetReceipt": func(s *search.Service, ctx context.Context) error {
			_, err := s.GetReceipt(ctx, &stsv1.GetReceiptRequest{Id: someID})
			return err
		},
		"ListCheckpoints": func(s *search.Service, ctx context.Context) error {
			_, err := s.ListCheckpoints(ctx, &stsv1.ListCheckpointsRequest{})
			return err
		},
		"GetStatistics": func(s *search.Service, ctx context.Context) error {
			_, err := s.GetStatistics(ctx, &stsv1.GetStatisticsRequest{From: timestamppb.New(today), To: timestamppb.New(today.Add(1))})
			return err
		},
	}
	for name, call := range methods {
		s, f, _ := newService(t)
		for _, row := range []struct {
			err    error
			code   exchange.Code
			reason exchange.Reason
			says   string
		}{
			{errAway, exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "exchanges go on"},
			{context.DeadlineExceeded, exchange.CodeDeadline, exchange.ReasonDeadlineExceeded, ""},
			{fmt.Errorf("x: %w", index.ErrNotFound), exchange.CodeNotFound, exchange.ReasonNotFound, "no event of that id"},
			{fmt.Errorf("x: %w", index.ErrUncovered), exchange.CodeUnavailable, exchange.ReasonAuditUnavailable, "no checkpoint covers it yet"},
		} {
			f.err = row.err
			e := wantReason(t, exchange.AsError(call(s, t.Context())), row.code, row.reason)
			if !strings.Contains(e.Message, row.says) || strings.Contains(e.Message, "10.0.0.1") || row.code == exchange.CodeUnavailable && e.RetryAfter != time.Second {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
	s, f, _ := newService(t)
	left, leave := context.WithCancel(t.Context())
	leave()
	f.err = errors.New("interrupted (9)")
	_, err := s.SearchEvents(left, &stsv1.SearchEventsRequest{})
	wantReason(t, exchange.AsError(err), exchange.CodeDeadline, exchange.ReasonDeadlineExceeded)
	f.err = index.ErrCursor
	_, err = s.SearchEvents(t.Context(), &stsv1.SearchEventsRequest{PageToken: "x"})
	wantReason(t, err, exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
	wantReason(t, s.TailEvents(&stsv1.TailEventsRequest{Cursor: "x"}, &tail{ctx: t.Context()}), exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
	for _, id := range []string{"", "x", "../" + someID} {
		_, err := s.GetEvent(t.Context(), &stsv1.GetEventRequest{Id: id})
		wantReason(t, err, exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
		_, err = s.GetReceipt(t.Context(), &stsv1.GetReceiptRequest{Id: id})
		wantReason(t, err, exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
	}
}

// An exchange comes with the records of whom it was about, as far as they are there.
func TestGetEvent(t *testing.T) {
	s, f, _ := newService(t)
	records := lines(t, "delegated.jsonl")
	subject, actor, granted := records[0], records[1], records[2]
	f.events = map[string]*index.Event{subject.ID: subject, actor.ID: actor, granted.ID: granted}
	got := func() (ids [3]string) {
		t.Helper()
		answer, err := s.GetEvent(t.Context(), &stsv1.GetEventRequest{Id: granted.ID})
		if err != nil {
			t.Fatal(err)
		}
		if s.Object(answer) != granted.ID {
			t.Errorf("it is recorded as %q", s.Object(answer))
		}
		return [3]string{answer.GetEvent().GetId(), answer.GetSubject().GetId(), answer.GetActor().GetId()}
	}
	if diff := cmp.Diff([3]string{granted.ID, subject.ID, actor.ID}, got()); diff != "" {
		t.Error(diff)
	}
	delete(f.events, subject.ID)
	delete(f.events, actor.ID)
	if diff := cmp.Diff([3]string{granted.ID, "", ""}, got()); diff != "" {
		t.Error(diff)
	}
	_, err := s.GetEvent(t.Context(), &stsv1.GetEventRequest{Id: noID})
	wantReason(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
}

// A look-up by the text is one by the hash, and leaves nothing of the text.
func TestLookupByText(t *testing.T) {
	const text = "eyJ.a.b"
	sum := sha256.Sum256([]byte(text))
	want := hex.EncodeToString(sum[:])
	for _, r := range []*stsv1.LookupTokenRequest{{Token: text}, {Token: " " + text + "\n"}, {TokenSha256: want}} {
		s, f, _ := newService(t)
		answer, err := s.LookupToken(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if f.hash != want || answer.GetTokenSha256() != want || r.GetToken() != "" || s.Object(answer) != want {
			t.Errorf("asked for %s, answered %v, left %q, recorded %q", f.hash, answer, r.GetToken(), s.Object(answer))
		}
	}
	for _, r := range []*stsv1.LookupTokenRequest{{}, {Token: "a", TokenSha256: want}, {Token: " "}, {TokenSha256: "a"},
		// Looked for as they are, these would be told to be not known, and a token that leaked would be thought harmless.
		{Token: "Bearer " + text}, {Token: "eyJ.a\n.b"}, {Token: "eyJ.a\u200b.b"}, {Token: `"` + text + `"`},
	} {
		s, f, _ := newService(t)
		_, err := s.LookupToken(t.Context(), r)
		wantReason(t, err, exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
		if f.hash != "" {
			t.Errorf("the index was asked for %s", f.hash)
		}
	}
}

// What a token is, when it ends, and whether it may still be good, by what is left of its records.
func TestLookupIsHonest(t *testing.T) {
	mint, granted, denied := lines(t, "mint.jsonl")[0], lines(t, "granted.jsonl")[1], lines(t, "unverified.jsonl")[0]
	subject := lines(t, "denied.jsonl")[0]
	handed, presented := mint.Mint.TokenSHA256, subject.Subject.SHA256
	for _, row := range []struct {
		name, hash string
		found      index.Token
		at         time.Duration
		// want is the kind, whether it is alive, and when it ends
		want string
	}{
		{"handed out", handed, index.Token{Known: true, Mint: mint, Events: []index.Event{*granted}}, 0, "handed_out true 10:15"},
		{"over", handed, index.Token{Known: true, Mint: mint, Events: []index.Event{*granted}}, 15 * time.Minute, "handed_out false 10:15"},
		{"its mint is gone", handed, index.Token{Known: true, Events: []index.Event{*granted}}, 0, "handed_out true 10:15"},
		{"presented", presented, index.Token{Known: true, Subject: subject, Events: []index.Event{*granted}}, 0, "presented true 11:00"},
		{"presented, and over", presented, index.Token{Known: true, Subject: subject}, time.Hour, "presented false 11:00"},
		{"never verified", presented, index.Token{Known: true, Events: []index.Event{*denied}}, 0, "presented unknown"},
		{"only asked about", handed, index.Token{Known: true}, 0, " unknown"},
		{"not known", handed, index.Token{}, 0, " unknown"},
	} {
		s, f, now := newService(t)
		f.token, *now = row.found, today.Add(row.at)
		answer, err := s.LookupToken(t.Context(), &stsv1.LookupTokenRequest{TokenSha256: row.hash})
		if err != nil {
			t.Fatal(err)
		}
		got := answer.GetKind() + " unknown"
		if answer.Alive != nil {
			got = fmt.Sprintf("%s %v %s", answer.GetKind(), answer.GetAlive(), answer.GetExpiresAt().AsTime().Format("15:04"))
		}
		if got != row.want || answer.GetKnown() != row.found.Known || len(answer.GetEvents()) != len(row.found.Events) || (answer.GetMint() != nil) != (row.found.Mint != nil) {
			t.Errorf("%s: %s, %v", row.name, got, answer)
		}
	}
}

// tail takes what a tail sends.
type tail struct {
	grpc.ServerStream
	ctx  context.Context
	sent []string
}

func (s *tail) Context() context.Context { return s.ctx }

func (s *tail) Send(m *stsv1.TailEventsResponse) error {
	s.sent = append(s.sent, m.GetCursor()+" "+m.GetEvent().GetId())
	return nil
}

// A tail sends each event with its cursor, and a sign of life first of all, and then where nothing came for a while.
func TestTail(t *testing.T) {
	s, f, now := newService(t)
	e := lines(t, "bare.jsonl")[0]
	f.err = errAway
	f.steps = []index.Step{{Cursor: "1"}, {Cursor: "2"}, {Event: e, Cursor: "3"}, {Cursor: "4"}}
	to := &tail{ctx: t.Context()}
	wantReason(t, s.TailEvents(&stsv1.TailEventsRequest{Cursor: "0", Rule: "r", DecisionId: someID}, to), exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable)
	if diff := cmp.Diff([]string{"1 ", "3 " + e.ID}, to.sent); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(index.Query{ID: someID, Terms: terms("rule", "r")}, f.asked); diff != "" || f.cursor != "0" {
		t.Errorf("from %q: %s", f.cursor, diff)
	}
	moving := &movingTail{tail: tail{ctx: t.Context()}, now: now}
	_ = s.TailEvents(&stsv1.TailEventsRequest{}, moving) // it ends as above
	if diff := cmp.Diff([]string{"1 ", "2 ", "3 " + e.ID, "4 "}, moving.sent); diff != "" {
		t.Error(diff)
	}
	wantReason(t, s.TailEvents(&stsv1.TailEventsRequest{Type: "x"}, to), exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed)
}

// movingTail takes ten seconds for each message.
type movingTail struct {
	tail
	now *time.Time
}

func (s *movingTail) Send(m *stsv1.TailEventsResponse) error {
	*s.now = s.now.Add(10 * time.Second)
	return s.tail.Send(m)
}

func TestStatistics(t *testing.T) {
	s, f, _ := newService(t)
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(today.Add(d)) }
	f.counts = []index.HourCount{{Hour: today, Principal: "p", Rule: "r", Outcome: "granted", Count: 1 << 40}}
	answer, err := s.GetStatistics(t.Context(), &stsv1.GetStatisticsRequest{From: at(0), To: at(31 * 24 * time.Hour), By: []string{"rule", "principal"}, Principal: "p", Rule: "r", Outcome: "granted"})
	if err != nil {
		t.Fatal(err)
	}
	c := answer.GetCounts()[0]
	if !c.GetHour().AsTime().Equal(today) || c.GetPrincipal() != "p" || c.GetRule() != "r" || c.GetOutcome() != "granted" || c.GetCount() != 1<<31-1 {
		t.Errorf("%v", c)
	}
	want := index.StatisticsQuery{From: today, To: today.Add(31 * 24 * time.Hour), By: []index.Field{"rule", "principal"}, Principal: "p", Rule: "r", Outcome: "granted"}
	if diff := cmp.Diff(want, f.statistics); diff != "" {
		t.Error(diff)
	}
	for _, row := range []struct {
		r    *stsv1.GetStatisticsRequest
		says string
	}{
		{&stsv1.GetStatisticsRequest{To: at(1)}, "send from and to"},
		{&stsv1.GetStatisticsRequest{From: at(1)}, "send from and to"},
		{&stsv1.GetStatisticsRequest{From: at(1), To: at(1)}, "to is not after from"},
		{&stsv1.GetStatisticsRequest{From: at(0), To: at(1), Rule: "a\x00"}, "principal or rule has a zero byte"},
		{&stsv1.GetStatisticsRequest{From: at(0), To: at(31*24*time.Hour + 1)}, "to is more than 31 days"},
		{&stsv1.GetStatisticsRequest{From: at(0), To: at(1), By: []string{"client"}}, "by is none of principal, rule, outcome"},
		{&stsv1.GetStatisticsRequest{From: at(0), To: at(1), By: []string{"rule", "rule"}}, "by says rule twice"},
		{&stsv1.GetStatisticsRequest{From: at(0), To: at(1), Outcome: "x"}, "outcome is none of"},
	} {
		_, err := s.GetStatistics(t.Context(), row.r)
		if e := wantReason(t, err, exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed); !strings.HasPrefix(e.Message, row.says) {
			t.Errorf("%v: %s", row.r, e.Message)
		}
	}
}

func TestProofs(t *testing.T) {
	s, f, _ := newService(t)
	f.receipt = &audit.Receipt{Line: []byte("{}"), Checkpoint: audit.Checkpoint{Note: "n\n"}}
	receipt, err := s.GetReceipt(t.Context(), &stsv1.GetReceiptRequest{Id: someID})
	if err != nil || receipt.GetReceipt() != string(f.receipt.Text()) || s.Object(receipt) != someID {
		t.Errorf("%v, %v", receipt, err)
	}
	f.newest = []audit.Checkpoint{{Origin: "a", Note: "a\n"}, {Origin: "b", Note: "b\n"}}
	all, err := s.ListCheckpoints(t.Context(), &stsv1.ListCheckpointsRequest{})
	if err != nil || len(all.GetCheckpoints()) != 2 || all.GetCheckpoints()[1].GetOrigin() != "b" || all.GetCheckpoints()[1].GetCheckpoint() != "b\n" || s.Object(all) != "" {
		t.Errorf("%v, %v", all, err)
	}
}

// Every method has a role, streams too.
func TestRoles(t *testing.T) {
	s, _, _ := newService(t)
	desc := &stsv1.AuditService_ServiceDesc
	if n := len(s.Roles()); n != len(desc.Methods)+len(desc.Streams) || s.Roles()["TailEvents"] != "auditor" || s.Roles()["SearchEvents"] != "auditor" {
		t.Errorf("%v", s.Roles())
	}
}

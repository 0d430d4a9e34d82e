package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// answering is AuditService as a test has it: a page for each search, a message for each step of a tail.
type answering struct {
	stsv1.UnimplementedAuditServiceServer
	pages  map[string]*stsv1.SearchEventsResponse // by page token
	sizes  []int32                                // of the pages that were asked for
	tails  [][]*stsv1.TailEventsResponse          // of one call after the other
	failed error                                  // how each call ends
	began  []string                               // the cursors of the tails
	stop   func()                                 // what ends the last tail
}

func (s *answering) Object(any) string { return "object" }

func (s *answering) SearchEvents(_ context.Context, r *stsv1.SearchEventsRequest) (*stsv1.SearchEventsResponse, error) {
	s.sizes = append(s.sizes, r.GetPageSize())
	if page := s.pages[r.GetPageToken()]; page != nil {
		return page, nil
	}
	return nil, s.failed
}

func (s *answering) TailEvents(r *stsv1.TailEventsRequest, to grpc.ServerStreamingServer[stsv1.TailEventsResponse]) error {
	s.began = append(s.began, r.GetCursor())
	if len(s.tails) > 0 {
		next := s.tails[0]
		s.tails = s.tails[1:]
		for _, m := range next {
			if err := to.Send(m); err != nil {
				return fmt.Errorf("wrapped: %w", err)
			}
		}
	}
	if len(s.tails) == 0 && s.stop != nil {
		s.stop()
	}
	if err := to.Context().Err(); err != nil {
		return err
	}
	return s.failed
}

// auditing asks s; uses are what was recorded, and after how many bytes of output.
func auditing(s *answering, out *bytes.Buffer, uses *[]string) *auditor {
	return &auditor{service: s, record: func(_ context.Context, use exchange.Admin) error {
		*uses = append(*uses, fmt.Sprintf("%s %s %s at %d", use.Action, use.Object, use.Outcome(), out.Len()))
		return nil
	}}
}

func events(ids ...string) (all []*stsv1.Event) {
	for _, id := range ids {
		all = append(all, &stsv1.Event{Id: id, Type: "exchange"})
	}
	return all
}

// TestFindEvents holds that pages are followed to the limit, short ones and empty ones, too, and that the use is recorded
// once, before anything is shown.
func TestFindEvents(t *testing.T) {
	bad := exchange.Refuse(exchange.CodeInvalidRequest, exchange.ReasonRequestMalformed, "wrong")
	down := exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "later").Because(errors.New("no route"))
	pages := map[string]*stsv1.SearchEventsResponse{
		"":  {Events: events("a", "b"), NextPageToken: "1"},
		"1": {NextPageToken: "2"},
		"2": {Events: events("c"), NextPageToken: "3"},
		"3": {Events: events("d", "e")},
	}
	for _, row := range []struct {
		name  string
		limit uint32
		token string
		fails *exchange.Error
		ids   string
		more  string
		sizes []int32
		error string
		code  int
	}{
		{name: "all", ids: "abcde", sizes: []int32{1000, 1000, 1000, 1000}},
		{name: "two", limit: 2, ids: "ab", more: "1", sizes: []int32{2}},
		{name: "three", limit: 3, ids: "abc", more: "3", sizes: []int32{3, 1, 1}},
		{name: "more than there are", limit: 2000, ids: "abcde", sizes: []int32{1000, 1000, 1000, 1000}},
		{name: "behind", token: "3", limit: 50, ids: "de", sizes: []int32{50}},
		{name: "a bad question", token: "x", fails: bad, sizes: []int32{1000}, error: "request_malformed: wrong", code: exitUsage},
		{name: "no database", token: "x", fails: down, sizes: []int32{1000}, error: "ledger_unavailable: later: no route", code: exitFault},
	} {
		var out bytes.Buffer
		var uses []string
		s := &answering{pages: pages}
		if row.fails != nil {
			s.failed = row.fails
		}
		shown, more, err := findEvents(t.Context(), auditing(s, &out, &uses), &stsv1.SearchEventsRequest{PageToken: row.token}, row.limit, func(events ...*stsv1.Event) error {
			for _, e := range events {
				out.WriteString(e.GetId())
			}
			return nil
		})
		if out.String() != row.ids || int(shown) != len(row.ids) || more != row.more || !slices.Equal(s.sizes, row.sizes) {
			t.Errorf("%s: %s, %d, more %q, pages %v", row.name, out.String(), shown, more, s.sizes)
		}
		if row.code == 0 && err != nil || row.code != 0 && (err == nil || err.Error() != row.error || codeOf(err) != row.code) {
			t.Errorf("%s: %v", row.name, err)
		}
		want := map[bool]string{true: "audit.search_events object granted at 0", false: "audit.search_events  "}[row.fails == nil]
		if len(uses) != 1 || !strings.HasPrefix(uses[0], want) {
			t.Errorf("%s: %q", row.name, uses)
		}
	}
}

func codeOf(err error) int {
	var f fault
	if errors.As(err, &f) {
		return exitFault
	}
	return exitUsage
}

// TestNothingIsShownUnrecorded holds that what can't be recorded isn't shown, and says why.
func TestNothingIsShownUnrecorded(t *testing.T) {
	s := &answering{pages: map[string]*stsv1.SearchEventsResponse{"": {Events: events("a")}}, tails: [][]*stsv1.TailEventsResponse{{{Event: events("a")[0]}}}}
	full := &fs.PathError{Op: "write", Path: "/audit/cli-host.jsonl", Err: fs.ErrPermission}
	a := &auditor{service: s, record: func(context.Context, exchange.Admin) error { return full }}
	_, _, searched := findEvents(t.Context(), a, new(stsv1.SearchEventsRequest), 0, func(...*stsv1.Event) error { t.Error("shown"); return nil })
	tailed := followEvents(t.Context(), a, new(stsv1.TailEventsRequest), 0, func(*stsv1.TailEventsResponse) error { t.Error("shown"); return nil })
	for _, err := range []error{searched, tailed} {
		err = byWhom(err)
		if err == nil || codeOf(err) != exitFault || !strings.Contains(err.Error(), "nothing is shown: write /audit/cli-host.jsonl: permission denied (this is the user ") {
			t.Errorf("%v", err)
		}
	}
}

// TestFollowEvents holds where a tail ends, where it goes on, and that its cursor is kept.
func TestFollowEvents(t *testing.T) {
	again := exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded, "call again")
	message := func(id, cursor string) *stsv1.TailEventsResponse {
		m := &stsv1.TailEventsResponse{Cursor: cursor}
		if id != "" {
			m.Event = events(id)[0]
		}
		return m
	}
	for _, row := range []struct {
		name   string
		limit  uint32
		tails  [][]*stsv1.TailEventsResponse
		ids    string
		cursor string
		began  []string
		error  string
	}{
		{name: "interrupted", tails: [][]*stsv1.TailEventsResponse{{message("", "1"), message("a", "2"), message("", "3")}}, ids: "a", cursor: "3", began: []string{"0"}},
		{name: "as many as wanted", limit: 2, tails: [][]*stsv1.TailEventsResponse{{message("a", "1"), message("b", "2"), message("c", "3")}}, ids: "ab", cursor: "2", began: []string{"0"}},
		{name: "called again", tails: [][]*stsv1.TailEventsResponse{{message("a", "1")}, {message("b", "2")}}, ids: "ab", cursor: "2", began: []string{"0", "1"}},
		{name: "of no use to call again", tails: [][]*stsv1.TailEventsResponse{{}, {}}, cursor: "0", began: []string{"0"}, error: "following the logs: overloaded: call again"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		var uses []string
		s := &answering{tails: row.tails, failed: again, stop: cancel}
		r := &stsv1.TailEventsRequest{Cursor: "0"}
		err := followEvents(ctx, auditing(s, &out, &uses), r, row.limit, func(m *stsv1.TailEventsResponse) error {
			out.WriteString(m.GetEvent().GetId())
			return nil
		})
		if out.String() != row.ids || r.Cursor != row.cursor || !slices.Equal(s.began, row.began) {
			t.Errorf("%s: %s, cursor %s, began %v", row.name, out.String(), r.Cursor, s.began)
		}
		if fmt.Sprint(err) != map[bool]string{true: "<nil>", false: row.error}[row.error == ""] {
			t.Errorf("%s: %v", row.name, err)
		}
		if diff := cmp.Diff([]string{"audit.tail_events  granted at 0"}, uses); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
		cancel()
	}
}

// TestFilters holds that each flag is a field of both requests, and that none is missing.
func TestFilters(t *testing.T) {
	for _, request := range []interface {
		proto.Message
		GetDecisionId() string
	}{new(stsv1.SearchEventsRequest), new(stsv1.TailEventsRequest)} {
		cmd := &cobra.Command{Use: "x"}
		f := filtersOf(cmd)
		var args []string
		for _, flag := range filterFlags {
			args = append(args, "--"+flag.name, "of "+flag.name)
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		if err := f.fill(request); err != nil {
			t.Fatal(err)
		}
		paging := []string{"page_size", "page_token", "from", "to", "cursor"}
		fields := request.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if name := string(fields.Get(i).Name()); !slices.Contains(paging, name) && request.ProtoReflect().Get(fields.Get(i)).String() != "of "+strings.ReplaceAll(name, "_", "-") {
				t.Errorf("%T: %s has no flag", request, name)
			}
		}
	}
	cmd := &cobra.Command{Use: "x"}
	f := filtersOf(cmd)
	if err := cmd.ParseFlags([]string{"--subject", ""}); err != nil {
		t.Fatal(err)
	}
	if err := f.fill(new(stsv1.SearchEventsRequest)); err == nil || !strings.Contains(err.Error(), "--subject is empty") {
		t.Errorf("an empty one: %v", err)
	}
}

// TestLookupNeverTakesATokenAsAnArgument holds that it is refused, and not repeated.
func TestLookupNeverTakesATokenAsAnArgument(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
	for _, args := range [][]string{{token}, {token, token}, {strings.Repeat("0", 64), token}, {"--token", token}, {"--token=" + token}, {strings.Repeat("g", 64)}} {
		out, errs, code := command(t, append([]string{"audit", "lookup", "--config", "sts.yaml"}, args...)...)
		if code != exitUsage || strings.Contains(out+errs, token) {
			t.Errorf("%q: %d %s%s", args, code, out, errs)
		}
	}
	cmd := &cobra.Command{}
	for in, want := range map[string]string{token + "\r\n": token, "  " + token: token, "": "", "\n": "", strings.Repeat("x", maxToken+1): ""} {
		cmd.SetIn(strings.NewReader(in))
		r, err := lookupRequest(cmd, nil)
		if r.GetToken() != want || (err == nil) != (want != "") {
			t.Errorf("%.80q: %v", in, err)
		}
	}
	cut := []byte(strings.Repeat("x", terminalLine) + "\n")
	if _, err := tokenRequest(cut, true); err == nil {
		t.Error("what a terminal has cut off is taken for the token")
	}
	for _, typed := range []bool{true, false} {
		if _, err := tokenRequest(cut[2:], typed); err != nil {
			t.Errorf("typed %v: %v", typed, err)
		}
	}
	if _, err := tokenRequest(cut, false); err != nil {
		t.Error(err)
	}
}

// TestPeriod holds that what is printed to go on with means the same later.
func TestPeriod(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := period{from: "2h", to: "2026-11-24T11:00:00.5Z"}
	from, to, err := p.times(now)
	if err != nil || from.AsTime() != now.Add(-2*time.Hour) {
		t.Fatal(from, err)
	}
	if got := again(from, to); got != " --from 2026-11-24T10:00:00Z --to 2026-11-24T11:00:00.5Z" {
		t.Error(got)
	}
	if got := again(nil, nil); got != "" {
		t.Error(got)
	}
	if _, _, err := (&period{to: "tomorrow"}).times(now); err == nil || !strings.HasPrefix(err.Error(), "--to: ") {
		t.Error(err)
	}
}

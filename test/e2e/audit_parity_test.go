package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
)

// auditDoor is a way to ask AuditService: the answer, or a refusal.
type auditDoor struct {
	recorded string
	ask      func(w *world, q auditQuestion, authorization string) (proto.Message, auditRefusal)
}

// auditRefusal is what a question is refused with; zero where it is answered.
type auditRefusal struct{ Reason, Words string }

var auditDoors = []auditDoor{{"json", auditOverREST}, {"grpc", auditOverGRPC}, {"cli", auditOnCommandLine}}

// auditQuestion is a question as the API has it, which every door makes its own words of.
type auditQuestion struct {
	request proto.Message
	method  string
	answer  func() proto.Message
	// path and command are the method's, over REST and on the command line; argument is the field that both have in there.
	path, command, argument string
	// lines is the member of the answer of which the command line prints a line each.
	lines string
}

func questionOf(request proto.Message) auditQuestion {
	switch request.(type) {
	case *stsv1.SearchEventsRequest:
		return auditQuestion{request, "SearchEvents", func() proto.Message { return new(stsv1.SearchEventsResponse) }, "/v1/audit/events", "search", "", "events"}
	case *stsv1.GetEventRequest:
		return auditQuestion{request, "GetEvent", func() proto.Message { return new(stsv1.GetEventResponse) }, "/v1/audit/events/%s", "show", "id", ""}
	case *stsv1.LookupTokenRequest:
		return auditQuestion{request, "LookupToken", func() proto.Message { return new(stsv1.LookupTokenResponse) }, "/v1/audit/tokens:lookup", "lookup", "token_sha256", ""}
	case *stsv1.GetReceiptRequest:
		return auditQuestion{request, "GetReceipt", func() proto.Message { return new(stsv1.GetReceiptResponse) }, "/v1/audit/events/%s/receipt", "receipt", "id", ""}
	case *stsv1.ListCheckpointsRequest:
		return auditQuestion{request, "ListCheckpoints", func() proto.Message { return new(stsv1.ListCheckpointsResponse) }, "/v1/audit/checkpoint", "checkpoints", "", ""}
	case *stsv1.GetStatisticsRequest:
		return auditQuestion{request, "GetStatistics", func() proto.Message { return new(stsv1.GetStatisticsResponse) }, "/v1/audit/statistics", "stats", "", "counts"}
	}
	panic(fmt.Sprintf("no question: %T", request))
}

// action is what a use is recorded as.
func (q auditQuestion) action() string {
	return "audit." + strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(q.method, "${1}_$2"))
}

// fields calls f with each value of each field that is set.
func (q auditQuestion) fields(f func(name, value string)) {
	m := q.request.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		if !m.Has(field) {
			continue
		}
		switch value := m.Get(field); {
		case field.IsList():
			for j := range value.List().Len() {
				f(string(field.Name()), value.List().Get(j).String())
			}
		case field.Message() != nil:
			at := value.Message().Interface().(*timestamppb.Timestamp)
			f(string(field.Name()), at.AsTime().Format(time.RFC3339Nano))
		default:
			f(string(field.Name()), value.String())
		}
	}
}

func auditOverREST(w *world, q auditQuestion, authorization string) (proto.Message, auditRefusal) {
	w.t.Helper()
	path, body, values := q.path, "", url.Values{}
	if q.command == "lookup" {
		body = protoJSON(w, q.request)
	} else {
		q.fields(func(name, value string) {
			if name == q.argument {
				path = fmt.Sprintf(q.path, url.PathEscape(value))
			} else {
				values.Add(name, value)
			}
		})
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	a := w.API(path, body, authorization)
	if a.Status != http.StatusOK {
		return nil, auditRefusal{a.Reason, a.Description}
	}
	answer := q.answer()
	if err := protojson.Unmarshal(a.Body, answer); err != nil {
		w.t.Fatalf("%s: %v: %s", path, err, a.Body)
	}
	return answer, auditRefusal{}
}

func auditOverGRPC(w *world, q auditQuestion, authorization string) (proto.Message, auditRefusal) {
	w.t.Helper()
	ctx := metadata.AppendToOutgoingContext(w.t.Context(), "authorization", authorization)
	answer := q.answer()
	if err := w.kept.Invoke(ctx, "/sts.v1.AuditService/"+q.method, q.request, answer); err != nil {
		a := w.grpcAnswer(nil, err, nil, nil)
		return nil, auditRefusal{a.Reason, a.Description}
	}
	return answer, auditRefusal{}
}

// auditOnCommandLine runs sts audit, and makes of its lines the answer that they are of.
func auditOnCommandLine(w *world, q auditQuestion, _ string) (proto.Message, auditRefusal) {
	w.t.Helper()
	args, stdin := []string{"audit", q.command, "--config", "sts.yaml"}, ""
	if q.command != "receipt" {
		args = append(args, "-o", "json")
	}
	q.fields(func(name, value string) {
		switch flag := "--" + strings.ReplaceAll(name, "_", "-"); {
		case name == q.argument:
			args = append(args, value)
		case name == "token":
			stdin = value
		case name == "page_size":
			args = append(args, "--limit", value)
		default:
			args = append(args, flag, value)
		}
	})
	stdout, stderr, code := w.command3(stdin, args...)
	if code != 0 {
		reason, words, _ := strings.Cut(firstLine(stderr), ": ")
		if want := map[bool]int{true: 2, false: 1}[reason == "request_malformed"]; code != want {
			w.t.Errorf("%q: exit code %d, want %d: %s", args, code, want, stderr)
		}
		return nil, auditRefusal{reason, words}
	}
	answer := q.answer()
	if receipt, is := answer.(*stsv1.GetReceiptResponse); is {
		receipt.Receipt, receipt.Id = stdout, q.request.(*stsv1.GetReceiptRequest).GetId()
		return answer, auditRefusal{}
	}
	text := stdout
	if q.lines != "" {
		text = fmt.Sprintf(`{%q:[%s]}`, q.lines, strings.Join(strings.Split(strings.TrimSpace(stdout), "\n"), ","))
	}
	if err := protojson.Unmarshal([]byte(text), answer); err != nil {
		w.t.Fatalf("%q: %v: %s", args, err, text)
	}
	if page, is := answer.(*stsv1.SearchEventsResponse); is {
		if more := regexp.MustCompile(`--page-token (\S+)`).FindStringSubmatch(stderr); more != nil {
			page.NextPageToken = more[1]
		}
	}
	return answer, auditRefusal{}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// command3 runs the program in the world's folder: what it prints on either way, and its exit code.
func (w *world) command3(stdin string, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(w.t.Context(), program, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = w.dir, strings.NewReader(stdin), &out, &errs
	cmd.Env = append(os.Environ(), "STS_CLOCK_FILE="+w.clock)
	if err := cmd.Run(); cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// pastSearch puts events of all kinds into a world, and says by when they all were.
type pastSearch struct {
	until    *timestamppb.Timestamp
	ada, bob answer // granted
	adas     string // her token
	denied   answer
	eve      string // a token that was refused
}

func searchPast(w *world) (p pastSearch) {
	w.t.Helper()
	p.adas = w.lasting("ada", "data-eng")
	p.ada = w.Ask(token(p.adas))
	mustGrant(w.t, p.ada, tenMinutes)
	for range 3 {
		mustGrant(w.t, w.Ask(token(p.adas)), tenMinutes) // repeats
	}
	p.bob = w.Ask(token(w.lasting("bob", "etl")))
	mustGrant(w.t, p.bob, time.Hour)
	p.eve = w.lasting("eve", "contractors", "data-eng")
	p.denied = w.Ask(token(p.eve))
	w.Ask(as("tracker"), token(w.lasting("tom", "nobody")), func(r *request) { r.Header = http.Header{"X-Forwarded-For": {"192.0.2.7"}} })
	w.Ask(token("nonsense"))
	w.Ask(with("audience", "nowhere"))
	w.Ask(func(r *request) { r.Secret = "wrong" })
	at := w.Now().Truncate(time.Millisecond).Add(2 * time.Millisecond)
	w.Eventually("that is past", func() bool { return w.Now().After(at) })
	p.until = timestamppb.New(at)
	return p
}

// parity is a world with a past, of which all is in the index.
type parity struct {
	*world
	past    pastSearch
	auditor string
}

func newParity(t *testing.T, change ...func(*world, *setup)) *parity {
	t.Helper()
	w := newWorld(t, append(change, withAccess)...).Keeping()
	p := &parity{w, searchPast(w), w.bearer("security")}
	w.Eventually("all that was is in the index", func() bool {
		// It is what comes last of all: a summary, when its second is over.
		answer, refused := auditOverREST(w, questionOf(&stsv1.SearchEventsRequest{To: p.past.until, Type: "failures"}), p.auditor)
		return refused == (auditRefusal{}) && len(answer.(*stsv1.SearchEventsResponse).GetEvents()) == 1
	})
	return p
}

// TestAuditParity asks the same over REST, over gRPC and on the command line, of one running service. All must answer
// alike, and leave the record of their asking.
func TestAuditParity(t *testing.T) {
	t.Parallel()
	p := newParity(t)
	w, past, auditor := p.world, p.past, p.auditor
	search := func(change func(*stsv1.SearchEventsRequest)) *stsv1.SearchEventsRequest {
		r := &stsv1.SearchEventsRequest{To: past.until}
		change(r)
		return r
	}
	mint := w.Exchange(past.ada.DecisionID).Mint
	hour := timestamppb.New(past.until.AsTime().Truncate(time.Hour))
	soon := timestamppb.New(past.until.AsTime().Add(time.Hour))
	absent := "0192f0c1-0000-7000-8000-000000000000"

	for _, row := range []struct {
		name    string
		request proto.Message
		has     int    // events or counts, in the answer
		reason  string // of the refusal
		object  string
	}{
		{"all exchanges", search(func(r *stsv1.SearchEventsRequest) { r.Type = "exchange" }), 9, "", ""},
		{"mints", search(func(r *stsv1.SearchEventsRequest) { r.Type = "mint" }), 2, "", ""},
		{"subject events", search(func(r *stsv1.SearchEventsRequest) { r.Type = "subject" }), 5, "", ""},
		{"failures", search(func(r *stsv1.SearchEventsRequest) { r.Type = "failures" }), 1, "", ""},
		{"a subject", search(func(r *stsv1.SearchEventsRequest) { r.Subject = "ada" }), 5, "", ""},
		{"an issuer", search(func(r *stsv1.SearchEventsRequest) { r.Issuer = w.idp.Issuer("okta").URL(); r.Type = "exchange" }), 8, "", ""},
		{"an actor", search(func(r *stsv1.SearchEventsRequest) { r.Actor = "ada" }), 0, "", ""},
		{"a client", search(func(r *stsv1.SearchEventsRequest) { r.Client = "tracker" }), 1, "", ""},
		{"a principal", search(func(r *stsv1.SearchEventsRequest) { r.Principal = "ml-inference" }), 5, "", ""},
		{"an application", search(func(r *stsv1.SearchEventsRequest) { r.Principal = etl }), 2, "", ""},
		{"a workspace", search(func(r *stsv1.SearchEventsRequest) { r.Workspace = "prod" }), 7, "", ""},
		{"a rule", search(func(r *stsv1.SearchEventsRequest) { r.Rule = "no-contractors" }), 1, "", ""},
		{"an outcome", search(func(r *stsv1.SearchEventsRequest) { r.Outcome = "denied" }), 4, "", ""},
		{"a reason", search(func(r *stsv1.SearchEventsRequest) { r.Reason = "no_matching_rule" }), 1, "", ""},
		{"a decision", search(func(r *stsv1.SearchEventsRequest) { r.DecisionId = past.denied.DecisionID }), 1, "", ""},
		{"a token handed out", search(func(r *stsv1.SearchEventsRequest) { r.TokenSha256 = digest(past.ada.AccessToken) }), 5, "", ""},
		{"a token presented", search(func(r *stsv1.SearchEventsRequest) { r.TokenSha256 = digest(past.adas); r.Type = "exchange" }), 4, "", ""},
		{"a mint", search(func(r *stsv1.SearchEventsRequest) { r.Mint = mint }), 5, "", ""},
		{"a peer", search(func(r *stsv1.SearchEventsRequest) { r.Source = "127.0.0.1"; r.Type = "exchange" }), 9, "", ""},
		{"a source that is claimed", search(func(r *stsv1.SearchEventsRequest) { r.Source = "192.0.2.7" }), 1, "", ""},
		{"an action", search(func(r *stsv1.SearchEventsRequest) { r.Action = "policy.load" }), 1, "", ""},
		{"an object", search(func(r *stsv1.SearchEventsRequest) {
			r.Object = w.Of("admin")[0].Object
			r.Action = w.Of("admin")[0].Action
		}), 1, "", ""},
		{"from a moment", search(func(r *stsv1.SearchEventsRequest) { r.From = past.until; r.To = soon; r.Type = "mint" }), 0, "", ""},
		{"all together", search(func(r *stsv1.SearchEventsRequest) {
			r.From, r.Subject, r.Issuer, r.Client, r.Principal, r.Workspace = hour, "ada", w.idp.Issuer("okta").URL(), "kong", "ml-inference", "prod"
			r.Rule, r.Outcome, r.TokenSha256, r.Mint, r.Source, r.Type = "engineers", "granted", digest(past.adas), mint, "127.0.0.1", "exchange"
		}), 4, "", ""},
		{"what contradicts itself", search(func(r *stsv1.SearchEventsRequest) { r.Subject, r.Rule = "ada", "no-contractors" }), 0, "", ""},
		{"nobody", search(func(r *stsv1.SearchEventsRequest) { r.Subject = "nobody; DROP TABLE" }), 0, "", ""},
		{"bytes that a shell would change", search(func(r *stsv1.SearchEventsRequest) { r.Subject = "-a 'b' \"c\" $d *\u00e9\u202e" }), 0, "", ""},
		{"a hash that is not there", search(func(r *stsv1.SearchEventsRequest) { r.TokenSha256 = digest("other") }), 0, "", ""},
		{"a bad outcome", search(func(r *stsv1.SearchEventsRequest) { r.Outcome = "maybe" }), 0, "request_malformed", ""},
		{"a bad reason", search(func(r *stsv1.SearchEventsRequest) { r.Reason = "because" }), 0, "request_malformed", ""},
		{"a bad type", search(func(r *stsv1.SearchEventsRequest) { r.Type = "segment" }), 0, "request_malformed", ""},
		{"a bad hash", search(func(r *stsv1.SearchEventsRequest) { r.TokenSha256 = strings.ToUpper(digest("other")) }), 0, "request_malformed", ""},
		{"a bad id", search(func(r *stsv1.SearchEventsRequest) { r.DecisionId = "1" }), 0, "request_malformed", ""},
		{"a bad page", search(func(r *stsv1.SearchEventsRequest) { r.PageToken = "x" }), 0, "request_malformed", ""},
		{"times the wrong way round", search(func(r *stsv1.SearchEventsRequest) { r.From = soon }), 0, "request_malformed", ""},

		{"a grant", &stsv1.GetEventRequest{Id: past.ada.DecisionID}, 0, "", past.ada.DecisionID},
		{"a denial", &stsv1.GetEventRequest{Id: past.denied.DecisionID}, 0, "", past.denied.DecisionID},
		{"a mint by its id", &stsv1.GetEventRequest{Id: mint}, 0, "", mint},
		{"an event that is not there", &stsv1.GetEventRequest{Id: absent}, 0, "not_found", ""},
		{"an event of no id", &stsv1.GetEventRequest{Id: "x"}, 0, "request_malformed", ""},

		{"a token by its text", &stsv1.LookupTokenRequest{Token: past.ada.AccessToken}, 4, "", digest(past.ada.AccessToken)},
		{"a token by its hash", &stsv1.LookupTokenRequest{TokenSha256: digest(past.bob.AccessToken)}, 1, "", digest(past.bob.AccessToken)},
		{"a person's token", &stsv1.LookupTokenRequest{Token: past.adas}, 4, "", digest(past.adas)},
		{"a token that was refused", &stsv1.LookupTokenRequest{Token: past.eve}, 1, "", digest(past.eve)},
		{"a token that is not known", &stsv1.LookupTokenRequest{Token: "other"}, 0, "", digest("other")},
		{"a hash in upper case", &stsv1.LookupTokenRequest{TokenSha256: strings.ToUpper(digest("other"))}, 0, "request_malformed", ""},

		{"counts", &stsv1.GetStatisticsRequest{From: hour, To: soon, By: []string{"outcome"}}, 2, "", ""},
		{"counts by all", &stsv1.GetStatisticsRequest{From: hour, To: soon, By: []string{"rule", "principal", "outcome"}}, 4, "", ""},
		{"counts of a rule", &stsv1.GetStatisticsRequest{From: hour, To: soon, By: []string{"principal"}, Rule: "engineers", Outcome: "granted", Principal: "ml-inference"}, 1, "", ""},
		{"counts by a bad word", &stsv1.GetStatisticsRequest{From: hour, To: soon, By: []string{"client"}}, 0, "request_malformed", ""},
		{"counts of too long", &stsv1.GetStatisticsRequest{From: timestamppb.New(hour.AsTime().AddDate(0, -2, 0)), To: soon, By: []string{"rule"}}, 0, "request_malformed", ""},

		{"a receipt of nothing", &stsv1.GetReceiptRequest{Id: absent}, 0, "not_found", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := *w
			w.t = t
			before := w.auditUses()
			var first proto.Message
			var said auditRefusal
			for i, door := range auditDoors {
				answer, refused := door.ask(&w, questionOf(row.request), auditor)
				if i == 0 {
					first, said = answer, refused
				}
				if n := auditMembers(answer); refused.Reason != row.reason || n != row.has {
					t.Fatalf("%s: %d of %d: %v %v", door.recorded, n, row.has, answer, refused)
				}
				if diff := cmp.Diff(first, answer, protocmp.Transform()); diff != "" || refused != said {
					t.Errorf("json (-) and %s (+) answer differently: %v, %v\n%s", door.recorded, said, refused, diff)
				}
			}
			after := w.auditUses()
			for _, door := range auditDoors {
				use := auditUse{door.recorded, questionOf(row.request).action(), row.object, row.reason}
				if n := after[use] - before[use]; n != 1 {
					t.Errorf("%v: %d records", use, n)
				}
			}
		})
	}
}

// TestAuditParityOfTheRest holds what is not the same to the byte: pages, proofs, what comes, on both databases.
func TestAuditParityOfTheRest(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, change ...func(*world, *setup)) {
		p := newParity(t, change...)
		t.Run("pages", func(t *testing.T) { auditPages(t, p) })
		t.Run("receipts", func(t *testing.T) { auditReceipts(t, p) })
		t.Run("checkpoints", func(t *testing.T) { auditCheckpoints(t, p) })
		t.Run("tail", func(t *testing.T) { auditTail(t, p) })
		t.Run("explain", func(t *testing.T) { auditExplain(t, p) })
	})
}

// auditMembers counts the events or counts of an answer.
func auditMembers(answer proto.Message) int {
	switch a := answer.(type) {
	case *stsv1.SearchEventsResponse:
		return len(a.GetEvents())
	case *stsv1.LookupTokenResponse:
		return len(a.GetEvents())
	case *stsv1.GetStatisticsResponse:
		return len(a.GetCounts())
	}
	return 0
}

// auditUse is the record of a use of the audit.
type auditUse struct{ entrance, action, object, reason string }

// auditUses counts those that are on record.
func (w *world) auditUses() map[auditUse]int {
	w.t.Helper()
	uses := map[auditUse]int{}
	for r, err := range audit.Read(w.auditDir) {
		if err != nil {
			w.t.Fatal(err)
		}
		if a := r.Admin; a != nil && strings.HasPrefix(a.Action, "audit.") && a.Entrance != "" {
			uses[auditUse{a.Entrance, a.Action, a.Object, a.Reason}]++
		}
	}
	return uses
}

// auditPages goes through all exchanges in pages of four, by each door, and by all doors in turn: where one goes on is the
// same for all.
func auditPages(t *testing.T, p *parity) {
	w, past, auditor := p.world, p.past, p.auditor
	walk := func(door func(page int) auditDoor) (ids []string) {
		r := &stsv1.SearchEventsRequest{To: past.until, Type: "exchange", PageSize: 4}
		for page := 0; page == 0 || r.PageToken != ""; page++ {
			answer, refused := door(page).ask(w, questionOf(r), auditor)
			if refused != (auditRefusal{}) || page > 20 {
				t.Fatal(page, refused)
			}
			events := answer.(*stsv1.SearchEventsResponse)
			for _, e := range events.GetEvents() {
				ids = append(ids, e.GetId())
			}
			r.PageToken = events.GetNextPageToken()
		}
		return ids
	}
	first := walk(func(int) auditDoor { return auditDoors[0] })
	if len(first) != 9 || !slices.IsSortedFunc(first, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%v", first)
	}
	for i := range auditDoors {
		if diff := cmp.Diff(first, walk(func(int) auditDoor { return auditDoors[i] })); diff != "" {
			t.Errorf("%s: %s", auditDoors[i].recorded, diff)
		}
	}
	if diff := cmp.Diff(first, walk(func(page int) auditDoor { return auditDoors[page%len(auditDoors)] })); diff != "" {
		t.Errorf("by turns: %s", diff)
	}
	r := &stsv1.SearchEventsRequest{To: past.until, Type: "exchange", PageSize: 4}
	answer, _ := auditOverREST(w, questionOf(r), auditor)
	r.PageToken, r.Type = answer.(*stsv1.SearchEventsResponse).GetNextPageToken(), "mint"
	var said []auditRefusal
	for _, door := range auditDoors {
		_, refused := door.ask(w, questionOf(r), auditor)
		said = append(said, refused)
	}
	if said[0].Reason != "request_malformed" || said[1] != said[0] || said[2] != said[0] {
		t.Errorf("a page of another search: %v", said)
	}
}

// auditReceipts holds that each door's receipt proves the same record to who has the key.
func auditReceipts(t *testing.T, p *parity) {
	w, past, auditor := p.world, p.past, p.auditor
	text, _, code := w.command3("", "audit", "key", "--config", "sts.yaml")
	if code != 0 {
		t.Fatal(text)
	}
	key, err := audit.ParsePublicKey(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	var first *audit.Receipt
	for _, door := range auditDoors {
		answer, refused := door.ask(w, questionOf(&stsv1.GetReceiptRequest{Id: past.denied.DecisionID}), auditor)
		if refused != (auditRefusal{}) {
			t.Fatal(door.recorded, refused)
		}
		got := answer.(*stsv1.GetReceiptResponse)
		receipt, err := audit.PublicKeys{key}.OpenReceipt([]byte(got.GetReceipt()))
		if err != nil || got.GetId() != past.denied.DecisionID || !bytes.Contains(receipt.Line, []byte(past.denied.DecisionID)) {
			t.Fatalf("%s: %v %v", door.recorded, err, got)
		}
		if first == nil {
			first = receipt
		}
		if receipt.Index != first.Index || string(receipt.Line) != string(first.Line) || receipt.Checkpoint.Origin != first.Checkpoint.Origin {
			t.Errorf("%s: %+v", door.recorded, receipt)
		}
	}
}

// auditCheckpoints holds that all doors know the same logs. The checkpoints themselves grow with each use.
func auditCheckpoints(t *testing.T, p *parity) {
	w, auditor := p.world, p.auditor
	var first []string
	for _, door := range auditDoors {
		answer, refused := door.ask(w, questionOf(&stsv1.ListCheckpointsRequest{}), auditor)
		if refused != (auditRefusal{}) {
			t.Fatal(door.recorded, refused)
		}
		var origins []string
		for _, c := range answer.(*stsv1.ListCheckpointsResponse).GetCheckpoints() {
			origins = append(origins, c.GetOrigin())
			if !strings.HasPrefix(c.GetCheckpoint(), c.GetOrigin()+"\n") {
				t.Errorf("%s: %v", door.recorded, c)
			}
		}
		if first == nil {
			first = origins
		}
		if diff := cmp.Diff(first, origins); diff != "" || len(origins) != 2 { // the service's, and the command line's own
			t.Errorf("%s: %v", door.recorded, origins)
		}
	}
}

// auditTail holds that every door tells of the same events, in the same order, from the same cursor on.
func auditTail(t *testing.T, p *parity) {
	w, auditor := p.world, p.auditor
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", auditor))
	defer cancel()
	tail, err := stsv1.NewAuditServiceClient(w.kept).TailEvents(ctx, &stsv1.TailEventsRequest{Type: "exchange"})
	if err != nil {
		t.Fatal(err)
	}
	started, err := tail.Recv()
	if err != nil || started.GetEvent() != nil || started.GetCursor() == "" {
		t.Fatalf("%v %v", started, err)
	}
	const n = 5
	var want []string
	for i := range n {
		want = append(want, w.Ask(token(w.lasting("sub"+strconv.Itoa(i), "data-eng"))).DecisionID)
		w.Ask(token("nonsense"), as("tracker")) // of no subject: it passes none of the filters
	}
	question := url.Values{"type": {"exchange"}, "client": {"kong"}, "cursor": {started.GetCursor()}}
	doors := map[string]func() []*stsv1.Event{
		"grpc": func() (all []*stsv1.Event) {
			tail, err := stsv1.NewAuditServiceClient(w.kept).TailEvents(ctx, &stsv1.TailEventsRequest{Type: "exchange", Client: "kong", Cursor: started.GetCursor()})
			for err == nil && len(all) < n {
				var m *stsv1.TailEventsResponse
				if m, err = tail.Recv(); err == nil && m.GetEvent() != nil {
					all = append(all, m.GetEvent())
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			return all
		},
		"json": func() []*stsv1.Event { return w.tailLines(n, "/v1/audit/events:tail?"+question.Encode(), auditor) },
		"cli": func() (all []*stsv1.Event) {
			out, errs, code := w.command3("", "audit", "tail", "--config", "sts.yaml", "-o", "json", "--limit", strconv.Itoa(n),
				"--type", "exchange", "--client", "kong", "--cursor", started.GetCursor())
			if code != 0 || !strings.Contains(errs, "--cursor ") {
				t.Fatalf("%d %s%s", code, out, errs)
			}
			for line := range strings.Lines(out) {
				m := new(stsv1.TailEventsResponse)
				if err := protojson.Unmarshal([]byte(line), m); err != nil || m.GetCursor() == "" {
					t.Fatalf("%v %s", err, line)
				}
				all = append(all, m.GetEvent())
			}
			return all
		},
	}
	var first []*stsv1.Event
	for _, name := range []string{"grpc", "json", "cli"} {
		got := doors[name]()
		var ids []string
		for _, e := range got {
			ids = append(ids, e.GetId())
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if use := (auditUse{name, "audit.tail_events", "", ""}); w.auditUses()[use] == 0 {
			t.Errorf("no record %v", use)
		}
	}
}

// auditExplain holds that the command line explains a decision as the API does.
func auditExplain(t *testing.T, p *parity) {
	for _, id := range []string{p.past.ada.DecisionID, p.past.denied.DecisionID} {
		a := p.API("/v1/mappings:explain", encode(p.world, object{"decision_id": id}), p.auditor)
		out, errs, code := p.command3("", "audit", "show", id, "--explain", "--config", "sts.yaml", "-o", "json")
		_, line, two := strings.Cut(strings.TrimSpace(out), "\n")
		want, got := new(stsv1.ExplainResponse), new(stsv1.ExplainResponse)
		if err := errors.Join(protojson.Unmarshal(a.Body, want), protojson.Unmarshal([]byte(line), got)); err != nil || code != 0 || !two {
			t.Fatalf("%v: %s\n%s%s", err, a.Body, out, errs)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || want.GetRecorded().GetDecisionId() != id || len(want.GetRules()) == 0 {
			t.Errorf("%s\n%s", a.Body, diff)
		}
	}
}

// tailLines reads so many events of a stream over HTTP, a line of JSON each.
func (w *world) tailLines(n int, path, authorization string) (all []*stsv1.Event) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.sts.http+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for len(all) < n && lines.Scan() {
		var message struct{ Result json.RawMessage }
		m := new(stsv1.TailEventsResponse)
		if err := json.Unmarshal(lines.Bytes(), &message); err != nil || protojson.Unmarshal(message.Result, m) != nil {
			w.t.Fatalf("%v %s", err, lines.Bytes())
		}
		if m.GetEvent() != nil {
			all = append(all, m.GetEvent())
		}
	}
	if len(all) < n {
		w.t.Fatalf("%d %d of %d events: %v", resp.StatusCode, len(all), n, lines.Err())
	}
	return all
}

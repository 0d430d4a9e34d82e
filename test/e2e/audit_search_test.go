package e2e_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// auditor asks the audit of a world.
type auditor struct {
	*world
	authorization string
}

// get asks the JSON API, which must answer.
func (a *auditor) get(path string, query url.Values, into proto.Message) {
	a.t.Helper()
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	a.read(a.API(path, "", a.authorization), into)
}

func (a *auditor) post(path, body string, into proto.Message) {
	a.t.Helper()
	a.read(a.API(path, body, a.authorization), into)
}

func (a *auditor) read(got answer, into proto.Message) {
	a.t.Helper()
	if got.Status != http.StatusOK {
		a.t.Fatalf("%d %s", got.Status, got.Body)
	}
	if err := protojson.Unmarshal(got.Body, into); err != nil {
		a.t.Fatalf("%v: %s", err, got.Body)
	}
}

// search is the ids of the events that pass filters, name by name, the newest first.
func (a *auditor) search(filters ...string) (ids []string) {
	a.t.Helper()
	query := url.Values{}
	for i := 0; i < len(filters); i += 2 {
		query.Set(filters[i], filters[i+1])
	}
	for {
		found := &stsv1.SearchEventsResponse{}
		a.get("/v1/audit/events", query, found)
		for _, e := range found.GetEvents() {
			ids = append(ids, e.GetId())
		}
		if found.GetNextPageToken() == "" {
			return ids
		}
		query.Set("page_token", found.GetNextPageToken())
	}
}

// event is one event, as soon as it is there.
func (a *auditor) event(id string) *stsv1.GetEventResponse {
	a.t.Helper()
	found := &stsv1.GetEventResponse{}
	a.Eventually("event "+id+" is found", func() bool {
		got := a.API("/v1/audit/events/"+id, "", a.authorization)
		if got.Status == http.StatusNotFound {
			return false
		}
		a.read(got, found)
		return true
	})
	return found
}

// TestAuditIsSearched lets a service do things of all kinds, and asks for each of them by each of its marks.
func TestAuditIsSearched(t *testing.T) {
	t.Parallel()
	onEach(t, auditIsSearched)
}

func auditIsSearched(t *testing.T, change ...func(*world, *setup)) {
	w := newWorld(t, append(change, withAccess)...)
	a := &auditor{w, w.bearer("security")}
	alice := w.Token(map[string]any{"sub": "alice"})
	first := w.Ask(with("subject_token", alice))
	mustGrant(t, first, tenMinutes)
	again := w.Ask(with("subject_token", alice)) // a repeat
	tracked := w.Ask(as("tracker"), func(r *request) {
		r.Header = http.Header{"X-Forwarded-For": {"203.0.113.9"}}
		r.Params.Set("subject_token", w.Token(map[string]any{"sub": "carol", "groups": []string{"etl"}}))
	})
	denied := w.Ask(with("subject_token", w.Token(map[string]any{"sub": "bob", "groups": []string{"nobody"}})))
	mustRefuse(t, denied, 400, "invalid_request", exchange.ReasonNoMatchingRule)
	stranger := w.Ask(func(r *request) { r.Secret = "wrong" })
	mustRefuse(t, stranger, 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)

	granted := a.event(first.DecisionID)
	e := granted.GetEvent()
	a.event(denied.DecisionID)
	a.event(stranger.DecisionID)
	if diff := cmp.Diff([]string{"exchange", "granted", "kong", "alice", "engineers", "ml-inference", "prod"},
		[]string{e.GetType(), e.GetOutcome(), e.GetClient(), e.GetSubject().GetSub(), e.GetRule(), e.GetPrincipal(), e.GetWorkspace()}); diff != "" {
		t.Error(diff)
	}
	if s := granted.GetSubject(); s.GetSub() != "alice" || !slices.Equal(s.GetGroups(), []string{"data-eng"}) || s.GetGroupsUnknown() {
		t.Errorf("the subject's event is %v", s)
	}
	if r := a.event(again.DecisionID).GetEvent(); r.GetRepeatOf() != first.DecisionID || r.GetType() != "exchange" || r.GetTokenSha256() != e.GetTokenSha256() {
		t.Errorf("the repeat's event is %v", r)
	}
	sum := sha256.Sum256([]byte(first.AccessToken))
	hash := hex.EncodeToString(sum[:])
	if e.GetTokenSha256() != hash {
		t.Errorf("the token's hash is %s", e.GetTokenSha256())
	}

	one, all := first.DecisionID, []string{tracked.DecisionID, again.DecisionID, first.DecisionID}
	alices := []string{again.DecisionID, one}
	for _, row := range []struct {
		filters []string
		want    []string
	}{
		{[]string{"decision_id", one}, []string{one}},
		{[]string{"type", "exchange", "subject", "alice"}, alices},
		{[]string{"type", "exchange", "issuer", w.idp.Issuer("okta").URL(), "outcome", "granted"}, all},
		{[]string{"type", "exchange", "client", "tracker"}, []string{tracked.DecisionID}},
		{[]string{"type", "exchange", "principal", "ml-inference"}, alices},
		{[]string{"type", "exchange", "principal", mlInference}, alices},
		{[]string{"type", "exchange", "workspace", "prod"}, all},
		{[]string{"rule", "engineers"}, alices},
		{[]string{"outcome", "denied", "type", "exchange"}, []string{denied.DecisionID}},
		{[]string{"reason", "no_matching_rule"}, []string{denied.DecisionID}},
		{[]string{"reason", "client_authentication_failed"}, []string{stranger.DecisionID}},
		{[]string{"type", "exchange", "token_sha256", e.GetTokenSha256()}, alices},
		{[]string{"token_sha256", e.GetSubjectToken().GetSha256(), "type", "exchange"}, alices},
		{[]string{"mint", e.GetMint(), "type", "mint"}, []string{e.GetMint()}},
		{[]string{"mint", e.GetMint(), "type", "exchange"}, alices},
		{[]string{"type", "failures", "source", "127.0.0.1"}, []string{stranger.DecisionID}},
		{[]string{"source", "203.0.113.9", "type", "exchange"}, []string{tracked.DecisionID}},
		{[]string{"action", "policy.load", "object", e.GetPolicy(), "type", "admin"}, nil}, // one, whose id nobody was told
		{[]string{"subject", "alice", "outcome", "denied"}, nil},
		{[]string{"subject", "nobody"}, nil},
		{[]string{"type", "exchange", "page_size", "1"}, []string{denied.DecisionID, tracked.DecisionID, again.DecisionID, one}},
		{[]string{"type", "exchange", "to", w.Now().Add(-time.Hour).Format(time.RFC3339)}, nil},
	} {
		got := a.search(row.filters...)
		if row.filters[0] == "action" {
			if len(got) != 1 {
				t.Errorf("%v: %v", row.filters, got)
			}
			continue
		}
		slices.Sort(got)
		slices.Sort(row.want)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%v: %s", row.filters, diff)
		}
	}
	for query, says := range map[string]string{
		"outcome=maybe": "granted, denied, failed", "type=x": "exchange, mint, admin", "reason=x": "no_matching_rule",
		"token_sha256=" + strings.ToUpper(hash): "64 digits", "decision_id=1": "UUID", "page_size=-1": "page_size",
		"page_token=x": "page_token", "from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z": "to is not after from",
	} {
		if got := w.API("/v1/audit/events?"+query, "", a.authorization); got.Status != 400 || got.Reason != string(exchange.ReasonRequestMalformed) || !strings.Contains(got.Description, says) {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
		}
	}
	a.lookups(first, alice, hash)
	a.proofs(first.DecisionID)
	a.counts()
	a.uses(hash)
}

// lookups asks what became of tokens.
func (a *auditor) lookups(first answer, alice, hash string) {
	t := a.t
	t.Helper()
	byText, byHash := &stsv1.LookupTokenResponse{}, &stsv1.LookupTokenResponse{}
	a.said.addSecret(first.AccessToken)
	a.post("/v1/audit/tokens:lookup", `{"token":"`+first.AccessToken+`"}`, byText)
	a.post("/v1/audit/tokens:lookup", `{"token_sha256":"`+hash+`"}`, byHash)
	if diff := cmp.Diff(protojson.Format(byText), protojson.Format(byHash)); diff != "" {
		t.Error(diff)
	}
	if !byText.GetKnown() || byText.GetKind() != "handed_out" || byText.Alive == nil || !byText.GetAlive() || byText.GetTokenSha256() != hash ||
		byText.GetMint().GetId() == "" || len(byText.GetEvents()) != 2 || byText.GetEvents()[1].GetRule() != "engineers" {
		t.Errorf("%v", byText)
	}
	presented := &stsv1.LookupTokenResponse{}
	a.post("/v1/audit/tokens:lookup", `{"token":"`+alice+`\n"}`, presented)
	if !presented.GetKnown() || presented.GetKind() != "presented" || !presented.GetAlive() || presented.GetMint() != nil || len(presented.GetEvents()) != 2 {
		t.Errorf("%v", presented)
	}
	unknown := &stsv1.LookupTokenResponse{}
	a.post("/v1/audit/tokens:lookup", `{"token":"never-seen"}`, unknown)
	if unknown.GetKnown() || unknown.Alive != nil || unknown.GetKind() != "" {
		t.Errorf("%v", unknown)
	}
	if got := a.API("/v1/audit/tokens:lookup", `{"token":"x","token_sha256":"`+hash+`"}`, a.authorization); got.Status != 400 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// proofs verifies a receipt with nothing but the key, and asks for the checkpoints.
func (a *auditor) proofs(id string) {
	t := a.t
	t.Helper()
	receipt := &stsv1.GetReceiptResponse{}
	a.Eventually("there is a receipt", func() bool {
		got := a.API("/v1/audit/events/"+id+"/receipt", "", a.authorization)
		if got.Status == http.StatusServiceUnavailable && got.RetryAfter == time.Second {
			return false
		}
		a.read(got, receipt)
		return true
	})
	a.WriteFile("receipt", receipt.GetReceipt())
	key, code := a.run("audit", "key", "--config", "sts.yaml")
	if code != 0 {
		t.Fatal(key)
	}
	if out, code := a.run("audit", "verify", "--receipt", "receipt", "--key", strings.TrimSpace(key)); code != 0 || !strings.Contains(out, id) {
		t.Errorf("%d %s", code, out)
	}
	checkpoints := &stsv1.ListCheckpointsResponse{}
	a.get("/v1/audit/checkpoint", nil, checkpoints)
	if all := checkpoints.GetCheckpoints(); len(all) != 1 || !strings.HasPrefix(all[0].GetCheckpoint(), all[0].GetOrigin()+"\n") {
		t.Errorf("%v", checkpoints)
	}
}

// counts asks for statistics.
func (a *auditor) counts() {
	a.t.Helper()
	now := a.Now()
	query := url.Values{"from": {now.Add(-time.Hour).Format(time.RFC3339)}, "to": {now.Add(time.Hour).Format(time.RFC3339)}, "by": {"outcome", "rule"}}
	got := &stsv1.GetStatisticsResponse{}
	a.get("/v1/audit/statistics", query, got)
	sums := map[string]int32{}
	for _, c := range got.GetCounts() {
		sums[c.GetOutcome()+" "+c.GetRule()] += c.GetCount()
	}
	if diff := cmp.Diff(map[string]int32{"granted engineers": 2, "granted etl": 1, "denied ": 1}, sums); diff != "" {
		a.t.Error(diff)
	}
	query.Set("by", "colour")
	if got := a.API("/v1/audit/statistics?"+query.Encode(), "", a.authorization); got.Status != 400 || !strings.Contains(got.Description, "principal, rule, outcome") {
		a.t.Errorf("%d %s", got.Status, got.Body)
	}
}

// uses holds that whatever was read is on record, what was refused for want of a role too, and is found by a search.
func (a *auditor) uses(hash string) {
	t := a.t
	t.Helper()
	refused := a.API("/v1/audit/events", "", a.bearer("data-eng"))
	if refused.Status != http.StatusForbidden || refused.Reason != string(exchange.ReasonRoleMissing) {
		t.Errorf("%d %s", refused.Status, refused.Body)
	}
	e := a.event(refused.DecisionID).GetEvent()
	if e.GetType() != "admin" || e.GetAction() != "audit.search_events" || e.GetOutcome() != "denied" || e.GetCaller().GetSub() != "audrey" {
		t.Errorf("%v", e)
	}
	for action, object := range map[string]string{
		"audit.search_events": "", "audit.get_event": refused.DecisionID, "audit.lookup_token": hash, "audit.get_receipt": "", "audit.list_checkpoints": "", "audit.get_statistics": "",
	} {
		a.Eventually(action+" is found", func() bool {
			filters := []string{"type", "admin", "subject", "audrey", "outcome", "granted", "action", action}
			if object != "" {
				filters = append(filters, "object", object)
			}
			return len(a.search(filters...)) > 0
		})
	}
}

// TestAuditIsTailed listens while things happen, through each door, and goes on where it stopped.
func TestAuditIsTailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAccess)
	a := &auditor{w, w.bearer("security")}
	for _, door := range []struct {
		name string
		open func(*auditor, context.Context, string) func() (*stsv1.TailEventsResponse, error)
	}{{"grpc", (*auditor).tailGRPC}, {"lines", (*auditor).tailLines}, {"events", (*auditor).tailEvents}} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		next := door.open(a, ctx, "")
		opening, err := next()
		if err != nil || opening.GetCursor() == "" {
			t.Fatalf("%s: %v, %v", door.name, opening, err)
		}
		first := w.Ask(with("subject_token", w.Token(map[string]any{"sub": "tailed"})))
		got := nextEvent(t, next)
		if got.GetEvent().GetId() != first.DecisionID || got.GetEvent().GetSubject().GetSub() != "tailed" {
			t.Errorf("%s: %v", door.name, got)
		}
		cancel()
		missed := w.Ask(with("subject_token", w.Token(map[string]any{"sub": "tailed"})))
		ctx, cancel = context.WithTimeout(t.Context(), patience)
		if got := nextEvent(t, door.open(a, ctx, got.GetCursor())); got.GetEvent().GetId() != missed.DecisionID {
			t.Errorf("%s goes on with %v", door.name, got)
		}
		cancel()
	}
	begun := 0
	for _, use := range w.uses() {
		if use.Action == "audit.tail_events" && use.Outcome == "granted" {
			begun++
		}
	}
	if begun != 6 {
		t.Errorf("%d tails are on record", begun)
	}
	// A stop doesn't wait for those who listen.
	next := a.tailGRPC(t.Context(), "")
	lines := a.tailLines(t.Context(), "")
	for _, f := range []func() (*stsv1.TailEventsResponse, error){next, lines} {
		if _, err := f(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	w.lastMetrics = w.Metrics()
	w.sts.Stop(t)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	for {
		if _, err := next(); err != nil {
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the tail ended with %v", err)
			}
			break
		}
	}
}

func nextEvent(t *testing.T, next func() (*stsv1.TailEventsResponse, error)) *stsv1.TailEventsResponse {
	t.Helper()
	for {
		m, err := next()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEvent() != nil {
			return m
		}
	}
}

func (a *auditor) tailGRPC(ctx context.Context, cursor string) func() (*stsv1.TailEventsResponse, error) {
	a.t.Helper()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a.authorization)
	stream, err := stsv1.NewAuditServiceClient(a.GRPC()).TailEvents(ctx, &stsv1.TailEventsRequest{Type: "exchange", Subject: "tailed", Cursor: cursor}, grpc.WaitForReady(true))
	if err != nil {
		a.t.Fatal(err)
	}
	return stream.Recv
}

// tailHTTP opens a tail over HTTP.
func (a *auditor) tailHTTP(ctx context.Context, header http.Header, cursor string) *bufio.Reader {
	a.t.Helper()
	query := url.Values{"type": {"exchange"}, "subject": {"tailed"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.sts.http+"/v1/audit/events:tail?"+query.Encode(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("Authorization", a.authorization)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		a.t.Fatal(answer.Status)
	}
	return bufio.NewReader(answer.Body)
}

func (a *auditor) tailLines(ctx context.Context, cursor string) func() (*stsv1.TailEventsResponse, error) {
	a.t.Helper()
	lines := a.tailHTTP(ctx, http.Header{}, cursor)
	return func() (*stsv1.TailEventsResponse, error) {
		text, err := lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		m := &stsv1.TailEventsResponse{}
		text = strings.TrimSuffix(strings.TrimPrefix(text, `{"result":`), "}\n")
		return m, protojson.Unmarshal([]byte(text), m)
	}
}

// tailEvents is an EventSource, which sends where it stopped in a header.
func (a *auditor) tailEvents(ctx context.Context, cursor string) func() (*stsv1.TailEventsResponse, error) {
	a.t.Helper()
	header := http.Header{"Accept": {"text/event-stream"}}
	if cursor != "" {
		header.Set("Last-Event-ID", cursor)
	}
	lines := a.tailHTTP(ctx, header, "")
	return func() (*stsv1.TailEventsResponse, error) {
		m := &stsv1.TailEventsResponse{}
		for {
			text, err := lines.ReadString('\n')
			if err != nil || text == "\n" {
				return m, err
			}
			if id, ok := strings.CutPrefix(text, "id: "); ok {
				m.Cursor = strings.TrimSuffix(id, "\n")
			}
			if data, ok := strings.CutPrefix(text, "data: "); ok {
				if err := protojson.Unmarshal([]byte(data), m); err != nil {
					return nil, err
				}
			}
		}
	}
}

// TestPastIsExplained asks why an exchange ended as it did, when policy says otherwise by now.
func TestPastIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAccess)
	a := &auditor{w, w.bearer("security")}
	subject := idp.Token{Claims: map[string]any{"sub": "dora", "groups": []string{"data-eng"}}}
	granted := w.Ask(with("subject_token", w.MintToken(subject)))
	mustGrant(t, granted, tenMinutes)
	denied := w.Ask(with("subject_token", w.Token(map[string]any{"sub": "bob", "groups": []string{"nobody"}})))
	forged := w.Ask(with("subject_token", w.MintToken(idp.Token{Forged: true})))
	for _, asked := range []answer{granted, denied, forged} {
		a.event(asked.DecisionID)
	}
	then := a.event(granted.DecisionID).GetEvent().GetPolicy()

	policy := w.policy
	rules := policy["rules"].(list)
	policy["rules"] = slices.DeleteFunc(slices.Clone(rules), func(r any) bool { return r.(object)["id"] == "engineers" })
	w.WritePolicy(policy)
	w.Eventually("the new policy is in force", func() bool { return w.actions("policy.load") == 2 })

	explain := func(id string) *stsv1.ExplainResponse {
		x := &stsv1.ExplainResponse{}
		a.post("/v1/mappings:explain", `{"decision_id":"`+id+`"}`, x)
		return x
	}
	x := explain(granted.DecisionID)
	if x.GetPolicy() != then || x.GetOutcome() != "granted" || x.GetRule() != "engineers" || x.GetGrant().GetPrincipal() != "ml-inference" ||
		x.GetRecorded().GetDecisionId() != granted.DecisionID || x.GetRecorded().GetRule() != "engineers" || len(x.GetRules()) == 0 {
		t.Errorf("%v", x)
	}
	x = explain(denied.DecisionID)
	if x.GetPolicy() != then || x.GetOutcome() != "denied" || x.GetReason() != "no_matching_rule" || x.GetNearest().GetFailed() != "groups" || x.GetNearest().GetSaw() != "nobody" {
		t.Errorf("%v", x)
	}
	x = explain(forged.DecisionID)
	if x.GetOutcome() != "denied" || x.GetReason() != "subject_token_invalid" || len(x.GetRules()) != 0 || !strings.Contains(strings.Join(x.GetCaveats(), " "), "did not verify") {
		t.Errorf("%v", x)
	}
	for body, want := range map[string]int{
		`{"decision_id":"` + granted.DecisionID + `","client":"kong"}`:               http.StatusBadRequest,
		`{"decision_id":"01936f2e-0000-7000-8000-000000000000"}`:                     http.StatusNotFound,
		`{"decision_id":"` + a.event(granted.DecisionID).GetEvent().GetMint() + `"}`: http.StatusBadRequest,
	} {
		if got := w.API("/v1/mappings:explain", body, a.authorization); got.Status != want {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
	a.Eventually("the explanation is on record", func() bool {
		return len(a.search("action", "mapping.explain", "object", granted.DecisionID)) == 1
	})
}

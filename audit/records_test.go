package audit_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

var update = flag.Bool("update", false, "write the golden files anew")

func denied(code exchange.Code, reason exchange.Reason) *exchange.Attempt {
	a := granted(alice(), databricksText)
	a.Err = exchange.Refuse(code, reason, "no rule grants it")
	a.Decision.Denial, a.Decision.Grant, a.Decision.Rule = a.Err, exchange.Grant{}, ""
	a.Token, a.ExpiresAt = exchange.Token{}, time.Time{}
	return a
}

func unverified() *exchange.Attempt {
	a := denied(exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenInvalid)
	a.Subject, a.Decision = nil, exchange.Decision{}
	a.Request.Target = exchange.Target{Resource: "https://dbc.cloud.databricks.example"}
	return a
}

func unread() *exchange.Attempt {
	a := unverified()
	a.Request, a.Call.Source.Claimed = nil, exchange.Claimed{}
	a.Err = exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "too many")
	return a
}

func delegated() *exchange.Attempt {
	a := granted(alice(), databricksText)
	a.Actor = &exchange.Identity{Provider: "okta", Issuer: "https://acme.okta.example", Subject: "agent-7", TokenID: "jti-2", Groups: exchange.Groups{Overage: true}}
	a.Actor.TokenSHA256 = sha256.Sum256([]byte(actorToken))
	a.Request.Actor = &exchange.Presented{Token: exchange.Secret(actorToken), Type: exchange.TypeJWT}
	a.Prior = []exchange.Actor{{Provider: "okta", Issuer: "https://acme.okta.example", Subject: "agent-6"}, {Issuer: "https://elsewhere.example", Subject: "agent-5"}}
	a.Token.Bound, a.Token.Cache, a.Token.TrueExpiry = exchange.BoundServed, exchange.CacheMemory, start.Add(time.Hour)
	return a
}

// actorToken is what the actor of a delegated attempt presents.
const actorToken = "the-token-of-agent-7"

// told is an attempt in which somebody acts by the subject token's word alone.
func told() *exchange.Attempt {
	a := granted(alice(), databricksText)
	a.Actor = &exchange.Identity{Provider: "okta", Issuer: "https://acme.okta.example", Subject: "agent-7"}
	a.ActorTold, a.Prior = true, []exchange.Actor{{Issuer: "https://elsewhere.example", Subject: "agent-5"}}
	return a
}

// unverifiedActor is an attempt whose actor token is no good.
func unverifiedActor() *exchange.Attempt {
	a := denied(exchange.CodeInvalidRequest, exchange.ReasonActorTokenInvalid)
	a.Decision = exchange.Decision{}
	a.Request.Actor = &exchange.Presented{Token: exchange.Secret(actorToken), Type: exchange.TypeIDToken}
	return a
}

func failedMint() *exchange.Mint {
	return &exchange.Mint{
		Cause: exchange.CauseRenewal, Grant: exchange.Grant{Principal: "etl", Workspace: "prod", Method: exchange.MethodClientSecret, Scopes: []string{"all-apis"}},
		Asked: start.Add(time.Hour), Duration: 5 * time.Second,
		Err: exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "mend it").Because(answer("401 invalid_client")),
	}
}

func usedByBearer() *exchange.Admin {
	return &exchange.Admin{
		Action: "mapping.get_rule", Object: "scientists",
		By: &exchange.Caller{Entrance: "json", Source: exchange.Source{Peer: netip.MustParseAddr("10.0.0.7")}, Bearer: alice()},
	}
}

func revoked() *exchange.Admin {
	used := usedByClient()
	used.Err, used.TrueExpiry = nil, start.Add(time.Hour)
	return used
}

func usedByClient() *exchange.Admin {
	call := granted(alice(), databricksText).Call
	return &exchange.Admin{
		Action: "token.revoke", Object: mintID,
		By:  &exchange.Caller{Entrance: "form", Source: call.Source, Client: call.Client.ID},
		Err: exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "the ledger can't be written"),
	}
}

// answer is a cause that tells what Databricks said.
type answer string

func (a answer) Error() string  { return "databricks said " + string(a) }
func (a answer) Answer() string { return string(a) }

func TestGolden(t *testing.T) {
	mint := &exchange.Mint{Cause: exchange.CauseMiss, Grant: grant(), Asked: start.Add(15 * time.Minute), Token: granted(alice(), databricksText).Token, Duration: 80 * time.Millisecond}
	admin := &exchange.Admin{Action: "policy.load", Object: policyDigest, Detail: "3 rules, \"quoted\"\nand a second line"}
	tests := []struct {
		name  string
		event exchange.Event
	}{
		{"granted", exchange.Event{ID: decisionID, Time: start, Exchange: granted(alice(), databricksText)}},
		{"delegated", exchange.Event{ID: decisionID, Time: start, Exchange: delegated()}},
		{"delegated_told", exchange.Event{ID: decisionID, Time: start, Exchange: told()}},
		{"delegated_unverified", exchange.Event{ID: decisionID, Time: start, Exchange: unverifiedActor()}},
		{"denied", exchange.Event{ID: decisionID, Time: start, Exchange: denied(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)}},
		{"unverified", exchange.Event{ID: decisionID, Time: start, Exchange: unverified()}},
		{"unread", exchange.Event{ID: decisionID, Time: start, Exchange: unread()}},
		{"bare", exchange.Event{ID: decisionID, Time: start, Exchange: &exchange.Attempt{}}},
		{"mint", exchange.Event{ID: mintID, Time: start, Mint: mint}},
		{"mint_failed", exchange.Event{ID: mintID, Time: start, Mint: failedMint()}},
		{"admin", exchange.Event{ID: mintID, Time: start, Admin: admin}},
		{"admin_bearer", exchange.Event{ID: mintID, Time: start, Admin: usedByBearer()}},
		{"admin_client", exchange.Event{ID: mintID, Time: start, Admin: usedByClient()}},
		{"admin_revoked", exchange.Event{ID: mintID, Time: start, Admin: revoked()}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l, _ := open(t, dir, func(c *audit.Config) { c.RecordClaims = []string{"department", "nested", "ratio"} })
			mustRecord(t, l, &test.event)
			mustClose(t, l)
			compareGolden(t, test.name, withoutHeaders(readAll(t, dir)))
			read(t, dir)
		})
	}
}

func TestGoldenFailures(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	for _, reason := range []exchange.Reason{exchange.ReasonClientAuthenticationFailed, exchange.ReasonRequestMalformed, exchange.ReasonClientAuthenticationFailed} {
		l.RecordFailure(exchange.Failure{
			Entrance: "form", Source: exchange.Source{Peer: netip.MustParseAddr("2001:db8::1")},
			Err: exchange.Refuse(exchange.CodeInvalidClient, reason, "no"),
		})
	}
	mustClose(t, l)
	compareGolden(t, "failures", withoutHeaders(readAll(t, dir)))
}

// withoutHeaders leaves out what each segment begins with.
func withoutHeaders(log string) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(log, "\n"), func(line string) bool {
		return strings.HasPrefix(line, `{"type":"segment"`)
	}), "")
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".jsonl")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What no record may hold is planted wherever an event carries it.
func TestSecretsStayOut(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	mustRecord(t, l, exchangeEvent(granted(alice(), databricksText)))
	mustRecord(t, l, exchangeEvent(unverified()))
	mustRecord(t, l, &exchange.Event{ID: mintID, Time: start, Admin: usedByBearer()})
	mustRecord(t, l, &exchange.Event{ID: mintID, Time: start, Mint: &exchange.Mint{
		Grant: grant(), Token: granted(alice(), databricksText).Token,
		Err: exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamInvalid, "odd").Because(context.Canceled),
	}})
	mustClose(t, l)
	log := readAll(t, dir)
	for _, secret := range []string{subjectToken, "SUBJECT-TOKEN", databricksText, "NOT-RECORDED", "alice@acme.example", "generation-1", "context canceled"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if !strings.Contains(log, "research") {
		t.Error("the log does not hold the claim that a rule reads")
	}
}

// A caller's own words can't make a record larger than we choose.
func TestForeignTextIsClipped(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	a := granted(alice(), databricksText)
	a.Call.Source.Claimed.RequestID = strings.Repeat("é", 5000)
	a.Request.Target.Workspace = strings.Repeat("x", 5000)
	mustRecord(t, l, exchangeEvent(a))
	mustClose(t, l)
	r := read(t, dir)[1].Exchange
	if got := r.Claimed.RequestID; got != strings.Repeat("é", 256) {
		t.Errorf("request_id has %d bytes", len(got))
	}
	if got := len(r.Target.Workspace); got != 512 {
		t.Errorf("workspace has %d bytes", got)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	tests := []struct{ name, line string }{
		{"not JSON", `{"type":"admin"`},
		{"unknown type", `{"type":"surprise","id":"1","time":"2026-11-24T10:00:00Z"}`},
		{"unknown field", `{"type":"admin","id":"1","time":"2026-11-24T10:00:00Z","replica":"a","token":"x"}`},
		{"field of another type", `{"type":"admin","id":"1","time":"2026-11-24T10:00:00Z","rule":"x"}`},
		{"wrong kind", `{"type":"admin","id":7}`},
	}
	for _, test := range tests {
		if r, err := audit.Decode([]byte(test.line)); err == nil {
			t.Errorf("%s: decoded as %+v", test.name, r)
		}
	}
}

// Whatever text goes in, the line is one line of valid JSON, and the same text comes out, U+FFFD for what is no UTF-8.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\"\\\n\r\t", "é€😀", "\xff\xfe", "a\xc3", "\u2028", "</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		dir := t.TempDir()
		l, _ := open(t, dir, nil)
		mustRecord(t, l, &exchange.Event{ID: "x", Time: start, Admin: &exchange.Admin{Action: "fuzz", Object: s}})
		mustClose(t, l)
		records := read(t, dir)
		if len(records) != 1 {
			t.Fatalf("%d records", len(records))
		}
		last := records[0]
		var want string
		quoted, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatal(err)
		}
		if last.Admin == nil || last.Admin.Object != want {
			t.Errorf("wrote %q, read %+v", s, last.Admin)
		}
	})
}

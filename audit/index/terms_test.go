package index_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
)

const (
	tokenHash   = "ba31e24fd64433775f8a829741e34e0f8752cc6d4e23f33ab8b4171b4c43e234"
	subjectHash = "1918287aaf29b72fb90fa31698048285aa0169c08e15311fe6dde6091eae27a1"
)

func TestTermsOfEveryRecord(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"granted", `type=exchange issuer=https://acme.okta.example subject=00u1 client=kong source=10.0.0.7 source=203.0.113.9 principal=models
			principal=3f9c1c56-0000-4000-8000-00000000000a workspace=prod rule=scientists outcome=granted mint=01936f2e-0000-7000-8000-000000000002
			token=` + tokenHash + ` token=` + subjectHash},
		{"delegated", `type=exchange issuer=https://acme.okta.example subject=00u1 actor=agent-7 actor=agent-6 actor=agent-5 client=kong source=10.0.0.7 source=203.0.113.9 principal=models
			principal=3f9c1c56-0000-4000-8000-00000000000a workspace=prod rule=scientists outcome=granted mint=01936f2e-0000-7000-8000-000000000002
			token=` + tokenHash + ` token=` + subjectHash + ` token=a1fe162e9feefb2ce5cb3bd4d9832329810ff1444d8efa01afcf79498442e85a`},
		{"delegated_told", `type=exchange issuer=https://acme.okta.example subject=00u1 actor=agent-7 actor=agent-5 client=kong source=10.0.0.7 source=203.0.113.9 principal=models
			principal=3f9c1c56-0000-4000-8000-00000000000a workspace=prod rule=scientists outcome=granted mint=01936f2e-0000-7000-8000-000000000002
			token=` + tokenHash + ` token=` + subjectHash},
		{"denied", `type=exchange issuer=https://acme.okta.example subject=00u1 client=kong source=10.0.0.7 source=203.0.113.9
			outcome=denied reason=no_matching_rule token=` + subjectHash},
		{"unverified", `type=exchange client=kong source=10.0.0.7 source=203.0.113.9 outcome=denied reason=subject_token_invalid token=` + subjectHash},
		{"bare", `type=exchange outcome=granted`},
		{"mint", `type=mint principal=models principal=3f9c1c56-0000-4000-8000-00000000000a workspace=prod outcome=granted
			mint=01936f2e-0000-7000-8000-000000000002 token=` + tokenHash},
		{"mint_failed", `type=mint principal=etl workspace=prod outcome=failed reason=upstream_rejected mint=01936f2e-0000-7000-8000-000000000002`},
		{"admin", `type=admin action=policy.load object=5d41402abc4b2a76b9719d911017c592`},
		{"admin_bearer", `type=admin action=mapping.get_rule object=scientists issuer=https://acme.okta.example subject=00u1 token=` + subjectHash + `
			source=10.0.0.7 outcome=granted`},
		{"admin_client", `type=admin action=token.revoke object=01936f2e-0000-7000-8000-000000000002 client=kong source=10.0.0.7 source=203.0.113.9
			outcome=failed reason=ledger_unavailable`},
		{"failures", `type=failures source=2001:db8::1 reason=client_authentication_failed reason=request_malformed`},
	} {
		text, err := os.ReadFile(filepath.Join("..", "testdata", c.name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		check(t, c.name, event(t, string(lines[len(lines)-1])), c.want)
	}

	const header = `,"id":"01936f2e-0000-7000-8000-000000000009","time":"2026-11-24T10:00:00Z","replica":"sts-0",`
	who := event(t, `{"type":"subject"`+header+`"provider":"okta","issuer":"https://i","sub":"u","sha256":"`+subjectHash+`"}`)
	check(t, "subject", who, `type=subject issuer=https://i subject=u token=`+subjectHash)
	check(t, "segment", event(t, `{"type":"segment"`+header+`"origin":"o","number":1,"first":0,"range":[]}`), `type=segment`)
	revoked := event(t, `{"type":"admin"`+header+`"action":"token.revoke","object":"`+tokenHash+`","client":"kong","outcome":"granted"}`)
	check(t, "a token that was given up", revoked, `type=admin action=token.revoke object=`+tokenHash+` token=`+tokenHash+` client=kong outcome=granted`)

	repeat := event(t, `{"type":"repeat"`+header+`"of":"01936f2e-0000-7000-8000-000000000001","cache":"memory"}`)
	check(t, "a repeat whose first is gone", repeat, `type=exchange`)
	repeat.Exchange = repeat.Repeat.In(&audit.ExchangeRecord{Client: "kong", Outcome: "granted", Rule: "r"})
	check(t, "a repeat", repeat, `type=exchange client=kong rule=r outcome=granted`)
}

func check(t *testing.T, name string, e *index.Event, want string) {
	t.Helper()
	var got []string
	for _, term := range index.TermsOf(e) {
		got = append(got, string(term.Field)+"="+term.Value)
	}
	fields := strings.Fields(want)
	slices.Sort(fields)
	slices.Sort(got) // reasons come out of a map
	if diff := cmp.Diff(fields, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func event(t testing.TB, line string) *index.Event {
	t.Helper()
	r, err := audit.Decode([]byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return &index.Event{Record: r, Origin: "sts.acme.example/audit/sts-0/9f3a12bc"}
}

// A term's hash is on disk: it must not change.
func TestHashOfATerm(t *testing.T) {
	for term, want := range map[index.Term]int64{
		{Field: index.FieldClient, Value: "kong"}:  -4086415550783441273,
		{Field: index.FieldSubject, Value: "kong"}: -4867210075263603480,
	} {
		if got := term.Hash(); got != want {
			t.Errorf("the hash of %v is %d, want %d", term, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "denied.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	e := event(t, string(line))
	at := time.UnixMilli(0x01936f2e0000)
	for _, c := range []struct {
		name string
		q    index.Query
		want bool
	}{
		{"nothing asked", index.Query{}, true},
		{"one term", index.Query{Terms: []index.Term{{Field: index.FieldClient, Value: "kong"}}}, true},
		{"two terms", index.Query{Terms: []index.Term{{Field: index.FieldClient, Value: "kong"}, {Field: index.FieldOutcome, Value: "denied"}}}, true},
		{"one of two", index.Query{Terms: []index.Term{{Field: index.FieldClient, Value: "kong"}, {Field: index.FieldOutcome, Value: "granted"}}}, false},
		{"another field's value", index.Query{Terms: []index.Term{{Field: index.FieldSubject, Value: "kong"}}}, false},
		{"case counts", index.Query{Terms: []index.Term{{Field: index.FieldClient, Value: "Kong"}}}, false},
		{"from then on", index.Query{From: at}, true},
		{"from the next millisecond on", index.Query{From: at.Add(time.Millisecond)}, false},
		{"until then", index.Query{To: at}, false},
		{"until the next millisecond", index.Query{To: at.Add(time.Millisecond)}, true},
		{"its id", index.Query{ID: "01936f2e-0000-7000-8000-000000000001"}, true},
		{"another id", index.Query{ID: "01936f2e-0000-7000-8000-000000000002"}, false},
	} {
		if got := index.Matches(e, &c.q); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

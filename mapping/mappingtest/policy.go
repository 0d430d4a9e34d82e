package mappingtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// Shape says what a synthetic policy is like. A zero field has the value in brackets.
type Shape struct {
	Rules      int      // [10]
	Principals int      // [10]; all in workspace "prod"
	Provider   string   // [okta]
	Clients    []string // [kong]; rules name them in turn
	Host       string   // [https://prod.example]; of the workspace
	Account    string   // [aws]
}

func (s *Shape) fill() {
	s.Rules, s.Principals = or(s.Rules, 10), or(s.Principals, 10)
	s.Provider, s.Host, s.Account = or(s.Provider, "okta"), or(s.Host, "https://prod.example"), or(s.Account, "aws")
	if len(s.Clients) == 0 {
		s.Clients = []string{"kong"}
	}
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Policy is the text of a policy: out of twenty rules one denies, two are for single subjects, one is for subjects that
// start alike, two have a condition, and the others grant a principal to a group.
func Policy(s Shape) []byte {
	s.fill()
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nworkspaces:\n  prod: {host: %q, account: %s}\nprincipals:\n", s.Host, s.Account)
	for i := range s.Principals {
		fmt.Fprintf(&b, "  p%d: {workspace: prod, application_id: 00000000-0000-4000-8000-%012d, scopes: [all-apis, sql], max_lifetime: 1h, owner: team}\n", i, i)
	}
	b.WriteString("rules:\n")
	for i := range s.Rules {
		fmt.Fprintf(&b, "  - id: r%d\n    owner: team\n", i)
		issuer, client := s.Provider, s.Clients[i%len(s.Clients)]
		grant := fmt.Sprintf("    grant: {principal: p%d, lifetime: 10m}\n", i%s.Principals)
		switch i % 20 {
		case 3:
			fmt.Fprintf(&b, "    effect: deny\n    match: {issuer: [%s], groups: {any: [banned-%d]}}\n", issuer, i)
		case 7, 13:
			fmt.Fprintf(&b, "    match: {issuer: [%s], subject: [%s], clients: [%s]}\n%s", issuer, Subject(i), client, grant)
		case 11:
			fmt.Fprintf(&b, "    match: {issuer: [%s], subject: [\"%s-*\"], clients: [%s]}\n%s", issuer, Subject(i), client, grant)
		case 5, 17:
			fmt.Fprintf(&b, "    match:\n      issuer: [%s]\n      groups: {any: [team-%d], none: [suspended]}\n      clients: [%s]\n      when: claims.amr.exists(m, m == \"mfa\")\n%s", issuer, i, client, grant)
		default:
			fmt.Fprintf(&b, "    match: {issuer: [%s], groups: {any: [team-%d, other-%d], none: [suspended]}, clients: [%s]}\n%s", issuer, i, i, client, grant)
		}
	}
	return []byte(b.String())
}

// Subject is the subject for whom rule i is made.
func Subject(i int) string { return fmt.Sprintf("00u%07d", i) }

// Environment is the configuration that such a policy refers to.
func Environment(s Shape) *mapping.Environment {
	s.fill()
	clients := make(map[string][]string, len(s.Clients))
	for _, c := range s.Clients {
		clients[c] = []string{"prod"}
	}
	return &mapping.Environment{
		Providers: map[string]mapping.Provider{s.Provider: {Issuer: "https://" + s.Provider + ".example"}}, Clients: clients, Accounts: []string{s.Account},
	}
}

// Identity is a subject that rule i grants something, in ten groups.
func Identity(s Shape, i int) *exchange.Identity {
	s.fill()
	id := &exchange.Identity{
		Provider: s.Provider, Issuer: "https://" + s.Provider + ".example", Subject: Subject(i),
		Groups: exchange.Groups{Known: true, Names: []string{"all", "b", "c", "d", "e", "f", "g", "h", "i", fmt.Sprintf("team-%d", i)}},
		Claims: map[string]any{"sub": Subject(i), "amr": []any{"pwd", "mfa"}, "department": "sales"},
	}
	if i%20 == 11 {
		id.Subject += "-x"
	}
	return id
}

// Attempt is an attempt that rule i grants; i%20 must not be 3, since that rule denies.
func Attempt(s Shape, i int, now time.Time) *exchange.Attempt {
	s.fill()
	return &exchange.Attempt{
		Time: now, Call: &exchange.Call{Client: &exchange.Client{ID: s.Clients[i%len(s.Clients)], Audiences: []string{"prod"}}},
		Request: &exchange.Request{Target: exchange.Target{Workspace: "prod"}}, Subject: Identity(s, i),
	}
}

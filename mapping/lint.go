package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Severity says how bad a finding is.
type Severity string

// The severities. A policy with errors loads (what must not load is a fault of Compile), but shouldn't be merged.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is something that loads, and yet should be mended.
type Finding struct {
	Severity Severity
	Pos      strictyaml.Pos // zero where it concerns no place in particular
	Path     string         // "rule data-science"
	Message  string
	Mend     string
}

// String is "file:line:column: severity: path: message; mend".
func (f Finding) String() string {
	fault := strictyaml.Fault{Path: f.Path, Message: f.Message, Mend: f.Mend}
	if f.Pos.IsZero() {
		return string(f.Severity) + ": " + fault.String()
	}
	return f.Pos.String() + ": " + string(f.Severity) + ": " + fault.String()
}

// longExpiry is how far ahead an end says nothing any more.
const longExpiry = 2 * 365 * 24 * time.Hour

// Lint looks a policy over, as of now. The findings are in the order of the files.
func Lint(p *Policy, now time.Time) []Finding {
	l := &linter{p: p, now: now}
	for _, r := range p.rules {
		l.expiry(r)
		l.owner(r)
		l.groups(r)
		l.actor(r)
	}
	l.unused()
	l.clients()
	l.overlaps()
	if len(p.tests) == 0 {
		l.warn(strictyaml.Pos{}, "", "the policy has no tests", "add tests: with who shall and who shall not get what; they run at every load")
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(l.file(a.Pos)-l.file(b.Pos), a.Pos.Line-b.Pos.Line, a.Pos.Column-b.Pos.Column)
	})
	return l.findings
}

type linter struct {
	p        *Policy
	now      time.Time
	findings []Finding

	alone    map[*principal][]*rule // those that may grant it to a subject without an actor
	compared int                    // how many of these have been looked at
}

func (l *linter) warn(pos strictyaml.Pos, where, message, mend string) {
	l.findings = append(l.findings, Finding{SeverityWarning, pos, where, message, mend})
}

func (l *linter) err(pos strictyaml.Pos, where, message, mend string) {
	l.findings = append(l.findings, Finding{SeverityError, pos, where, message, mend})
}

func (l *linter) file(pos strictyaml.Pos) int {
	return slices.IndexFunc(l.p.files, func(f File) bool { return f.Name == pos.File })
}

func (r *rule) where() string { return "rule " + r.id }

func (l *linter) expiry(r *rule) {
	switch {
	case r.expires.IsZero():
	case r.expired(l.now) && r.deny:
		l.err(r.pos, r.where(), "this deny has expired, and keeps denying", "remove it if it shall no longer deny, else remove expires")
	case r.expired(l.now):
		l.warn(r.pos, r.where(), "it has expired, and grants nothing any more", "remove it, or extend it")
	case r.expires.Sub(l.now) > longExpiry:
		l.warn(r.pos, r.where(), "it expires in more than two years", "nobody will remember why it is there: shorten it")
	}
}

func (l *linter) owner(r *rule) {
	if r.owner == "" && !r.deny {
		l.warn(r.pos, r.where(), "nobody owns it", "add owner: with who answers for it")
	}
}

func (l *linter) groups(r *rule) {
	g := r.match.groups
	if g == nil {
		return
	}
	issuers := r.match.issuers
	if r.deny && issuers == nil {
		l.warn(g.pos, r.where(), "a deny that names groups applies to every subject whose groups are not known, and without issuer that is everyone of a provider whose tokens carry no groups",
			"add issuer: with the providers that send groups")
	}
	if issuers == nil {
		issuers = keysOf(l.p.indexes)
	}
	for _, n := range slices.Concat(g.any, g.all, g.none) {
		l.groupAt(r, n, issuers)
	}
	if g.contradicts() {
		l.warn(g.pos, r.where(), "it never matches: a group that it wants is among those that it wants none of", "remove one of the two")
	}
}

// groupAt checks what one name means at the providers of the rule.
func (l *linter) groupAt(r *rule, name string, issuers []string) {
	pos, a := r.match.groups.pos, l.p.aliases[name]
	for _, issuer := range issuers {
		there := name
		if a != nil {
			if there = a.names[issuer]; there == "" && r.match.issuers != nil {
				l.warn(pos, r.where(), "group "+name+" has no name at provider "+issuer+", so nobody there is in it", "add it under groups: "+name)
			}
		}
		if p, _ := l.p.env.provider(issuer); p.Entra && there != "" && uuid.Validate(there) != nil {
			l.warn(pos, r.where(), fmt.Sprintf("Entra sends the object ids of groups, and %q is none", there), fmt.Sprintf("name it once under groups: %s: {%s: OBJECT-ID}", name, issuer))
		}
	}
}

func (m *groupMatcher) contradicts() bool {
	return m.excludes(m)
}

func (l *linter) unused() {
	principals, workspaces := map[*principal]bool{}, map[*workspace]bool{}
	for _, r := range l.p.rules {
		if !r.deny {
			principals[r.principal] = true
		}
	}
	for _, name := range keysOf(l.p.principals) {
		p := l.p.principals[name]
		workspaces[p.workspace] = true
		if !principals[p] {
			l.warn(p.pos, "principal "+name, "no rule grants it", "remove it, or add a rule")
		}
		if p.owner == "" {
			l.warn(p.pos, "principal "+name, "nobody owns it", "add owner: with who answers for it")
		}
	}
	for _, name := range keysOf(l.p.workspaces) {
		if w := l.p.workspaces[name]; !workspaces[w] {
			l.warn(w.pos, "workspace "+name, "no principal is in it", "remove it, or add a principal")
		}
	}
	for _, name := range keysOf(l.p.aliases) {
		if a := l.p.aliases[name]; !a.used {
			l.warn(a.pos, "group "+name, "no rule names it", "remove it")
		}
	}
}

// clients looks at what the configuration lets clients ask for.
func (l *linter) clients() {
	if l.p.env == nil {
		return
	}
	for _, client := range keysOf(l.p.env.Clients) {
		for _, audience := range l.p.env.Clients[client] {
			workspace, principal, _ := strings.Cut(audience, "/")
			w, p := l.p.workspaces[workspace], l.p.principals[principal]
			if w == nil || principal != "" && (p == nil || p.workspace != w) {
				l.warn(strictyaml.Pos{}, "client "+client, "its audience "+audience+" is not in the policy", strictyaml.DidYouMean(workspace, keysOf(l.p.workspaces), "mend clients."+client+".audiences of the configuration"))
			}
		}
	}
}

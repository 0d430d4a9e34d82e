package mapping

import (
	"slices"
	"sync"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// Policy is a compiled policy: one snapshot that never changes.
type Policy struct {
	digest string
	files  []File
	env    *Environment

	workspaces map[string]*workspace
	hosts      map[string]*workspace // by normalised host
	principals map[string]*principal
	aliases    map[string]*alias
	rules      []*rule
	access     []*accessRule
	listed     []*rule      // the rules, by id
	existing   []*principal // the principals, by name
	tests      []*testCase

	indexes map[string]*index // by provider
	foreign *index            // of a provider that neither the policy nor its environment names

	readsClaims []string
	evaluations sync.Pool // of *evaluation
}

// Digest is the SHA-256 of the policy's files in lower-case hex: of the file itself where there is one, as sha256sum
// prints it; of the list of the files' digests, one a line, where there are several.
func (p *Policy) Digest() string { return p.digest }

// Rules is how many rules there are.
func (p *Policy) Rules() int { return len(p.rules) }

// ReadsClaims are the names of the top-level claims that any rule reads, sorted. Read only.
func (p *Policy) ReadsClaims() []string { return p.readsClaims }

type workspace struct {
	name    string
	host    string // normalised, as exchange.NormalizeResource does
	account string
	pos     strictyaml.Pos
}

type principal struct {
	name          string
	workspace     *workspace
	applicationID string
	scopes        []string // sorted, unique: the ceiling
	details       exchange.Details
	maxLifetime   time.Duration
	minLifetime   time.Duration
	isolation     isolation
	owner         string
	description   string
	rules         int // how many rules grant it
	pos           strictyaml.Pos
}

// alias is one name for what each provider calls its own way.
type alias struct {
	names map[string]string // by provider
	pos   strictyaml.Pos
	used  bool
}

// rule is a compiled rule. Its order in the policy breaks ties.
type rule struct {
	id       string
	order    int
	pos      strictyaml.Pos
	deny     bool
	priority int
	everyone bool
	expires  time.Time // the first instant at which an allow no longer matches; zero: never
	match    matcher

	// For people:
	owner, ticket, description string

	// For an allow:
	principal    *principal
	grant        exchange.Grant // all but its Isolation
	gatewayCache time.Duration
	lease        time.Duration // how long a lease may last; 0: none
}

func (r *rule) expired(now time.Time) bool { return !r.expires.IsZero() && !now.Before(r.expires) }

// accessRule gives a role with our own API.
type accessRule struct {
	role    Role
	pos     strictyaml.Pos
	expires time.Time
	match   matcher
}

// matcher is the match part of a rule.
type matcher struct {
	pos       strictyaml.Pos
	issuers   []string // nil: any
	subjects  []glob   // nil: any
	groups    *groupMatcher
	clients   []string // nil: any
	actor     *actorMatcher
	condition *condition
}

func (m *matcher) matchesIssuer(provider string) bool {
	return m.issuers == nil || slices.Contains(m.issuers, provider)
}

// actorMatcher says who may act; one without a matcher stands for "any", nobody included.
type actorMatcher struct {
	who *matcher // issuers, subjects and groups only
	// What an allow wants beside that of an actor:
	maxSessionAge  time.Duration // 0: any
	namesPrincipal bool
}

// groupMatcher holds group names as written, and as each provider writes them where any of them is an alias.
type groupMatcher struct {
	pos            strictyaml.Pos
	any, all, none []string // as the rule writes them
	plain          groupSet
	byProvider     map[string]*groupSet
}

func (m *groupMatcher) at(provider string) *groupSet {
	if set := m.byProvider[provider]; set != nil {
		return set
	}
	return &m.plain
}

// groupSet is what a rule wants of the groups of one provider.
type groupSet struct {
	any, all, none []string
	// wantsAny is true where one of any is wanted, even if the provider has a name for none of them.
	wantsAny bool
	// never is true where one of all has no name at the provider.
	never bool
}

// holds says whether a sorted list of groups is what is wanted.
func (s *groupSet) holds(names []string) bool {
	has := func(name string) bool {
		_, found := slices.BinarySearch(names, name)
		return found
	}
	if s.never || s.wantsAny && !slices.ContainsFunc(s.any, has) || slices.ContainsFunc(s.none, has) {
		return false
	}
	for _, name := range s.all {
		if !has(name) {
			return false
		}
	}
	return true
}

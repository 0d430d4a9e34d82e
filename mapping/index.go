package mapping

import (
	"maps"
	"slices"
)

// index finds the rules that can match a subject of one provider, so that a decision looks at a handful of rules and
// never at all of them.
type index struct {
	sighted table
	// blind holds the rules that stand under a group above, without regard to groups: for subjects whose groups are not
	// known.
	blind table
}

// table holds rules under what a subject must have to match: each rule under all values of one of its conditions, the
// one that narrows most. Every list is in the policy's order.
type table struct {
	subjects map[string]entry // by the whole subject
	groups   map[string]entry // by one of the subject's groups
	prefixes map[string]entry // by what the subject starts with
	lengths  []int            // of the prefixes, ascending
	clients  map[string]entry
	rest     entry
}

// entry holds denies and allows side by side, since every decision asks for both.
type entry struct{ denies, allows []*rule }

// buildIndexes makes an index per provider that can be named, and one for all others.
func buildIndexes(rules []*rule, providers []string) (byProvider map[string]*index, foreign *index) {
	byProvider, foreign = make(map[string]*index, len(providers)), newIndex()
	for _, p := range providers {
		byProvider[p] = newIndex()
	}
	for _, r := range rules {
		if r.match.issuers == nil {
			for provider, ix := range byProvider {
				ix.add(r, provider)
			}
			foreign.add(r, "")
			continue
		}
		for _, provider := range r.match.issuers {
			byProvider[provider].add(r, provider)
		}
	}
	for _, ix := range byProvider {
		ix.finish()
	}
	foreign.finish()
	return byProvider, foreign
}

func newIndex() *index {
	return &index{sighted: newTable(), blind: newTable()}
}

func newTable() table {
	return table{subjects: map[string]entry{}, groups: map[string]entry{}, prefixes: map[string]entry{}, clients: map[string]entry{}}
}

func (ix *index) add(r *rule, provider string) {
	groups := r.match.groups
	if r.match.literalSubjects() || groups == nil || len(groups.any)+len(groups.all) == 0 {
		ix.sighted.add(r)
		return
	}
	set := groups.at(provider)
	switch {
	case set.never || set.wantsAny && len(set.any) == 0:
		// Nobody at this provider holds what is wanted.
	case set.wantsAny:
		for _, group := range set.any {
			put(ix.sighted.groups, group, r)
		}
	default:
		put(ix.sighted.groups, set.all[0], r)
	}
	ix.blind.add(r)
}

// add puts a rule under its subjects, else what they start with, else its clients.
func (t *table) add(r *rule) {
	m := &r.match
	switch {
	case m.subjects != nil && !slices.ContainsFunc(m.subjects, func(g glob) bool { return g.prefix == "" }):
		for _, g := range m.subjects {
			if g.literal {
				put(t.subjects, g.pattern, r)
			} else {
				put(t.prefixes, g.prefix, r)
			}
		}
	case m.clients != nil:
		for _, client := range m.clients {
			put(t.clients, client, r)
		}
	default:
		t.rest.add(r)
	}
}

func put(m map[string]entry, key string, r *rule) {
	e := m[key]
	e.add(r)
	m[key] = e
}

// add appends a rule, once: two of its patterns may start alike.
func (e *entry) add(r *rule) {
	list := &e.allows
	if r.deny {
		list = &e.denies
	}
	if n := len(*list); n == 0 || (*list)[n-1] != r {
		*list = append(*list, r)
	}
}

func (m *matcher) literalSubjects() bool {
	return m.subjects != nil && !slices.ContainsFunc(m.subjects, func(g glob) bool { return !g.literal })
}

func (ix *index) finish() {
	for _, t := range []*table{&ix.sighted, &ix.blind} {
		lengths := map[int]bool{}
		for prefix := range t.prefixes {
			lengths[len(prefix)] = true
		}
		t.lengths = slices.Sorted(maps.Keys(lengths))
	}
}

// lists appends the lists that hold every rule that can match. A rule may be in several of them.
func (t *table) lists(v *view, denies, allows [][]*rule) (_, _ [][]*rule) {
	take := func(e entry) {
		if e.denies != nil {
			denies = append(denies, e.denies)
		}
		if e.allows != nil {
			allows = append(allows, e.allows)
		}
	}
	subject := v.subject.Subject
	take(t.subjects[subject])
	if len(t.groups) > 0 {
		for _, group := range v.subject.Groups.Names {
			take(t.groups[group])
		}
	}
	for _, n := range t.lengths {
		if n > len(subject) {
			break
		}
		take(t.prefixes[subject[:n]])
	}
	take(t.clients[v.client])
	take(t.rest)
	return denies, allows
}

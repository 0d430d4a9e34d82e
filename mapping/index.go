package mapping

import (
	"maps"
	"slices"
)

// index finds the rules that can match a subject of one provider, so that a decision looks at a handful of rules and
// never at all of them.
type index struct {
	denies, allows table
	// blindDenies and blindAllows hold the rules that stand under a group above, without regard to groups: for subjects
	// whose groups are not known.
	blindDenies, blindAllows table
}

// table holds rules under what a subject must have to match: each rule under all values of one of its conditions, the
// one that narrows most. Every list is in the policy's order.
type table struct {
	subjects map[string][]*rule // by the whole subject
	groups   map[string][]*rule // by one of the subject's groups
	prefixes map[string][]*rule // by what the subject starts with
	lengths  []int              // of the prefixes, ascending
	clients  map[string][]*rule
	rest     []*rule
}

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
	return &index{denies: newTable(), allows: newTable(), blindDenies: newTable(), blindAllows: newTable()}
}

func newTable() table {
	return table{subjects: map[string][]*rule{}, groups: map[string][]*rule{}, prefixes: map[string][]*rule{}, clients: map[string][]*rule{}}
}

func (ix *index) add(r *rule, provider string) {
	sighted, blind := &ix.allows, &ix.blindAllows
	if r.deny {
		sighted, blind = &ix.denies, &ix.blindDenies
	}
	groups := r.match.groups
	if r.match.literalSubjects() || groups == nil || len(groups.any)+len(groups.all) == 0 {
		sighted.add(r)
		return
	}
	set := groups.at(provider)
	switch {
	case set.never || set.wantsAny && len(set.any) == 0:
		// Nobody at this provider holds what is wanted.
	case set.wantsAny:
		for _, group := range set.any {
			put(sighted.groups, group, r)
		}
	default:
		put(sighted.groups, set.all[0], r)
	}
	blind.add(r)
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
		t.rest = append(t.rest, r)
	}
}

// put appends a rule, once: two of its patterns may start alike.
func put(m map[string][]*rule, key string, r *rule) {
	if list := m[key]; len(list) == 0 || list[len(list)-1] != r {
		m[key] = append(list, r)
	}
}

func (m *matcher) literalSubjects() bool {
	return m.subjects != nil && !slices.ContainsFunc(m.subjects, func(g glob) bool { return !g.literal })
}

func (ix *index) finish() {
	for _, t := range []*table{&ix.denies, &ix.allows, &ix.blindDenies, &ix.blindAllows} {
		lengths := map[int]bool{}
		for prefix := range t.prefixes {
			lengths[len(prefix)] = true
		}
		t.lengths = slices.Sorted(maps.Keys(lengths))
	}
}

// lists appends the lists that hold every rule that can match. A rule may be in several of them.
func (t *table) lists(into [][]*rule, v *view) [][]*rule {
	subject := v.subject.Subject
	if list := t.subjects[subject]; list != nil {
		into = append(into, list)
	}
	if len(t.groups) > 0 {
		for _, group := range v.subject.Groups.Names {
			if list := t.groups[group]; list != nil {
				into = append(into, list)
			}
		}
	}
	for _, n := range t.lengths {
		if n > len(subject) {
			break
		}
		if list := t.prefixes[subject[:n]]; list != nil {
			into = append(into, list)
		}
	}
	if list := t.clients[v.client]; list != nil {
		into = append(into, list)
	}
	if t.rest != nil {
		into = append(into, t.rest)
	}
	return into
}

package identity

import (
	"errors"
	"slices"
	"strings"

	"github.com/lakegate/sts/exchange"
)

// groups reads the groups claim. A token without one means that they are unknown, never that there are none; one that
// isn't an array of strings is refused, since whoever reads it otherwise may read a deny away.
func (t *trial) groups() (exchange.Groups, error) {
	if t.overage() {
		return exchange.Groups{Overage: true}, nil
	}
	var value any = t.claims
	for _, name := range t.provider.groups {
		object, ok := value.(map[string]any)
		if !ok {
			return exchange.Groups{}, t.groupsMalformed()
		}
		if value = object[name]; value == nil {
			return exchange.Groups{}, nil
		}
	}
	list, ok := value.([]any)
	if !ok {
		return exchange.Groups{}, t.groupsMalformed()
	}
	names := make([]string, 0, len(list))
	for _, element := range list {
		name, ok := element.(string)
		if !ok || name == "" {
			return exchange.Groups{}, t.groupsMalformed()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return exchange.Groups{Known: true, Names: slices.Compact(names)}, nil
}

func (t *trial) groupsMalformed() error {
	return t.Refuse(exchange.ReasonGroupsMalformed,
		"has a groups claim that is not an array of strings; mend the claim at the identity provider %s, or its groups_claim here", t.provider.Name)
}

// overage reports whether the token says that its groups are too many to carry: Entra ID puts a pointer in their place
// (OpenID Connect Core 1.0 §5.6.2), or hasgroups where the token comes through a browser. What is there beside that may
// be a part of them, so it isn't believed.
func (t *trial) overage() bool {
	claims := t.claims
	if has, there := claims["hasgroups"]; there && has != nil && has != false {
		return true
	}
	names, ok := claims["_claim_names"].(map[string]any)
	if !ok {
		return claims["_claim_names"] != nil // some claims are elsewhere, and we can't tell which
	}
	_, elsewhere := names[t.provider.groups[0]]
	_, usual := names["groups"]
	return elsewhere || usual
}

// parsePath splits a groups_claim: a JSON pointer, a dotted path, or one name.
func parsePath(claim string) ([]string, error) {
	var names []string
	switch {
	case claim == "":
		return []string{"groups"}, nil
	case strings.HasPrefix(claim, "/"):
		for _, name := range strings.Split(claim[1:], "/") {
			names = append(names, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
		}
	case strings.Contains(claim, "://"):
		names = []string{claim} // a namespaced claim, as Auth0 has them
	default:
		names = strings.Split(claim, ".")
	}
	if slices.Contains(names, "") {
		return nil, errors.New("must be a name, a dotted path or a JSON pointer, without empty steps")
	}
	return names, nil
}

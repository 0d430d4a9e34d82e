package identity

import (
	"errors"
	"slices"
	"strings"

	"github.com/lakegate/sts/exchange"
)

// groups reads the groups claim, and the roles that count as groups beside it. A token without a groups claim means that
// they are unknown, never that there are none; one without roles has none, since Entra ID and others leave an empty list
// out. A claim that isn't an array of strings is refused, since whoever reads it otherwise may read a deny away.
func (t *trial) groups() (exchange.Groups, error) {
	if t.elsewhere(t.provider.groups) || t.provider.roles != nil && t.elsewhere(t.provider.roles) {
		return exchange.Groups{Overage: true}, nil
	}
	names, err := t.list("groups", t.provider.groups)
	if err != nil || names == nil {
		return exchange.Groups{}, err
	}
	roles, err := t.list("roles", t.provider.roles)
	if err != nil {
		return exchange.Groups{}, err
	}
	return known(slices.Concat(names, roles)), nil
}

// known are groups of these names, which become its own.
func known(names []string) exchange.Groups {
	slices.Sort(names)
	return exchange.Groups{Known: true, Names: slices.Compact(names)}
}

// list reads the array of strings at the path of groups_claim or roles_claim; nil where there is none, and where there is
// no path.
func (t *trial) list(what string, path []string) ([]string, error) {
	if path == nil {
		return nil, nil
	}
	var value any = t.claims
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, t.malformed(what)
		}
		if value = object[name]; value == nil {
			return nil, nil
		}
	}
	list, ok := value.([]any)
	if !ok {
		return nil, t.malformed(what)
	}
	names := make([]string, 0, len(list))
	for _, element := range list {
		name, ok := element.(string)
		if !ok || name == "" {
			return nil, t.malformed(what)
		}
		names = append(names, name)
	}
	return names, nil
}

func (t *trial) malformed(what string) error {
	return t.Refuse(exchange.ReasonGroupsMalformed,
		"has a %s claim that is not an array of strings; mend the claim at the identity provider %s, or its %s_claim here", what, t.provider.Name, what)
}

// elsewhere reports whether the token says that it doesn't carry a claim, or not all of it: Entra ID puts a pointer in
// place of groups that are too many (OpenID Connect Core 1.0 §5.6.2), or hasgroups where the token comes through a
// browser. What is there beside that may be a part of them, so it isn't believed. Both speak of the claim that they name:
// roles are complete where groups are not.
func (t *trial) elsewhere(path []string) bool {
	claims := t.claims
	if has, there := claims["hasgroups"]; there && has != nil && has != false && path[0] == "groups" {
		return true
	}
	names, ok := claims["_claim_names"].(map[string]any)
	if !ok {
		return claims["_claim_names"] != nil // some claims are elsewhere, and we can't tell which
	}
	_, there := names[path[0]]
	return there
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

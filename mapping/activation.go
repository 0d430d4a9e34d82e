package mapping

import (
	"sync"
	"sync/atomic"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/lakegate/sts/exchange"
)

// errGroupsUnknown is the value of groups where they are not known: whatever depends on it has no value either.
var errGroupsUnknown = types.NewErr("the groups are not known")

// view is an attempt as a condition sees it. It implements cel.Activation, and builds each variable when it is first
// asked for.
type view struct {
	now     time.Time
	client  string
	subject *exchange.Identity
	actor   *exchange.Identity
	request *exchange.Request

	// claims are those that are looked at instead of all, nil for none.
	claims       map[string]any
	actorValue   map[string]any
	requestValue map[string]any
	// missedGroups is set when a condition asked for groups that are not known.
	missedGroups bool
}

// ResolveName implements cel.Activation.
func (v *view) ResolveName(name string) (any, bool) {
	switch name {
	case "subject":
		return types.String(v.subject.Subject), true
	case "groups":
		if !v.subject.Groups.Known {
			v.missedGroups = true
			return errGroupsUnknown, true
		}
		return valuesOf(v.subject).groups(), true
	case "claims":
		if v.claims != nil {
			return v.claims, true
		}
		return valuesOf(v.subject).claims(), true
	case "actor":
		return v.actorMap(), true
	case "client":
		return types.String(v.client), true
	case "request":
		return v.requestMap(), true
	case "now":
		return types.Timestamp{Time: v.now.UTC()}, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (*view) Parent() cel.Activation { return nil }

// actorMap is empty where nobody acts, so that has(actor.subject) tells. Groups that are not known
// are left out, and so is when a session began.
func (v *view) actorMap() map[string]any {
	if v.actorValue == nil {
		v.actorValue = map[string]any{}
		if a := v.actor; a != nil {
			v.actorValue["issuer"], v.actorValue["subject"] = a.Provider, a.Subject
			v.actorValue["party"], v.actorValue["token_type"] = a.Party, string(a.TokenType)
			if began, ok := sessionStart(a, v.now); ok {
				v.actorValue["session_start"] = types.Timestamp{Time: began.UTC()}
			}
			v.actorValue["claims"] = valuesOf(a).claims()
			if a.Groups.Known {
				v.actorValue["groups"] = valuesOf(a).groups()
			}
		}
	}
	return v.actorValue
}

// requestMap holds what was asked for; what wasn't is "", 0 seconds or an empty list.
func (v *view) requestMap() map[string]any {
	if v.requestValue == nil {
		r := v.request
		audience := r.Target.Workspace
		if r.Target.Principal != "" {
			audience += "/" + r.Target.Principal
		}
		v.requestValue = map[string]any{
			"audience": audience, "workspace": r.Target.Workspace, "principal": r.Target.Principal, "resource": r.Target.Resource,
			"scopes": types.NewStringList(types.DefaultTypeAdapter, r.Scopes), "lifetime": types.Duration{Duration: r.Lifetime},
		}
	}
	return v.requestValue
}

// celValues are an identity's claims and groups as CEL reads them. They hang on the identity, and so are made once per
// verified token; identities are shared between requests.
type celValues struct {
	identity   *exchange.Identity
	claimsOnce sync.Once
	claimsMap  map[string]any
	groupsOnce sync.Once
	groupsList ref.Val
	remembered atomic.Pointer[[]remembered]
}

func valuesOf(id *exchange.Identity) *celValues {
	return id.Derive(func(id *exchange.Identity) any { return &celValues{identity: id} }).(*celValues)
}

func (c *celValues) groups() ref.Val {
	c.groupsOnce.Do(func() { c.groupsList = types.NewStringList(types.DefaultTypeAdapter, c.identity.Groups.Names) })
	return c.groupsList
}

func (c *celValues) claims() map[string]any {
	c.claimsOnce.Do(func() {
		c.claimsMap = make(map[string]any, len(c.identity.Claims))
		for name, value := range c.identity.Claims {
			c.claimsMap[name] = celValue(value)
		}
	})
	return c.claimsMap
}

// celValue converts a claim, all the way down.
func celValue(value any) ref.Val {
	switch v := value.(type) {
	case []any:
		list := make([]ref.Val, len(v))
		for i := range v {
			list[i] = celValue(v[i])
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, member := range v {
			m[key] = celValue(member)
		}
		return types.NewStringInterfaceMap(types.DefaultTypeAdapter, m)
	default:
		return types.DefaultTypeAdapter.NativeToValue(v)
	}
}

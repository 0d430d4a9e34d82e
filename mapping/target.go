package mapping

import (
	"strings"

	"github.com/lakegate/sts/exchange"
)

// target is what a request is for.
type target struct {
	workspace *workspace
	principal *principal // nil: whichever the rules lead to
	// only holds the client's audiences where it may ask for single principals of the workspace alone.
	only []string
}

// admits says whether a rule that leads to the principal is of any use.
func (t *target) admits(p *principal) bool {
	switch {
	case p.workspace != t.workspace:
		return false
	case t.principal != nil:
		return p == t.principal
	}
	return t.only == nil || mayAskFor(t.only, p)
}

// mayAskFor says whether an audience among those of a client is exactly that principal.
func mayAskFor(audiences []string, p *principal) bool {
	for _, audience := range audiences {
		if workspace, name, ok := strings.Cut(audience, "/"); ok && workspace == p.workspace.name && name == p.name {
			return true
		}
	}
	return false
}

// targetOf finds what a request is for within what its client may ask for. A target that doesn't exist and one that is
// not for this client get the same refusal, so that a client learns of no others.
func (p *Policy) targetOf(asked exchange.Target, client *exchange.Client) (target, *exchange.Error) {
	var t target
	if asked.Workspace != "" {
		var ok bool
		if t, ok = p.byAudience(asked, client); !ok {
			return t, unknownTarget()
		}
	}
	if asked.Resource != "" {
		byResource, ok := p.within(p.hosts[asked.Resource], client)
		switch {
		case !ok:
			return t, unknownTarget()
		case t.workspace == nil:
			t = byResource
		case t.workspace != byResource.workspace:
			return t, exchange.Refuse(exchange.CodeInvalidTarget, exchange.ReasonTargetUnknown,
				"audience and resource lead to different workspaces; send one of them, or two that agree")
		}
	}
	if t.workspace == nil {
		return p.onlyTarget(client)
	}
	return t, nil
}

func unknownTarget() *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidTarget, exchange.ReasonTargetUnknown,
		"audience or resource is not known, or not for this client; ask for what is listed under the client's audiences")
}

func (p *Policy) byAudience(asked exchange.Target, client *exchange.Client) (target, bool) {
	t, ok := p.within(p.workspaces[asked.Workspace], client)
	if !ok || asked.Principal == "" {
		return t, ok
	}
	wanted := p.principals[asked.Principal]
	if wanted == nil || !t.admits(wanted) {
		return t, false
	}
	t.principal = wanted
	return t, true
}

// within is the part of a workspace that the client may ask for; not ok if there is none.
func (p *Policy) within(w *workspace, client *exchange.Client) (t target, ok bool) {
	if w == nil {
		return t, false
	}
	t.workspace = w
	for _, audience := range client.Audiences {
		switch workspace, _, single := strings.Cut(audience, "/"); {
		case workspace != w.name:
		case !single:
			t.only = nil
			return t, true
		default:
			t.only = client.Audiences
		}
	}
	return t, t.only != nil
}

// onlyTarget is the one workspace that the client may ask for.
func (p *Policy) onlyTarget(client *exchange.Client) (t target, err *exchange.Error) {
	for _, audience := range client.Audiences {
		workspace, _, _ := strings.Cut(audience, "/")
		w := p.workspaces[workspace]
		switch {
		case w == nil || w == t.workspace:
		case t.workspace != nil:
			return t, missingTarget()
		default:
			t.workspace = w
		}
	}
	if t, ok := p.within(t.workspace, client); ok {
		return t, nil
	}
	return t, missingTarget()
}

func missingTarget() *exchange.Error {
	return exchange.Refuse(exchange.CodeInvalidTarget, exchange.ReasonTargetUnknown,
		"audience is missing, and this client may ask for several workspaces; name one in audience or resource")
}

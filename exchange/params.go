package exchange

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Params are the parameters of a token request as they came in (RFC 8693 §2.1), whatever the entrance; an empty value
// is an omitted one (RFC 6749 §3.2). Entrances have refused repeated parameters, except audience and resource.
type Params struct {
	GrantType            string
	SubjectToken         Secret
	SubjectTokenType     string
	ActorToken           Secret
	ActorTokenType       string
	RequestedTokenType   string
	Audience             []string
	Resource             []string
	Scope                string
	AuthorizationDetails string // a JSON array
	RequestedLifetime    string // whole seconds, decimal
}

// minRequestedLifetime is the least that may be asked for: a shorter token is over before it is of use.
const minRequestedLifetime = 60

// Parse makes a Request of the parameters, in the fixed order of evaluation: presence and pairing, token types, target
// syntax. Faults in what narrows the grant are kept for their place after policy.
func (p *Params) Parse() (*Request, *Error) {
	r := &Request{Subject: Presented{Token: p.SubjectToken, Type: TokenType(p.SubjectTokenType)}}
	var err *Error
	if err = p.checkPresence(); err != nil {
		return nil, err
	}
	if r.Lifetime, err = parseLifetime(p.RequestedLifetime); err != nil {
		return nil, err
	}
	if err = p.checkTypes(); err != nil {
		return nil, err
	}
	if p.ActorToken != "" {
		r.Actor = &Presented{Token: p.ActorToken, Type: TokenType(p.ActorTokenType)}
	}
	if r.Target, err = parseTarget(p.Audience, p.Resource); err != nil {
		return nil, err
	}
	if r.Scopes, err = ParseScope(p.Scope); err != nil {
		r.narrowing = err
	}
	if p.AuthorizationDetails != "" {
		if r.Details, err = ParseDetails(p.AuthorizationDetails); err != nil && r.narrowing == nil {
			r.narrowing = err
		}
	}
	return r, nil
}

func (p *Params) checkPresence() *Error {
	malformed := func(format string, args ...any) *Error {
		return Refuse(CodeInvalidRequest, ReasonRequestMalformed, format, args...)
	}
	switch {
	case p.SubjectToken == "":
		return malformed("subject_token is missing; send the identity provider's token in it")
	case p.SubjectTokenType == "":
		return malformed("subject_token_type is missing; send one of %s with the subject_token", knownTypes)
	case p.ActorToken == "" && p.ActorTokenType != "":
		return malformed("actor_token_type is there without an actor_token; send both or neither")
	case p.ActorToken != "" && p.ActorTokenType == "":
		return malformed("actor_token_type is missing; an actor_token needs it")
	}
	return nil
}

func (p *Params) checkTypes() *Error {
	for _, t := range []struct{ name, value string }{
		{"subject_token_type", p.SubjectTokenType}, {"actor_token_type", p.ActorTokenType},
	} {
		if t.value != "" && !slices.Contains(TokenTypes(), TokenType(t.value)) {
			return Refuse(CodeInvalidRequest, ReasonTokenTypeUnsupported, "%s is not supported; use one of %s, letter for letter", t.name, knownTypes)
		}
	}
	if t := TokenType(p.RequestedTokenType); t != "" && t != TypeAccessToken {
		return Refuse(CodeInvalidRequest, ReasonTokenTypeUnsupported,
			"requested_token_type is not supported; leave it out or ask for %s", TypeAccessToken)
	}
	return nil
}

// knownTypes lists the token types for messages.
var knownTypes = func() string {
	var names []string
	for _, t := range TokenTypes() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}()

func parseLifetime(text string) (time.Duration, *Error) {
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil || seconds < minRequestedLifetime {
		return 0, Refuse(CodeInvalidRequest, ReasonRequestMalformed,
			"requested_lifetime must be whole seconds, at least %d", minRequestedLifetime)
	}
	return time.Duration(seconds) * time.Second, nil
}

func parseTarget(audiences, resources []string) (t Target, err *Error) {
	audience, err := parseSingle("audience", audiences, func(s string) (string, *Error) { return s, nil })
	if err != nil {
		return t, err
	}
	var named bool
	t.Workspace, t.Principal, named = strings.Cut(audience, "/")
	if audience != "" && (!isName(t.Workspace) || named && !isName(t.Principal)) {
		// What is no name is never kept: it may be a token that was put into the wrong parameter.
		return Target{}, Refuse(CodeInvalidTarget, ReasonTargetUnknown, "audience must be a workspace or workspace/principal, in the names of the policy")
	}
	t.Resource, err = parseSingle("resource", resources, normalizeResource)
	return t, err
}

// maxName bounds the names of workspaces and principals.
const maxName = 128

// isName reports whether text can be the name of a workspace or a principal: [a-z0-9][a-z0-9._-]*.
func isName(text string) bool {
	if text == "" || len(text) > maxName {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'; !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// parseSingle takes the one value that all of a parameter's values come to. RFC 8693 §2.1 lets several through; one
// Databricks token has one workspace, so several that differ can't be served together.
func parseSingle(name string, values []string, normalize func(string) (string, *Error)) (string, *Error) {
	var distinct []string
	for _, v := range values {
		if v == "" {
			continue
		}
		n, err := normalize(v)
		if err != nil {
			return "", err
		}
		if !slices.Contains(distinct, n) {
			distinct = append(distinct, n)
		}
	}
	switch len(distinct) {
	case 0:
		return "", nil
	case 1:
		return distinct[0], nil
	default:
		return "", Refuse(CodeInvalidTarget, ReasonTargetUnknown,
			"%s names different targets; a Databricks token is good for one workspace, so ask for each on its own", name)
	}
}

func normalizeResource(text string) (string, *Error) {
	normal, err := NormalizeResource(text)
	if err != nil {
		return "", Refuse(CodeInvalidTarget, ReasonTargetUnknown, "resource must be the workspace's absolute URL, without user and fragment")
	}
	return normal, nil
}

var errResource = errors.New("not an absolute http or https URL without user and fragment")

// NormalizeResource brings a resource URL (RFC 8707 §2) into the form that is compared: scheme and host in lower case,
// the default port dropped, an empty path for "/", the rest as it is (RFC 3986 §6.2.2, §6.2.3).
func NormalizeResource(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errResource // the parser's own error quotes the text
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if u.Hostname() == "" || (scheme != "https" && scheme != "http") || u.User != nil || strings.Contains(text, "#") || u.Opaque != "" {
		return "", errResource
	}
	if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	normal := scheme + "://" + host
	if path := u.EscapedPath(); path != "/" || u.RawQuery != "" || u.ForceQuery {
		normal += path
	}
	if u.RawQuery != "" || u.ForceQuery {
		normal += "?" + u.RawQuery
	}
	return normal, nil
}

package mapping

import (
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// The shape of a policy file. The order of the keys is the order in which they are read best.

type (
	text  = strictyaml.Value[string]
	texts = strictyaml.Value[[]text]
	name  = strictyaml.Value[strictyaml.Name]
	span  = strictyaml.Value[strictyaml.Duration]
	flag  = strictyaml.Value[bool]
)

type document struct {
	Version    strictyaml.Value[int]                `yaml:"version,required"`
	Workspaces strictyaml.Map[workspaceDoc]         `yaml:"workspaces"`
	Principals strictyaml.Map[principalDoc]         `yaml:"principals"`
	Groups     strictyaml.Map[strictyaml.Map[text]] `yaml:"groups"`
	Rules      []ruleDoc                            `yaml:"rules"`
	Access     []accessDoc                          `yaml:"access"`
	Tests      []testDoc                            `yaml:"tests"`
}

type workspaceDoc struct {
	Host    text `yaml:"host,required"`
	Account text `yaml:"account,required"`
}

type principalDoc struct {
	Workspace     text                        `yaml:"workspace,required"`
	ApplicationID text                        `yaml:"application_id,required"`
	Scopes        texts                       `yaml:"scopes,required"`
	MaxLifetime   span                        `yaml:"max_lifetime,required"`
	MinLifetime   span                        `yaml:"min_lifetime"`
	Details       []detailDoc                 `yaml:"authorization_details"`
	Isolation     strictyaml.Value[isolation] `yaml:"isolation"`
	Owner         text                        `yaml:"owner"`
	Description   text                        `yaml:"description"`
}

type detailDoc struct {
	Pos        strictyaml.Pos
	Type       text  `yaml:"type,required"`
	ObjectType text  `yaml:"object_type,required"`
	ObjectPath text  `yaml:"object_path,required"`
	Actions    texts `yaml:"actions,required"`
}

type ruleDoc struct {
	Pos         strictyaml.Pos
	ID          name                       `yaml:"id,required"`
	Description text                       `yaml:"description"`
	Owner       text                       `yaml:"owner"`
	Ticket      text                       `yaml:"ticket"`
	Expires     strictyaml.Value[ending]   `yaml:"expires"`
	Effect      strictyaml.Value[effect]   `yaml:"effect"`
	Priority    strictyaml.Value[int]      `yaml:"priority"`
	Everyone    flag                       `yaml:"everyone"`
	Match       strictyaml.Value[matchDoc] `yaml:"match,required"`
	Grant       strictyaml.Value[grantDoc] `yaml:"grant"`
}

type matchDoc struct {
	Issuer   texts                       `yaml:"issuer"`
	Subject  texts                       `yaml:"subject"`
	Groups   strictyaml.Value[groupsDoc] `yaml:"groups"`
	Clients  texts                       `yaml:"clients"`
	Actor    strictyaml.Value[actorDoc]  `yaml:"actor"`
	When     text                        `yaml:"when"`
	Everyone flag                        `yaml:"everyone"`
}

type groupsDoc struct {
	Any  texts `yaml:"any"`
	All  texts `yaml:"all"`
	None texts `yaml:"none"`
}

// actorDoc is "any", or whom the actor must be.
type actorDoc struct {
	any bool
	who actorMatchDoc
}

type actorMatchDoc struct {
	Issuer         texts                       `yaml:"issuer,required"`
	Subject        texts                       `yaml:"subject"`
	Groups         strictyaml.Value[groupsDoc] `yaml:"groups"`
	MaxSessionAge  span                        `yaml:"max_session_age"`
	NamesPrincipal flag                        `yaml:"names_principal"`
}

// UnmarshalNode implements strictyaml.Unmarshaler.
func (a *actorDoc) UnmarshalNode(n strictyaml.Node) bool {
	switch {
	case n.Kind() == strictyaml.Mapping:
		return n.Decode(&a.who)
	case n.Kind() == strictyaml.Scalar && n.Text() == "any":
		a.any = true
		return true
	}
	return n.Wrong("any, or a mapping that says who")
}

type grantDoc struct {
	Principal    text                       `yaml:"principal,required"`
	Scopes       texts                      `yaml:"scopes"`
	Lifetime     span                       `yaml:"lifetime"`
	GatewayCache span                       `yaml:"gateway_cache"`
	Lease        strictyaml.Value[leaseDoc] `yaml:"lease"`
}

type leaseDoc struct {
	Max span `yaml:"max,required"`
}

type accessDoc struct {
	Pos         strictyaml.Pos
	Role        strictyaml.Value[Role]     `yaml:"role,required"`
	Description text                       `yaml:"description"`
	Expires     strictyaml.Value[ending]   `yaml:"expires"`
	Match       strictyaml.Value[matchDoc] `yaml:"match,required"`
}

type testDoc struct {
	Pos      strictyaml.Pos
	Name     text                          `yaml:"name,required"`
	Subject  strictyaml.Value[identityDoc] `yaml:"subject,required"`
	Actor    strictyaml.Value[identityDoc] `yaml:"actor"`
	Client   text                          `yaml:"client"`
	Audience text                          `yaml:"audience"`
	Resource text                          `yaml:"resource"`
	Scope    text                          `yaml:"scope"`
	Details  []detailDoc                   `yaml:"authorization_details"`
	Lifetime span                          `yaml:"requested_lifetime"`
	At       strictyaml.Value[moment]      `yaml:"at"`
	Expect   strictyaml.Value[expectDoc]   `yaml:"expect,required"`
}

type identityDoc struct {
	Issuer  text                `yaml:"issuer,required"`
	Subject text                `yaml:"subject,required"`
	Groups  texts               `yaml:"groups"`
	Claims  strictyaml.Map[any] `yaml:"claims"`
	Party   text                `yaml:"party"`
	// SessionAge is how long ago the session of an actor began, at the time of the test.
	SessionAge span `yaml:"session_age"`
}

type expectDoc struct {
	Principal    text                                       `yaml:"principal"`
	Rule         text                                       `yaml:"rule"`
	Lifetime     span                                       `yaml:"lifetime"`
	Scopes       texts                                      `yaml:"scopes"`
	GatewayCache span                                       `yaml:"gateway_cache"`
	Lease        strictyaml.Value[leaseDoc]                 `yaml:"lease"`
	Reason       text                                       `yaml:"reason"`
	Roles        strictyaml.Value[[]strictyaml.Value[Role]] `yaml:"roles"`
}

// effect is what a matching rule does.
type effect string

const (
	allow effect = "allow"
	deny  effect = "deny"
)

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (e *effect) UnmarshalScalar(text string) error {
	*e = effect(text)
	return strictyaml.OneOf(text, string(allow), string(deny))
}

// isolation is who may share a minted token.
type isolation string

const (
	isolateClient    isolation = "client"
	isolateSubject   isolation = "subject"
	isolatePrincipal isolation = "principal"
)

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (i *isolation) UnmarshalScalar(text string) error {
	*i = isolation(text)
	return strictyaml.OneOf(text, string(isolateClient), string(isolateSubject), string(isolatePrincipal))
}

// Role is what one may do with our own API.
type Role string

// The roles. An operator may also revoke and rotate.
const (
	RoleAuditor  Role = "auditor"
	RoleOperator Role = "operator"
)

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (r *Role) UnmarshalScalar(text string) error {
	*r = Role(text)
	return strictyaml.OneOf(text, string(RoleAuditor), string(RoleOperator))
}

// ending is when a rule ends, the first instant at which it no longer holds: a time, or a day, which means the end of
// that day in UTC.
type ending time.Time

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (e *ending) UnmarshalScalar(text string) error {
	at, isDay, err := parseTime(text)
	if isDay {
		at = at.AddDate(0, 0, 1)
	}
	*e = ending(at)
	return err
}

// moment is when a test takes place: a time, or a day, which means its start in UTC.
type moment time.Time

// UnmarshalScalar implements strictyaml.ScalarUnmarshaler.
func (m *moment) UnmarshalScalar(text string) error {
	at, _, err := parseTime(text)
	*m = moment(at)
	return err
}

func parseTime(text string) (at time.Time, isDay bool, err error) {
	if at, err = time.Parse(time.DateOnly, text); err == nil {
		return at, true, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), false, nil
	}
	return at, false, strictyaml.Problemf("write a day like 2027-06-30, in UTC, or a time like 2027-06-30T12:00:00Z", "%q is neither a day nor a time", text)
}

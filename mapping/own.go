package mapping

import (
	"fmt"

	"github.com/lakegate/sts/exchange"
)

// Own is the grant by which the service itself uses a principal that its configuration names: all that the principal may
// have, for as long as it may.
func (p *Policy) Own(workspace, principal string) (exchange.Grant, error) {
	of := p.principals[principal]
	switch {
	case of == nil:
		return exchange.Grant{}, fmt.Errorf("the policy has no principal %q", principal)
	case of.workspace.name != workspace:
		return exchange.Grant{}, fmt.Errorf("the principal %q is of the workspace %q, and not of %q", principal, of.workspace.name, workspace)
	}
	credential := p.env.credential(principal)
	return exchange.Grant{
		Workspace: of.workspace.name, Principal: of.name, Account: of.workspace.account, Host: of.workspace.host, ApplicationID: of.applicationID,
		Method: credential.Method, Credential: credential.Generation,
		Scopes: of.scopes, Details: of.details, Lifetime: of.maxLifetime, MinLifetime: of.minLifetime,
	}, nil
}

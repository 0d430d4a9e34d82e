package databricks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Limits of the real one.
const (
	maxPolicies   = 20
	maxSecrets    = 5
	maxInlineKeys = 5
)

// Principal is one service principal.
type Principal struct {
	// ApplicationID is its client id.
	ApplicationID string `json:"application_id"`
	// Secrets are its OAuth secrets, five at most; none means that it can't use client_credentials.
	Secrets []string `json:"secrets"`
	// Policies are its federation policies, twenty at most; none means that nothing can be exchanged for it.
	Policies []FederationPolicy `json:"policies"`
	// Query names the endpoints that it may query.
	Query []string `json:"query"`
	// Inactive principals are switched off; Unassigned ones exist in the account, but not in this workspace.
	Inactive   bool `json:"inactive"`
	Unassigned bool `json:"unassigned"`
}

// FederationPolicy says whose assertions are taken for a principal; the members are those of Databricks' oidc_policy.
type FederationPolicy struct {
	Issuer string `json:"issuer"`
	// Audiences; the account's id if empty.
	Audiences []string `json:"audiences"`
	// Subject is what SubjectClaim must be; the principal's application id if empty, which is how the service uses it.
	Subject string `json:"subject"`
	// SubjectClaim; "sub" if empty.
	SubjectClaim string `json:"subject_claim"`
	// JWKSJSON holds the issuer's keys, five at most; nothing is fetched then.
	JWKSJSON string `json:"jwks_json"`
	// JWKSURI is where the keys are; the issuer's discovery document says so if empty.
	JWKSURI string `json:"jwks_uri"`
	// Reach is the emulator's own: the URL that is dialled where Issuer, or what starts with it, would be. It lets an
	// issuer with a public name be found on the loopback.
	Reach string `json:"reach"`
}

// Endpoint is one model serving endpoint.
type Endpoint struct {
	Name string `json:"name"`
	// ID is what authorization_details call it, beside Name; the same as Name if empty.
	ID string `json:"id"`
	// Answer is what its invocations answer; {"predictions":[0.5]} if empty.
	Answer json.RawMessage `json:"answer"`
}

func (p *Principal) complete(accountID string) error {
	switch {
	case p.ApplicationID == "":
		return errors.New("a principal needs an application_id")
	case len(p.Secrets) > maxSecrets:
		return fmt.Errorf("principal %s has more than %d secrets", p.ApplicationID, maxSecrets)
	case slices.Contains(p.Secrets, ""):
		return fmt.Errorf("principal %s has an empty secret", p.ApplicationID)
	case len(p.Policies) > maxPolicies:
		return fmt.Errorf("principal %s has more than %d federation policies", p.ApplicationID, maxPolicies)
	}
	p.Policies = slices.Clone(p.Policies) // the caller's stay as they are
	for i := range p.Policies {
		if err := p.Policies[i].complete(p.ApplicationID, accountID); err != nil {
			return fmt.Errorf("principal %s: %w", p.ApplicationID, err)
		}
	}
	return nil
}

func (f *FederationPolicy) complete(applicationID, accountID string) error {
	if f.Issuer == "" {
		return errors.New("a federation policy needs an issuer")
	}
	if len(f.Audiences) == 0 {
		f.Audiences = []string{accountID}
	}
	if f.Subject == "" {
		f.Subject = applicationID
	}
	if f.SubjectClaim == "" {
		f.SubjectClaim = "sub"
	}
	if f.JWKSJSON == "" {
		return nil
	}
	keys, err := parseKeys([]byte(f.JWKSJSON))
	if err != nil {
		return fmt.Errorf("jwks_json: %w", err)
	}
	if len(keys.Keys) > maxInlineKeys {
		return fmt.Errorf("jwks_json has more than %d keys", maxInlineKeys)
	}
	return nil
}

func parseKeys(text []byte) (*jose.JSONWebKeySet, error) {
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, err
	}
	for _, k := range keys.Keys {
		if !k.IsPublic() {
			return nil, fmt.Errorf("key %q is not a public key", k.KeyID)
		}
	}
	return &keys, nil
}

func (e *Endpoint) complete() error {
	if e.Name == "" {
		return errors.New("an endpoint needs a name")
	}
	if e.ID == "" {
		e.ID = e.Name
	}
	if len(e.Answer) == 0 {
		e.Answer = json.RawMessage(`{"predictions":[0.5]}`)
	}
	return nil
}

// is reports whether an object_path of authorization_details means this endpoint.
func (e *Endpoint) is(path string) bool {
	return path == "/serving-endpoints/"+e.ID || path == "/serving-endpoints/"+e.Name
}

package exchange

import "time"

// Decision is what policy said of one attempt: a grant, or a denial.
type Decision struct {
	// Denial is why not; nil where it is granted.
	Denial *Error
	// Grant is what may be obtained; meaningless beside a Denial.
	Grant Grant
	// Rule is the id of the rule that granted or denied, "" where none matched.
	Rule string
	// Policy is the digest of the policy snapshot that decided, in lower-case hex.
	Policy string
	// ReadsClaims are the names of the top-level claims that any rule of that snapshot reads; the record keeps them, so
	// that the decision can be explained from it. Shared by all decisions of a snapshot: read only.
	ReadsClaims []string
}

// Method is how a principal's token is minted.
type Method string

// The methods. Only federation bounds the token itself.
const (
	MethodFederation   Method = "federation"
	MethodClientSecret Method = "client_secret"
)

// Grant is everything that a token is minted by and cached under.
type Grant struct {
	// Workspace, Principal and Account are names of the policy and the configuration.
	Workspace string
	Principal string
	Account   string
	// Host is the workspace's URL, "https://host", without a trailing slash.
	Host string
	// ApplicationID is the service principal's OAuth client id, a UUID.
	ApplicationID string

	Method Method
	// Credential is the generation of the credential in use: it changes when a secret is rotated, so that a token
	// minted by the old one is not found under the new one. "" for federation.
	Credential string

	// Scopes are sorted and unique, never empty.
	Scopes []string
	// Details are canonical; empty where the principal has none.
	Details Details

	// Lifetime is the rule's own, at most the principal's max_lifetime.
	Lifetime time.Duration
	// MinLifetime is the least rest of a subject token that is served.
	MinLifetime time.Duration

	// Isolation keeps apart the tokens of those who may not share one: it names the client, the subject, or nobody.
	Isolation string
	// Personal says that it names the subject, and whoever acts for him: the token speaks of them and nobody else.
	Personal bool

	// Client is the id of the client that the token is for. A token is neither minted by it nor cached under it; but what
	// the client has given up is not for it.
	Client string
}

package exchange

import (
	"net/netip"
	"slices"
	"time"
)

// Client is a registered client that has authenticated.
type Client struct {
	ID string
	// IdentityProviders are the names of the providers whose tokens it may present.
	IdentityProviders []string
	// AuthorizedParties are the azp or client_id values that a subject token may have been issued to; AnyParty lifts it.
	AuthorizedParties []string
	AnyParty          bool
	// MayAct says that it may present actor tokens; ActorParties are whom those may have been issued to, AnyActorParty
	// lifts it.
	MayAct        bool
	ActorParties  []string
	AnyActorParty bool
	// Audiences are what it may ask for: "workspace" or "workspace/principal".
	Audiences []string
	// Grants are the grant types it may use, as in the request.
	Grants []string
	// ForwardsSource says that its claims about its own caller are recorded.
	ForwardsSource bool
	// Rate is in requests per second, 0 for no limit; Burst is in requests.
	Rate  float64
	Burst int
	// SubjectRate and ActorRate are in requests per second of one subject, and of one actor, by this client; 0 for no limit.
	SubjectRate, ActorRate float64
}

// MayUse refuses a grant type that is not among the client's.
func (c *Client) MayUse(grantType string) *Error {
	if slices.Contains(c.Grants, grantType) {
		return nil
	}
	return Refuse(CodeUnauthorizedClient, ReasonClientNotAllowed, "this client may not use the token-exchange grant; add token_exchange to its grants")
}

// Source is where a request came from.
type Source struct {
	// Peer is the address at the other end of the connection.
	Peer netip.Addr
	// Claimed is what a client that forwards sources says of its own caller; zero for all others.
	Claimed Claimed
}

// Claimed is a client's word on whom it asks for. It is recorded as a claim, and limits failures; it grants nothing.
type Claimed struct {
	Source    string // the forwarded address
	Route     string
	RequestID string
}

// Blame is the source that failures are counted against: the forwarded one, so that one attacker behind a gateway
// throttles only himself, else the peer.
func (s Source) Blame() string {
	if s.Claimed.Source != "" {
		return s.Claimed.Source
	}
	return s.Peer.String()
}

// Presented is a token as it came in.
type Presented struct {
	Token Secret
	Type  TokenType
}

// Request is a token request whose parameters are well formed (RFC 8693 §2.1).
type Request struct {
	Subject Presented
	Actor   *Presented
	Target  Target
	// Scopes are sorted and unique; empty means the policy's default.
	Scopes []string
	// Details narrow the principal's authorization details; empty means the policy's.
	Details Details
	// Lifetime narrows what policy grants; 0 means unasked.
	Lifetime time.Duration

	// narrowing is the fault of a malformed scope or authorization_details. It is told only after policy has decided,
	// where the fixed order of evaluation has its place, so that a client learns nothing out of turn.
	narrowing *Error
}

// Target is what the token shall be for. Audience and Resource must lead to the same workspace if both are there;
// neither means the only workspace there is.
type Target struct {
	// Workspace and Principal are the halves of the audience parameter; Principal may be "".
	Workspace string
	Principal string
	// Resource is the normalised workspace URL: "https://host[:port][/path][?query]", see RFC 8707 §2.
	Resource string
}

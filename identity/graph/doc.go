// Package graph asks Microsoft Graph for the groups of people whose Entra ID tokens leave them out because they are too
// many: it is the identity.GroupSource of the providers that have "groups_overage: graph".
//
// Start at [Resolver.Groups]. Whoever was asked about in the last minutes is known. Else one flight for each person asks,
// however many requests wait for its answer: a token for Graph from the tenant's own token endpoint (kept until it
// expires), then one call for the ids of all groups that the person is in, directly or through another group.
//
//	graph.go      Config, Settings, Resolver: New, Prepare and Commit (a reload), Groups
//	directory.go  what is known of one provider's people, and who waits for more
//	call.go       the two calls, and what may be in their answers
//	metrics.go    what is counted
//
// Nothing of a token makes an address: the endpoints are those of the configuration, and of the token there are only its
// tid and oid, which must be ids, in the path. The endpoint that a token names in _claim_sources is never looked at. A
// failure is never kept, and never an answer: whose groups can't be had is refused for the moment.
package graph

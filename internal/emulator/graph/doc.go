// Package graph emulates what of Microsoft's cloud is asked for somebody's groups: the token endpoints of Entra ID's
// tenants, for client credentials, and Microsoft Graph's getMemberObjects. It checks what the real ones check, and
// answers errors in their form; what it doesn't know it answers with 501.
//
//	graph.go      Config, Server, who is in which groups
//	token.go      POST /{tenant}/oauth2/v2.0/token
//	federated.go  what proves a client that has no secret
//	members.go    POST /v1.0/users/{id}/getMemberObjects, and of servicePrincipals
package graph

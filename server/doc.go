// Package server is the front of the house: it listens, bounds what comes in, routes, and stops in peace.
//
// Three listeners: two for callers, with TLS, over HTTP and gRPC, and one for operators (/livez, /readyz, /metrics), which
// holds no secret and changes nothing. [New] checks, [Server.Listen] binds, [Server.Serve] works until its context ends.
//
//	server.go   Config, the life of a Server
//	listen.go   who may listen in plaintext; how many may connect
//	cert.go     the certificate, read again when its files change
//	handler.go  from a path to its handler; panics; unknown paths
//	api.go      the API over gRPC and JSON; document.go serves its description
//	bearers.go  what the API's other services need of the server: a name as a resource, its metadata, a counter
//	watch.go    what is seen of a request: a span where it is sampled, a line where the log is at debug
//	metrics.go  what is counted of each request
//	health.go   the parts that the service depends on, and /livez and /readyz
//
// The subpackages: oauth is the token endpoint, rpc the API over gRPC and JSON, inbound what both ask of a request, clients
// proves who calls, fault says how errors look.
package server

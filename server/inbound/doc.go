// Package inbound is what the HTTP and gRPC entrances have in common before they know what they are asked for: framing,
// bodies, and who asks. It knows no grant and no route.
//
//	framing.go  media type, query string, doubled credentials
//	body.go     reading a body, bounded one by one and all together
//	source.go   who asks: the peer, its certificate, and what a trusted client says of its own caller
package inbound

// Package inbound is what the HTTP and gRPC entrances have in common whatever they are asked for: framing, bodies, who
// asks, and what a trace is told. It knows no grant and no route.
//
//	framing.go  media type, query string, doubled credentials
//	body.go     reading a body, bounded one by one and all together
//	source.go   who asks: the peer, its certificate, and what a trusted client says of its own caller
//	span.go     how it went, for the span of a sampled request
package inbound

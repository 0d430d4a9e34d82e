// Package rpc serves the API of api/sts/v1 over gRPC, and over JSON through a gateway to the same services.
//
// Both ways end in the same handlers, each wrapped by the guard: what is refused, recovered, timed out or watched is so
// over gRPC and JSON alike. The gateway calls the services in process (grpchan/inprocgrpc), so that a JSON request is
// encoded once and passes everything that a gRPC call passes. Errors are the core's own until fault puts them in words.
//
//	rpc.go      Config, and the services that are served
//	guard.go    what every call goes through: its time, its message, a panic, the words of an error
//	receive.go  reading a message of gRPC, its length first; wire.go looks at it before anything is made of it
//	caller.go   who asks: of a gRPC call by its connection and metadata, of a JSON request by its connection and header
//	tokens.go   TokenService: authenticate the client, exchange; inquiries.go introspects and revokes
//	batch.go    many exchanges in one call
//	bearer.go   all other services: authenticate the bearer, ask for his role, record the use; bearer_resource.go is the
//	            API's description as a protected resource
//	stream.go   what lasts: begun, recorded, looked after each second, ended; stream_json.go writes it as lines or as events
//	message.go  messages to the core's parameters, the core's answer to messages
//	server.go   the gRPC server: its bounds, health, reflection, unknown methods; turnstile.go counts what is under way
//	gateway.go  the JSON entrance: framing, routes, answers
//	json.go     strict JSON: exact names, nothing unknown, nothing behind it
package rpc

// Package fault turns the core's errors into what callers of every entrance see. It is the only place that knows which
// OAuth word, which HTTP status and which gRPC status a code has.
//
// Handlers never write an error themselves: they hand whatever error they have to [Write] or [RPC]. An error that is not an
// *exchange.Error is ours, always, and answers 500, or INTERNAL.
//
//	codes.go      exchange.Code -> OAuth error, HTTP status, gRPC status
//	reasons.go    exchange.Reason -> what a gateway should answer its own caller
//	write.go      the answer over HTTP: body, headers, and the characters that may stand in them
//	grpc.go       the answer over gRPC: status and details
//	challenge.go  what a bearer who isn't served is told beside it
//
// docs/errors.md tells readers about every reason; a test keeps it and the tables complete.
package fault

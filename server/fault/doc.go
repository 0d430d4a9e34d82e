// Package fault turns the core's errors into what callers of every entrance see. It is the only place that knows which
// OAuth word and which HTTP status a code has.
//
// Handlers never write an error themselves: they hand whatever error they have to [Write]. An error that is not an
// *exchange.Error is ours, always, and answers 500.
//
//	codes.go    exchange.Code -> OAuth error and HTTP status
//	reasons.go  exchange.Reason -> what a gateway should answer its own caller
//	write.go    the answer: body, headers, and the characters that may stand in them
//
// docs/errors.md tells readers about every reason; a test keeps it and the tables complete.
package fault

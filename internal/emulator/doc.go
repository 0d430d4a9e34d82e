// Package emulator holds what the emulated identity provider (package idp), the emulated Databricks workspace (package
// databricks) and the other emulators below it have in common. Tests, the demo and the benchmarks use them in process or
// through sts-dev; the service never links them.
//
// All embed a [Server], and one request walks it like this:
//
//	server.go   the body is read, the route found; what has no route is answered 501
//	call.go     the call is written down, its secrets hashed, and counted per route
//	fault.go    a fault that was set for this route and these form fields is taken, if any
//	inject.go   the fault holds, delays, replaces, edits, pads or cuts the answer
//	control.go  POST /_emulator/{faults,clock,reset} and GET /_emulator/calls do the same from outside
//	clock.go    one clock that tests move: a function, plus an offset, plus perhaps a file shared with a child process
package emulator

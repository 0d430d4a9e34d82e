// Command bench measures the service against its budgets, as ratios within one run: a shared machine moves all absolute
// figures, but the two sides of a ratio take turns on it. "make bench" prints one table; docs/performance.md reads it.
//
//	main.go      the steps of a run, in order
//	bare.go      what the service is compared with, its servers beside it (server.go, bare_grpc.go): "bench bare", a
//	             process of its own
//	world.go     emulators of the provider and of Databricks, in this process
//	instance.go  one running service: its configuration, policy, files
//	process.go   a child process, and what it takes: time to start, CPU, memory, allocations
//	requests.go  subject tokens, and the requests that carry them
//	load.go      wrk, driven by load.lua: requests/s and latencies; three rounds, the sides alternating
//	warm.go      exchanges whose every part is known: the budget that counts most, and what sync: mint costs of it
//	grpc.go      the same over gRPC, loaded by load_grpc.go: "bench load", a process of its own
//	redis.go     the same with tokens that lie in Redis alone
//	cold.go      exchanges of tokens that were never seen
//	misses.go    a thousand at once miss one token
//	decide.go    decisions at 10, 1,000 and 100,000 rules, in this process
//	records.go   the audit log by itself, in this process
//	index.go     the audit index: how fast it is fed, and searches among millions of events (index_events.go,
//	             index_search.go), on both databases (index_shelf.go), cold and while more come, in this process
//	table.go     the table
//
// A run with an answer other than 200, or with fewer records than answers, is void: it prints why, and exits with 1.
package main

// Package e2e runs the program itself, as its own process, between an emulated identity provider and an emulated
// Databricks, and asks it what its users ask.
//
//	main_test.go      builds the program once, with the test clock
//	process_test.go   one running program: started, asked for its addresses, stopped, killed, its log
//	world_test.go     a program, its emulators, its clock and its files
//	entrance_test.go  a token request in words that every entrance can speak: form, gRPC, JSON, and batches of both
//	api_test.go       how gRPC and JSON say it
//	each_test.go      a test of rows through each entrance, and that all answered and recorded the same
//	row_test.go       the conformance runner: a table of rows, each through each entrance
//	rows_*_test.go    the rows, one file per section of the conformance list, each test named by its row
//	scan_test.go      the end of every test: no secret in what the service has said and kept, dump_test.go says where
//	coverage_test.go  which rows there must be, and that each ran through every entrance that it has
//
// A row is a line of a table (runRows) or a test (eachEntrance). Neither says how an entrance is asked: both run through
// all, and then the answers and the audit log of one entrance are compared with those of the next.
//
// Time moves by the clock file that the program and the emulators share; no test waits for it.
package e2e

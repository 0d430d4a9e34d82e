// Package e2e runs the program itself, as its own process, between an emulated identity provider and an emulated
// Databricks, and asks it what its users ask.
//
//	main_test.go      builds the program once, with the test clock
//	process_test.go   one running program: started, asked for its addresses, stopped, killed, its log
//	world_test.go     a program, its emulators, its clock and its files
//	entrance_test.go  how a token request goes through a door; later doors join here
//	row_test.go       the conformance runner: a table of rows, the entrance a parameter
//	rows_*_test.go    the rows, one file per section of the conformance list, each test named by its row
//
// Time moves by the clock file that the program and the emulators share; no test waits for it.
package e2e

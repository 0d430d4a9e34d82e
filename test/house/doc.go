// Package house holds the rules of this house that no linter knows, as tests.
//
// table_test.go is the table of who may import whom, row by row, and the check that reads it; imports_test.go holds
// the tree and the program against it, and tries the check on violations; files_test.go looks at the text of every
// file; long_test.go keeps the long tests findable; fuzz_test.go holds that parsers of foreign bytes are fuzzed. A rule
// that fails says which file or package, and what to mend.
package house

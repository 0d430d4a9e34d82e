//go:build testclock

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// now is the clock of a program under test: the machine's, moved by the Go duration in the file that $STS_CLOCK_FILE
// names. The file is read again at each use, so that one write moves every process that shares it.
func now() time.Time {
	path := os.Getenv("STS_CLOCK_FILE")
	if path == "" {
		return time.Now()
	}
	text, err := os.ReadFile(path) //nolint:gosec // only in programs under test
	if err != nil {
		panic(fmt.Sprintf("reading the test clock: %v", err))
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(fmt.Sprintf("reading the test clock: %v", err))
	}
	return time.Now().Add(offset)
}

// Command testsum runs a "go test -json" command and retells it for people: a line per package, the whole output of
// what failed, and a count as the last line. It exits 1 where anything failed, did not build, or nothing ran.
//
// How tests are counted stands in package tally.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/lakegate/sts/scripts/testsum/tally"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: testsum go test -json [flags] [packages]")
		os.Exit(2)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(command []string, stdout, stderr io.Writer) int {
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // running the command it is given is its job
	cmd.Stderr = stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(stderr, "testsum:", err)
		return 1
	}
	count := tally.New(stdout)
	readErr := count.Read(events)
	// Wait comes after the last read: it closes the pipe.
	err = cmd.Wait()
	if err == nil {
		err = readErr
	}
	if !count.Close(err) {
		return 1
	}
	return 0
}

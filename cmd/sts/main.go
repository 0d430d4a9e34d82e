// Command sts is the token service and its command line: one program.
//
//	main.go       the commands, and the exit codes: 0 done, 1 a fault was found, 2 wrong usage
//	serve.go      the service: every part made from the configuration and joined
//	reload.go     files that changed while it runs
//	memory.go     how often the collector works
//	config.go     sts config check|show
//	policy.go     sts policy test|lint
//	client.go     sts client new
//	keys.go       sts keys new store
//	audit.go      sts audit verify|receipt|key, and who signs and witnesses the log's checkpoints
//	audit_open.go what the commands that ask the audit work with; audit_ask.go  how they ask it, on record
//	audit_*.go    one or two of those commands each; audit_flags.go their flags, audit_table.go how people are shown things
//	exports.go    where records go beside the log; audit_export.go prints them
//	database.go   sts database migrate, and which ledger it is
//	doctor.go     sts doctor; doctor_clock.go whose clock is wrong, doctor_token.go what becomes of a sample token
//	clock.go      the one clock (clock_testclock.go in programs under test)
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitFault = 1
	exitUsage = 2
)

// fault is an error that a command found in what it was given or met while it worked, as opposed to wrong usage.
type fault struct{ error }

func (f fault) Unwrap() error { return f.error }

// found marks an error as a fault.
func found(err error) error {
	if err == nil {
		return nil
	}
	return fault{err}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
		}
		return fmt.Errorf("%q needs one of its commands", cmd.CommandPath())
	}}
	g.AddCommand(commands...)
	return g
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program, so that tests can run it in their own process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "sts",
		Short:         "Exchange an identity provider's token for a bounded Databricks token (RFC 8693)",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), configCommand(), policyCommand(), clientCommand(), keysCommand(), auditCommand(), databaseCommand(), doctorCommand(), versionCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	err := root.ExecuteContext(ctx)
	var f fault
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		fmt.Fprintln(stderr, err)
		return exitFault
	default:
		fmt.Fprintf(stderr, "%v\nRun 'sts --help' for usage.\n", err)
		return exitUsage
	}
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/audit/export"
	"github.com/lakegate/sts/exchange"
)

func auditExportCommand() *cobra.Command {
	var path, format string
	var when period
	cmd := &cobra.Command{
		Use:   "export --config FILE [--from TIME] [--to TIME] [--format json|ocsf]",
		Short: "Print the records of the logs in audit.directory, as audit.exports brings them elsewhere",
		Long: `Prints one record a line, log by log, each in the order in which it was written: as it stands in the log, but for repeats,
which are printed as the exchanges that they were, with repeat_of. A line that is damaged is printed as a gap. It reads the
files, not the index, and moves no export's cursor.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, ok := map[string]export.Format{"json": export.JSON, "ocsf": export.OCSF}[format]
			if !ok {
				return fmt.Errorf("unknown format %q; there are json and ocsf", format)
			}
			first, end, err := when.bounds(now())
			if err != nil {
				return err
			}
			return withDesk(cmd, path, func(ctx context.Context, d *desk) error {
				use := exchange.Admin{Action: "audit.export", Detail: "by the command line"}
				if err := d.record(context.WithoutCancel(ctx), use); err != nil {
					return found(fmt.Errorf("this can't be recorded, so it isn't done: %w", err))
				}
				return found(printRecords(ctx, cmd.OutOrStdout(), d.cfg.Audit.Directory, to, first, end))
			})
		},
	}
	configFlag(cmd, &path)
	when.flags(cmd, "")
	cmd.Flags().StringVar(&format, "format", "json", "json, or ocsf for events of the Open Cybersecurity Schema Framework")
	return cmd
}

// bounds are both ends; zero for one that isn't set.
func (p *period) bounds(now time.Time) (from, to time.Time, err error) {
	first, end, err := p.times(now)
	if first != nil {
		from = first.AsTime()
	}
	if end != nil {
		to = end.AsTime()
	}
	return from, to, err
}

func printRecords(ctx context.Context, w io.Writer, directory string, format export.Format, from, to time.Time) (err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for r, err := range export.Read(directory, format) {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case r.Time.Before(from) && r.Type != "gap", !to.IsZero() && !r.Time.Before(to):
			continue
		}
		if _, err := out.Write(append(r.Line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

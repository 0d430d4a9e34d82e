package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

func auditReindexCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "reindex [DIR...] --config FILE",
		Short: "Make the index of the audit anew from the logs in each DIR, or in audit.directory",
		Long: `Writes the index anew: what the logs have is read from them again, and what only the index has, of logs whose disk is gone
and of segments past their retention, is kept. Meanwhile searches lack what isn't read yet. It may run beside the service,
and be broken off: whoever writes the index next goes on.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, directories []string) error {
			return withDesk(cmd, path, func(ctx context.Context, d *desk) error {
				if len(directories) == 0 {
					directories = []string{d.cfg.Audit.Directory}
				}
				if err := d.record(context.WithoutCancel(ctx), exchange.Admin{Action: "audit.reindex"}); err != nil {
					return found(fmt.Errorf("this can't be recorded, so it isn't done: %w", err))
				}
				return found(reindex(ctx, d, cmd.OutOrStdout(), cmd.ErrOrStderr(), directories))
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// reread is a log that is read again.
type reread struct {
	directory, origin string
	first, end        uint64 // its records
}

func reindex(ctx context.Context, d *desk, out, stderr io.Writer, directories []string) error {
	var all []reread
	for _, directory := range directories {
		logs, err := audit.Logs(directory)
		if err != nil {
			return err
		}
		for _, l := range logs {
			r := reread{directory: directory, origin: l.Origin}
			if r.first, r.end, err = audit.Extent(directory, l.Origin); err != nil {
				return err
			}
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("there is no log in %q; name the folders of the logs", directories)
	}
	if err := d.index.Reindex(ctx, directories...); err != nil {
		return err
	}
	stop := showProgress(ctx, d.index, stderr, all)
	var errs []error
	for _, directory := range directories {
		errs = append(errs, d.catchUp(ctx, directory))
	}
	stop()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return reportReindexed(ctx, d.index, out, all)
}

// reportReindexed tells how far each log was read, and what was kept that is in none of them.
func reportReindexed(ctx context.Context, ix *index.Index, out io.Writer, all []reread) error {
	s := screenOf(out)
	t := &table{screen: s, columns: []column{{"RECORDS", 0}, {"INDEXED", 0}, {"LOG", 0}}}
	var rows [][]cell
	var short []string
	for _, r := range all {
		next, err := ix.Next(ctx, r.origin)
		if err != nil {
			return err
		}
		indexed := cell{fmt.Sprint(next), green}
		if next < r.end { // what came in the last moments is covered by no checkpoint yet
			indexed.colour = yellow
			short = append(short, r.origin)
		}
		rows = append(rows, []cell{{fmt.Sprint(r.end), plain}, indexed, {r.origin, plain}})
	}
	if err := t.print(rows...); err != nil {
		return err
	}
	for _, r := range all {
		if r.first > 0 {
			fmt.Fprintf(out, "kept as they were: the records before %d of %s, which are past their retention\n", r.first, r.origin)
		}
	}
	checkpoints, err := ix.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, c := range checkpoints {
		if !slices.ContainsFunc(all, func(r reread) bool { return r.origin == c.Origin }) {
			fmt.Fprintf(out, "kept as it was: %s, which is in none of these folders\n", c.Origin)
		}
	}
	for _, origin := range short {
		fmt.Fprintf(out, "to follow: the newest records of %s, as soon as its checkpoint covers them\n", origin)
	}
	return nil
}

// showProgress shows on a terminal how many records are read, until it is stopped.
func showProgress(ctx context.Context, ix *index.Index, stderr io.Writer, all []reread) (stop func()) {
	if !isTerminal(stderr) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			var read, total uint64
			for _, r := range all {
				if next, err := ix.Next(ctx, r.origin); err == nil && next > r.first {
					read += min(next, r.end) - r.first
				}
				total += r.end - r.first
			}
			fmt.Fprintf(stderr, "\r%d of %d records (%d %%)\x1b[K", read, total, 100*read/max(total, 1))
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
				fmt.Fprint(stderr, "\r\x1b[K")
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// catchUp brings what is due of a folder's logs into the index.
func (d *desk) catchUp(ctx context.Context, directory string) error {
	f, err := index.NewFeeder(index.FeederConfig{
		Index: d.index, Directory: directory, Keys: d.keys, Now: now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return f.CatchUp(ctx)
}

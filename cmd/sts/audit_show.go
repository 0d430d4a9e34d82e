package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

func auditShowCommand() *cobra.Command {
	var path string
	var machine bool
	cmd := &cobra.Command{
		Use:   "show ID --config FILE",
		Short: "Show one event, with the groups and claims of its subject",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
				answer, err := ask(ctx, a, "audit.get_event", a.service.GetEvent, &stsv1.GetEventRequest{Id: args[0]})
				if err != nil {
					return err
				}
				if machine {
					return writeJSON(cmd.OutOrStdout(), answer)
				}
				s := screenOf(cmd.OutOrStdout())
				for i, part := range []struct {
					title string
					event *stsv1.Event
				}{{"event", answer.GetEvent()}, {"subject", answer.GetSubject()}, {"actor", answer.GetActor()}} {
					if part.event == nil {
						continue
					}
					if i > 0 {
						fmt.Fprintf(s.out, "\n%s\n", s.paint(cell{part.title, faint}))
					}
					s.printFacts(facts(part.event))
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	formFlag(cmd, &machine)
	return cmd
}

func auditCheckpointsCommand() *cobra.Command {
	var path string
	var machine bool
	cmd := &cobra.Command{
		Use:   "checkpoints --config FILE",
		Short: "Print the newest checkpoint of each log, to keep elsewhere",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
				answer, err := ask(ctx, a, "audit.list_checkpoints", a.service.ListCheckpoints, &stsv1.ListCheckpointsRequest{})
				if err != nil {
					return err
				}
				if machine {
					return writeJSON(cmd.OutOrStdout(), answer)
				}
				for i, c := range answer.GetCheckpoints() {
					if i > 0 {
						fmt.Fprintln(cmd.OutOrStdout())
					}
					if err := write(cmd.OutOrStdout(), []byte(c.GetCheckpoint())); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	formFlag(cmd, &machine)
	return cmd
}

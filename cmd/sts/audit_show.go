package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

func auditShowCommand() *cobra.Command {
	var path string
	var machine, explain bool
	cmd := &cobra.Command{
		Use:   "show ID --config FILE [--explain]",
		Short: "Show one event, with the groups and claims of its subject; and of an exchange, why it ended so",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
				answer, err := ask(ctx, a, "audit.get_event", a.service.GetEvent, &stsv1.GetEventRequest{Id: args[0]})
				if err != nil {
					return err
				}
				if machine {
					err = writeJSON(cmd.OutOrStdout(), answer)
				} else {
					showEvent(screenOf(cmd.OutOrStdout()), answer)
				}
				if err != nil || !explain {
					return err
				}
				return explainEvent(ctx, cmd, a, args[0], machine)
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&explain, "explain", false, "decide the exchange again, and say how each rule fared; with -o json in a second line")
	formFlag(cmd, &machine)
	return cmd
}

func showEvent(s screen, answer *stsv1.GetEventResponse) {
	s.printFacts(facts(answer.GetEvent()))
	for _, part := range []struct {
		title string
		event *stsv1.Event
	}{{"subject", answer.GetSubject()}, {"actor", answer.GetActor()}} {
		if part.event != nil {
			fmt.Fprintf(s.out, "\n%s\n", s.paint(cell{part.title, faint}))
			s.printFacts(facts(part.event))
		}
	}
}

// explainEvent says of an exchange how each rule fared that could have matched.
func explainEvent(ctx context.Context, cmd *cobra.Command, a *auditor, id string, machine bool) error {
	policy, err := a.explainer(ctx)
	if err != nil {
		return found(fmt.Errorf("explaining: %w", err))
	}
	answer, err := askAbout(ctx, a, policy.Object, "mapping.explain", policy.Explain, &stsv1.ExplainRequest{DecisionId: id})
	if err != nil {
		return err
	}
	if machine {
		return writeJSON(cmd.OutOrStdout(), answer)
	}
	s := screenOf(cmd.OutOrStdout())
	fmt.Fprintf(s.out, "\n%s\n", s.paint(cell{"decided again", faint}))
	rules, caveats := answer.GetRules(), answer.GetCaveats()
	short := proto.CloneOf(answer)
	short.Rules, short.Caveats, short.Recorded, short.Subject = nil, nil, nil, nil // they stand above, and below
	s.printFacts(facts(short))
	if len(rules) > 0 {
		fmt.Fprintln(s.out)
		t := &table{screen: s, columns: []column{{"RULE", 0}, {"EFFECT", 0}, {"MATCHED", 0}, {"FAILED", 0}, {"WANTED", 48}, {"SAW", 48}}}
		rows := make([][]cell, len(rules))
		for i, r := range rules {
			matched := cell{"no", plain}
			if r.GetMatched() {
				matched = cell{"yes", map[string]string{"allow": green, "deny": yellow}[r.GetEffect()]}
			}
			rows[i] = []cell{{r.GetRule(), plain}, {r.GetEffect(), plain}, matched, {r.GetFailed(), plain}, {r.GetWanted(), plain}, {r.GetSaw(), plain}}
		}
		if err := t.print(rows...); err != nil {
			return found(err)
		}
	}
	for _, caveat := range caveats {
		fmt.Fprintf(s.out, "note: %s\n", shown(caveat))
	}
	return nil
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

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

func auditStatsCommand() *cobra.Command {
	var path string
	var when period
	var machine bool
	request := new(stsv1.GetStatisticsRequest)
	cmd := &cobra.Command{
		Use:   "stats --config FILE [--from 24h] [--by principal,rule,outcome]",
		Short: "Count exchanges by the hour",
		Args:  cobra.NoArgs,
	}
	wanted := filtersOf(cmd, "principal", "rule", "outcome")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := wanted.fill(request); err != nil {
			return err
		}
		if request.From, request.To, err = when.times(now()); err != nil {
			return err
		}
		if request.To == nil {
			request.To = timestamppb.New(now())
		}
		return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
			answer, err := ask(ctx, a, "audit.get_statistics", a.service.GetStatistics, request)
			if err != nil {
				return err
			}
			if machine {
				for _, c := range answer.GetCounts() {
					if err := writeJSON(cmd.OutOrStdout(), c); err != nil {
						return err
					}
				}
				return nil
			}
			if len(answer.GetCounts()) == 0 {
				cmd.PrintErrln("no exchange was counted")
				return nil
			}
			return found(showCounts(screenOf(cmd.OutOrStdout()), request.GetBy(), answer.GetCounts()))
		})
	}
	configFlag(cmd, &path)
	when.flags(cmd, "24h")
	cmd.Flags().StringSliceVar(&request.By, "by", []string{"outcome"}, "what the count is split by: principal, rule, outcome")
	formFlag(cmd, &machine)
	return cmd
}

// showCounts prints a row for each count, with the columns that it is split by.
func showCounts(s screen, by []string, counts []*stsv1.HourCount) error {
	split := []struct {
		name, head string
		cell       func(*stsv1.HourCount) cell
	}{
		{"outcome", "OUTCOME", func(c *stsv1.HourCount) cell { return cell{c.GetOutcome(), outcomeColour(c.GetOutcome())} }},
		{"principal", "PRINCIPAL", func(c *stsv1.HourCount) cell { return cell{c.GetPrincipal(), plain} }},
		{"rule", "RULE", func(c *stsv1.HourCount) cell { return cell{c.GetRule(), plain} }},
	}
	t := &table{screen: s, columns: []column{{"HOUR", 0}, {"COUNT", 0}}}
	for _, p := range split {
		if slices.Contains(by, p.name) {
			t.columns = append(t.columns, column{p.head, 0})
		}
	}
	width := 0
	for _, c := range counts {
		width = max(width, len(strconv.Itoa(int(c.GetCount()))))
	}
	rows := make([][]cell, len(counts))
	for i, c := range counts {
		rows[i] = []cell{{stamp(c.GetHour()), plain}, {fmt.Sprintf("%*d", max(width, len("COUNT")), c.GetCount()), plain}}
		for _, p := range split {
			if slices.Contains(by, p.name) {
				rows[i] = append(rows[i], p.cell(c))
			}
		}
	}
	return t.print(rows...)
}

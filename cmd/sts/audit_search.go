package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
)

// searchPage is the most events that are asked for at once.
const searchPage = 1000

func auditSearchCommand() *cobra.Command {
	var path string
	var when period
	var machine bool
	var limit uint32
	request := new(stsv1.SearchEventsRequest)
	cmd := &cobra.Command{
		Use:   "search --config FILE [--subject SUB] [--principal NAME] [--rule ID]... [--from 24h]",
		Short: "Find events in the logs of all replicas, the newest first",
		Long: `Shows the events for which all that is given holds. Values are matched whole, letter for letter. An exchange of a user who
holds the id of a refusal is found by --decision-id; who was given a leaked token, by sts audit lookup.`,
		Args: cobra.NoArgs,
	}
	wanted := filtersOf(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := wanted.fill(request); err != nil {
			return err
		}
		if request.From, request.To, err = when.times(now()); err != nil {
			return err
		}
		return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
			show := showEvents(cmd, machine)
			shown, more, err := findEvents(ctx, a, request, limit, show)
			switch {
			case err != nil:
				return err
			case shown == 0 && more == "" && !machine:
				cmd.PrintErrln("no event passes all of that")
			case more != "":
				cmd.PrintErrf("there are more; the same filters go on with%s --page-token %s\n", again(request.GetFrom(), request.GetTo()), more)
			}
			return nil
		})
	}
	configFlag(cmd, &path)
	when.flags(cmd, "")
	cmd.Flags().Uint32Var(&limit, "limit", 50, "the most events to show; 0 shows all")
	cmd.Flags().StringVar(&request.PageToken, "page-token", "", "go on behind what another search with the same filters has shown")
	formFlag(cmd, &machine)
	return cmd
}

// findEvents shows so many events (0 for all), page by page, and returns where it would go on; "" where there are no more.
// A page may be short, or empty, where looking for its events took long.
func findEvents(ctx context.Context, a *auditor, r *stsv1.SearchEventsRequest, limit uint32, show func(...*stsv1.Event) error) (shown uint32, more string, err error) {
	question := func(ctx context.Context, r *stsv1.SearchEventsRequest) (*stsv1.SearchEventsResponse, error) {
		r.PageSize = searchPage
		if limit > 0 {
			r.PageSize = int32(min(limit-shown, searchPage))
		}
		return a.service.SearchEvents(ctx, r)
	}
	page, err := ask(ctx, a, "audit.search_events", question, r)
	if err != nil {
		return 0, "", err
	}
	for {
		if err := show(page.GetEvents()...); err != nil {
			return shown, "", err
		}
		shown += uint32(len(page.GetEvents())) //nolint:gosec // 1,000 at most
		r.PageToken = page.GetNextPageToken()
		if r.PageToken == "" || limit > 0 && shown >= limit {
			return shown, r.PageToken, nil
		}
		if page, err = question(ctx, r); err != nil {
			return shown, "", said(err)
		}
	}
}

// showEvents prints events for people, or a line of JSON for each.
func showEvents(cmd *cobra.Command, machine bool) func(...*stsv1.Event) error {
	rows := eventTable(screenOf(cmd.OutOrStdout()))
	return func(events ...*stsv1.Event) error {
		if len(events) == 0 {
			return nil
		}
		if !machine {
			table := make([][]cell, len(events))
			for i, e := range events {
				table[i] = eventRow(e)
			}
			return found(rows.print(table...))
		}
		for _, e := range events {
			line, err := jsonLine(e)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(line)
			}
			if err != nil {
				return found(err)
			}
		}
		return nil
	}
}

func auditTailCommand() *cobra.Command {
	var path string
	var machine bool
	var limit uint32
	request := new(stsv1.TailEventsRequest)
	cmd := &cobra.Command{
		Use:   "tail --config FILE [--subject SUB] [--principal NAME] [--rule ID]...",
		Short: "Show events as they come, until it is interrupted",
		Long: `Shows the events for which all that is given holds as they come, from now on or from behind --cursor. What happens at a
replica is here about a second later. At its end it says where to go on.`,
		Args: cobra.NoArgs,
	}
	wanted := filtersOf(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := wanted.fill(request); err != nil {
			return err
		}
		return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
			show := showEvents(cmd, machine)
			err := followEvents(ctx, a, request, limit, func(answer *stsv1.TailEventsResponse) error {
				if !machine {
					return show(answer.GetEvent())
				}
				line, err := jsonLine(answer)
				if err != nil {
					return found(err)
				}
				return write(cmd.OutOrStdout(), line)
			})
			if request.Cursor != "" {
				cmd.PrintErrf("to go on behind this: --cursor %s\n", request.Cursor)
			}
			return err
		})
	}
	configFlag(cmd, &path)
	cmd.Flags().Uint32Var(&limit, "limit", 0, "end after so many events; 0 goes on")
	cmd.Flags().StringVar(&request.Cursor, "cursor", "", "go on behind what another tail has shown, whatever its filters")
	formFlag(cmd, &machine)
	return cmd
}

// followEvents shows events until so many have come (0 for no end) or ctx ends, which is how it is meant to. The request's cursor
// follows. Where the service asks to be called again, it is.
func followEvents(ctx context.Context, a *auditor, r *stsv1.TailEventsRequest, limit uint32, show func(*stsv1.TailEventsResponse) error) error {
	if err := a.used(ctx, exchange.Admin{Action: "audit.tail_events"}); err != nil {
		return err
	}
	for shown := uint32(0); ; {
		alive := false
		err := a.service.TailEvents(r, &stream[stsv1.TailEventsResponse]{ctx: ctx, take: func(answer *stsv1.TailEventsResponse) error {
			alive, r.Cursor = true, answer.GetCursor()
			if answer.GetEvent() == nil {
				return nil
			}
			if err := show(answer); err != nil {
				return err
			}
			if shown++; shown == limit {
				return errEnough
			}
			return nil
		}})
		switch {
		case err == nil, limit > 0 && shown >= limit, ctx.Err() != nil:
			return nil
		case alive && exchange.AsError(err).Code == exchange.CodeUnavailable:
			continue
		}
		var f fault
		if errors.As(err, &f) { // of ours: it can't be printed
			return err
		}
		return fmt.Errorf("following the logs: %w", said(err))
	}
}

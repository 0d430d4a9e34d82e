package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
)

func auditRetireCommand() *cobra.Command {
	var path, reason string
	cmd := &cobra.Command{
		Use:   "retire ORIGIN --reason TEXT --config FILE",
		Short: "Say that a log is gone for good, so that verify --all lists it and no longer fails for it",
		Long: `A log whose disk is gone, such as that of a pod that nobody had given one of its own, is missed by sts audit verify --all for
ever. This says that its loss is known and in order. Who says so, when and why is recorded, signed with the log's key, and
kept in the database; it takes nothing off the list, and can't be taken back. The log's events stay in the index, and its
receipts still verify.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return found(retire(cmd, path, args[0], reason)) },
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&reason, "reason", "", "why that is in order, in one line")
	if err := cmd.MarkFlagRequired("reason"); err != nil {
		panic(fmt.Sprintf("marking a flag that was just made: %v", err))
	}
	return cmd
}

func retire(cmd *cobra.Command, path, origin, reason string) (err error) {
	ctx := cmd.Context()
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	ledger, err := openLedgerAsItIs(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	key, err := commandKey(ctx, cfg, ledger)
	if err != nil {
		return err
	}
	by := whoRuns()
	if host, err := os.Hostname(); err == nil {
		by += "@" + host
	}
	witness := audit.NewLedgerWitness(ledger, key.Public())
	r, err := witness.Retirement(ctx, origin, by, reason, now())
	if err != nil {
		return err
	}
	record := exchange.Admin{Action: "audit.retire", Object: origin, Detail: reason}
	if err := recordCommand(ctx, cfg, ledger, cmd.ErrOrStderr(), record); err != nil {
		return err
	}
	if err := witness.Retire(ctx, key, r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is retired, with %d records\n", origin, r.Size)
	return err
}

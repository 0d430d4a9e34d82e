package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/internal/emulator"
)

func newUp() *cobra.Command {
	var configFile, clockFile, issuer, reach string
	up := &cobra.Command{
		Use:   "up",
		Short: "Start the emulators, print their URLs as one JSON line, run until interrupted",
		Long: `Start the emulators on free ports of the loopback, print their URLs as one line of JSON, and run until interrupted.

Without --config there are the issuers okta, entra and github, the workspace prod with the principals of the example
policy and the endpoint churn, and the workspace staging with the principal etl. --config names a JSON file that says
otherwise; sts-dev up --print-config shows what it looks like.

Everything can be changed while it runs: POST /_emulator/setup (workspaces), /_emulator/keys (issuers),
/_emulator/tokens, /_emulator/faults, /_emulator/clock, /_emulator/reset; GET /_emulator/calls shows what arrived.`,
		Args: cobra.NoArgs,
	}
	printConfig := up.Flags().Bool("print-config", false, "print the configuration that would be used, and stop")
	up.Flags().StringVar(&configFile, "config", "", "JSON file with issuers, workspaces, principals and endpoints")
	up.Flags().StringVar(&clockFile, "clock-file", "", "add the Go duration in this file to the clock, read anew at each use")
	up.Flags().StringVar(&issuer, "federation-issuer", "http://127.0.0.1:8080",
		"the service's federation issuer, for federation policies that name none")
	up.Flags().StringVar(&reach, "federation-reach", "", "where that issuer is reached, if not by its own URL")
	up.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg := defaultWorld()
		if configFile != "" {
			var err error
			if cfg, err = readWorld(configFile); err != nil {
				return err
			}
		}
		cfg.trust(issuer, reach)
		if *printConfig {
			return printJSON(cmd.OutOrStdout(), cfg)
		}
		return runUp(cmd.Context(), cmd.OutOrStdout(), cfg, clockFile)
	}
	return up
}

func runUp(ctx context.Context, out io.Writer, cfg worldConfig, clockFile string) error {
	if clockFile != "" {
		cfg.now = emulator.FileClock(clockFile)
	}
	w, err := startWorld(cfg)
	if err != nil {
		return err
	}
	defer w.close()
	if err := json.NewEncoder(out).Encode(w.urls()); err != nil {
		return fmt.Errorf("printing URLs: %w", err)
	}
	<-ctx.Done()
	return nil
}

func readWorld(path string) (worldConfig, error) {
	var cfg worldConfig
	f, err := os.Open(path)
	if err != nil {
		return cfg, fmt.Errorf("reading configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := emulator.DecodeStrict(f, &cfg); err != nil {
		return cfg, fmt.Errorf("reading %s: %w", path, err)
	}
	return cfg, nil
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

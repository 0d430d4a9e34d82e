package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/server/clients"
)

func configCommand() *cobra.Command {
	return group("config", "Look at a configuration without running it", configCheckCommand(), configShowCommand())
}

func configCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "List every fault of the configuration and of its policy, each with its place and how to mend it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return found(err)
			}
			if _, err := clients.Prepare(registrationsOf(cfg)); err != nil {
				return found(err)
			}
			files, err := readPolicy(cfg.Policy.Files)
			if err != nil {
				return found(err)
			}
			policy, err := mapping.Compile(files, environmentOf(cfg))
			if err != nil {
				return found(err)
			}
			if err := reportTests(cmd, policy); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good, with %d providers, %d clients and %d rules\n",
				path, len(cfg.IdentityProviders), len(cfg.Clients), policy.Rules())
			return found(err)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func configShowCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "show --config FILE",
		Short: "Show the configuration as it takes effect: presets and defaults filled in, secrets named and not shown",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return found(err)
			}
			_, err = cmd.OutOrStdout().Write(cfg.Show())
			return found(err)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

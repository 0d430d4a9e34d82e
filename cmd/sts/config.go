package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/store"
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
			if err := checkContents(cfg); err != nil {
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
			if err := checkExports(cfg, policy); err != nil {
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

// checkContents looks into the files that are only named in the configuration, and lists all that would not do.
func checkContents(cfg *config.Config) error {
	var errs []error
	if _, err := clients.Prepare(registrationsOf(cfg)); err != nil {
		errs = append(errs, err)
	}
	if t := cfg.Listen.TLS; t != nil && t.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			errs = append(errs, fmt.Errorf("listen.tls: %w", err))
		}
	}
	if t := cfg.Listen.TLS; t != nil && t.ClientCAFile != "" {
		if _, err := clients.OpenAuthorities(t.ClientCAFile, now, slog.New(slog.DiscardHandler)); err != nil {
			errs = append(errs, fmt.Errorf("listen.tls.client_ca_file: %w", err))
		}
	}
	if cfg.Store.KeysetFile != "" {
		if _, err := store.OpenKeyset(cfg.Store.KeysetFile); err != nil {
			errs = append(errs, err)
		}
	}
	if cfg.Audit.SigningKeyFile != "" {
		if _, err := readSigningKey(cfg.Audit.SigningKeyFile); err != nil {
			errs = append(errs, err)
		}
	}
	if cfg.Store.Redis != nil {
		if _, err := redisTLS(cfg.Store.Redis.TLS); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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

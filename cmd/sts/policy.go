package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/mapping"
)

func policyCommand() *cobra.Command {
	return group("policy", "Test and lint a policy before it is in force", policyTestCommand(), policyLintCommand())
}

// policyFlags are what both commands take beside the files.
func policyFlags(cmd *cobra.Command, configPath *string) {
	cmd.Flags().StringVar(configPath, "config", "",
		"the configuration that the policy refers to; without it, providers, clients and accounts are taken as the policy names them")
}

func policyTestCommand() *cobra.Command {
	var configPath string
	cmd := &cobra.Command{
		Use:   "test FILE…",
		Short: "Run the policy's own tests, and explain those that fail",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			policy, err := compilePolicy(configPath, paths)
			if err != nil {
				return found(err)
			}
			return reportTests(cmd, policy)
		},
	}
	policyFlags(cmd, &configPath)
	return cmd
}

// reportTests prints how each test went; a failed one is a fault.
func reportTests(cmd *cobra.Command, policy *mapping.Policy) error {
	passed, failed := 0, 0
	for _, result := range mapping.RunTests(policy, now()) {
		if result.Failure == "" {
			passed++
			continue
		}
		failed++
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: test %q failed\n%s\n", result.Pos, result.Name, result.Failure); err != nil {
			return found(err)
		}
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "policy tests: %d passed, %d failed\n", passed, failed); err != nil {
		return found(err)
	}
	if failed > 0 {
		return found(errors.New("the policy doesn't do what its tests say"))
	}
	return nil
}

func policyLintCommand() *cobra.Command {
	var configPath string
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE…",
		Short: "Find what is allowed in a policy but seldom meant",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			policy, err := compilePolicy(configPath, paths)
			if err != nil {
				return found(err)
			}
			errs, warnings := 0, 0
			for _, finding := range mapping.Lint(policy, now()) {
				if finding.Severity == mapping.SeverityError {
					errs++
				} else {
					warnings++
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), finding); err != nil {
					return found(err)
				}
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "policy lint: %d errors, %d warnings\n", errs, warnings); err != nil {
				return found(err)
			}
			if errs > 0 || strict && warnings > 0 {
				return found(errors.New("the policy has findings"))
			}
			return nil
		},
	}
	policyFlags(cmd, &configPath)
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	return cmd
}

// compilePolicy compiles the files, under a configuration where one is named.
func compilePolicy(configPath string, paths []string) (*mapping.Policy, error) {
	var env *mapping.Environment
	if configPath != "" {
		cfg, err := config.Load(configPath)
		if err != nil {
			return nil, err
		}
		env = environmentOf(cfg)
	}
	files, err := readPolicy(paths)
	if err != nil {
		return nil, err
	}
	return mapping.Compile(files, env)
}

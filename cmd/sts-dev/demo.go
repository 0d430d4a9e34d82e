package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
	"github.com/lakegate/sts/server/clients"
)

func newDemo() *cobra.Command {
	var program string
	var once bool
	demo := &cobra.Command{
		Use:   "demo --sts FILE [--once]",
		Short: "Tell what the service does, step by step, with emulators around it",
		Long: `Start the emulators and the service on free ports of the loopback, with its files in a temporary folder, and tell the
story: each step is done, checked, and shown as the curl command that does the same from a second terminal.

It runs on until it is interrupted; with --once it ends by itself. The exit code is 0 if every step held. Nothing of it
stays behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), program, once)
		},
	}
	demo.Flags().StringVar(&program, "sts", "bin/sts", "the service's program")
	demo.Flags().BoolVar(&once, "once", false, "end after the last step")
	return demo
}

// demoIssuer is what the demo's service calls itself. The emulated Databricks finds it on the loopback.
const demoIssuer = "https://sts.acme.example"

func runDemo(ctx context.Context, out io.Writer, program string, once bool) (err error) {
	dir, err := os.MkdirTemp("", "sts-demo-")
	if err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := startWorld(worldConfig{
		Issuers: []idp.IssuerConfig{{Name: "okta", Audience: "api://lakegate"}},
		Workspaces: map[string]workspaceConfig{"prod": {
			AccountID: databricks.DefaultAccountID,
			Endpoints: []databricks.Endpoint{{Name: "churn", Answer: []byte(`{"predictions":[0.87]}`)}},
		}},
	})
	if err != nil {
		return err
	}
	defer w.close()
	secret, digest, err := clients.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	prod := w.workspaces["prod"]
	if err := writeDemoFiles(dir, demoFiles{
		Issuer: w.idp.Issuer("okta").URL(), Workspace: prod.URL(),
		AccountID: prod.AccountID(), ApplicationID: appInference, SecretSHA256: digest,
	}); err != nil {
		return err
	}
	sts, err := startService(ctx, program, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sts.stop()) }()
	if err := prod.PutPrincipal(databricks.Principal{
		ApplicationID: appInference, Query: []string{"churn"},
		Policies: []databricks.FederationPolicy{{Issuer: demoIssuer, Reach: sts.url}},
	}); err != nil {
		return err
	}

	s := &story{screen: newScreen(out), shell: shell{
		{"IDP", w.idp.URL()}, {"STS", sts.url}, {"DBX", prod.URL()},
		{"LOG", filepath.Join(dir, "data", "audit")}, {"SECRET", secret.Reveal()},
	}}
	s.tell(ctx, dir)
	if ctx.Err() != nil {
		return nil // interrupted, which is how it is meant to end
	}
	if !once {
		s.prose("It runs on: repeat any command above in a second terminal. Ctrl-C ends it and removes " + dir + ".")
		select {
		case <-ctx.Done():
		case <-sts.done:
			return errors.New("the service has ended by itself; " + sts.lastWords())
		}
	}
	return s.verdict()
}

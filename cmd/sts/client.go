package main

import (
	"crypto/rand"
	"fmt"

	"github.com/lakegate/sts/server/clients"
	"github.com/spf13/cobra"
)

func clientCommand() *cobra.Command {
	return group("client", "Clients that may ask for tokens", clientNewCommand())
}

func clientNewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Make a client's secret: the secret for the client, its digest for the configuration",
		Long: `Makes 256 random bits. The secret is printed once and kept nowhere; the configuration holds only its SHA-256.
For a rotation put the new digest beside the old one under secret_sha256, give the client its new secret, then
take the old digest out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, digest, err := clients.NewSecret(rand.Reader)
			if err != nil {
				return found(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), `# The secret, for the client alone. It is shown this once:
%s

# For the configuration:
clients:
  %s:
    auth_method: client_secret_basic
    secret_sha256: [%s]
    identity_providers: []   # whose tokens it may present
    authorized_parties: []   # azp or client_id those may have been issued to, or any
    audiences: []            # a workspace, or workspace/principal
`, secret.Reveal(), args[0], digest)
			return found(err)
		},
	}
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/store"
)

func keysCommand() *cobra.Command {
	return group("keys", "Keys that the service is given", group("new", "Make a key", keysNewStoreCommand()))
}

func keysNewStoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "store FILE",
		Short: "Make the keyset that seals cached tokens and signing keys, for store.keyset_file",
		Long: `Makes a file with a new AES-256-GCM keyset, readable by its owner alone. It never takes the place of another file: what an
older keyset has sealed, no new one opens.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.MakeKeyset(args[0]); err != nil {
				return found(err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is made; name it under store.keyset_file, and keep a copy where the ledger's backup is not\n", args[0])
			return found(err)
		},
	}
}

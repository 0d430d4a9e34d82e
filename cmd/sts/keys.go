package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/store"
)

func keysCommand() *cobra.Command {
	return group("keys", "Keys that the service is given",
		group("new", "Make a key", keysNewStoreCommand(), keysNewAuditCommand()),
		keysRotateCommand())
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

func keysNewAuditCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "audit NAME FILE",
		Short: "Make the key that signs checkpoints of the audit log, for audit.signing_key_file",
		Long: `Makes a file with a new Ed25519 key, readable by its owner alone, and prints the key that verifies its signatures. NAME is how
verifiers know the log, like sts.example.com/audit. The file never takes the place of another.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			signer, verifier, err := audit.NewSigningKey(rand.Reader, args[0])
			if err != nil {
				return found(err)
			}
			if err := writeNew(args[1], signer+"\n"); err != nil {
				return found(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is made. Who verifies the log needs this, and it is no secret:\n%s\n", args[1], verifier)
			return found(err)
		},
	}
}

// writeNew writes a file that is not there yet, for its owner alone.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making a key file: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("making a key file: %w", err), os.Remove(path))
	}
	return nil
}

func keysRotateCommand() *cobra.Command {
	step := func(use, short, long, next string, take func(string) ([]store.KeysetKey, error)) *cobra.Command {
		return &cobra.Command{
			Use: use + " FILE", Short: short, Long: long, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				keys, err := take(args[0])
				if err != nil {
					return found(err)
				}
				var said []string
				for _, k := range keys {
					does := "opens"
					if k.Seals {
						does = "seals and opens"
					}
					said = append(said, fmt.Sprintf("key %d %s", k.ID, does))
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n%s\n", args[0], strings.Join(said, ", "), next)
				return found(err)
			},
		}
	}
	return group("rotate", "Give store.keyset_file a new key, one step at a time: add, promote, drop",
		step("add", "Add a key that only opens so far",
			"Adds a key to a keyset file. It seals nothing yet, so that replicas with the file of before open all that is sealed.",
			"give the file to every replica and restart it; when all have it: sts keys rotate promote", store.AddKey),
		step("promote", "Let the newest key seal; the older ones still open",
			"Lets the newest key of a keyset file seal. Every replica must have that key already, or it can't open what others seal.",
			"give the file to every replica and restart it; when nothing is sealed by an older key any more (docs/keys.md): sts keys rotate drop", store.PromoteKey),
		step("drop", "Remove the keys that are older than the one that seals",
			"Removes the older keys of a keyset file. What they have sealed opens never again: a signing key in the ledger must not be among it (docs/keys.md).",
			"give the file to every replica and restart it", store.DropKeys),
	)
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/outbound"
)

// signingKey is the key of the log's checkpoints: the file's, or the ledger's, which is made if there is none.
func signingKey(ctx context.Context, cfg *config.Config, ledger exchange.Ledger, sealer audit.Sealer) (audit.Key, error) {
	if cfg.Audit.SigningKeyFile != "" {
		return readSigningKey(cfg.Audit.SigningKeyFile)
	}
	return audit.LedgerKey(ctx, ledger, sealer, rand.Reader, logName(cfg.Issuer))
}

func readSigningKey(path string) (audit.Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return audit.Key{}, fmt.Errorf("audit.signing_key_file: %w", err)
	}
	key, err := audit.ParseKey(string(text))
	if err != nil {
		return audit.Key{}, fmt.Errorf("audit.signing_key_file: %s is %w", path, err)
	}
	return key, nil
}

// ledgerKey is the ledger's key for commands, which make none.
func ledgerKey(ctx context.Context, cfg *config.Config, ledger exchange.Ledger) (audit.Key, error) {
	aead, err := openKeyset(cfg)
	if err != nil {
		return audit.Key{}, err
	}
	key, found, err := audit.FindLedgerKey(ctx, ledger, aead)
	if err == nil && !found {
		err = errors.New("the database holds no key of an audit log; no service has started with it yet")
	}
	return key, err
}

// logName is what the origins of our logs begin with.
func logName(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return "audit"
	}
	return strings.ReplaceAll(u.Host+strings.TrimRight(u.EscapedPath(), "/"), "+", "-") + "/audit"
}

// witnessesOf are who keeps the log's checkpoints: always the ledger, and whom the configuration names.
func witnessesOf(cfg *config.Config, ledger exchange.Ledger, key audit.PublicKey) []audit.Witness {
	witnesses := []audit.Witness{audit.NewLedgerWitness(ledger, key)}
	w := cfg.Audit.Witness
	if w != nil && w.URL != "" {
		witnesses = append(witnesses, &audit.URLWitness{URL: w.URL, Client: outbound.New(outbound.Config{})})
	}
	if w != nil && len(w.Command) > 0 {
		witnesses = append(witnesses, &audit.CommandWitness{Command: w.Command})
	}
	return witnesses
}

func auditCommand() *cobra.Command {
	return group("audit", "The audit log", auditSearchCommand(), auditTailCommand(), auditShowCommand(), auditLookupCommand(),
		auditStatsCommand(), auditCheckpointsCommand(), auditReindexCommand(), auditExportCommand(), auditReceiptCommand(), auditVerifyCommand(), auditRetireCommand(), auditKeyCommand())
}

// auditSource is where a command finds the keys, and what else it needs to know.
type auditSource struct {
	config string
	keys   []string
}

func (s *auditSource) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.keys, "key", nil, "the key that verifies checkpoints, or a file that holds it; again for one that was replaced")
	cmd.Flags().StringVar(&s.config, "config", "", "the configuration file, of which the key is taken if --key names none")
}

func (s *auditSource) named() bool { return len(s.keys) > 0 || s.config != "" }

// auditFound is what an auditSource finds.
type auditFound struct {
	keys       audit.PublicKeys
	folder     string             // the configuration's; "" without it
	registered []audit.Checkpoint // what the ledger has kept, if that was asked for
	retired    []audit.Retirement // the same
}

// open finds the keys; and with the configuration, the folder of the log and, if it is asked to, all checkpoints that the
// ledger has kept. It doesn't need the database for anything else than those, and a key that is nowhere but there.
func (s *auditSource) open(ctx context.Context, registered bool) (f auditFound, err error) {
	for _, text := range s.keys {
		key, err := readPublicKey(text)
		if err != nil {
			return f, err
		}
		f.keys = append(f.keys, key)
	}
	if s.config == "" {
		return f, nil
	}
	cfg, err := config.Load(s.config)
	if err != nil {
		return f, err
	}
	f.folder = cfg.Audit.Directory
	if len(f.keys) == 0 && cfg.Audit.SigningKeyFile != "" {
		key, err := readSigningKey(cfg.Audit.SigningKeyFile)
		if err != nil {
			return f, err
		}
		f.keys = audit.PublicKeys{key.Public()}
	}
	if len(f.keys) > 0 && !registered {
		return f, nil
	}
	ledger, err := openLedgerAsItIs(ctx, cfg.Database)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	if len(f.keys) == 0 {
		key, err := ledgerKey(ctx, cfg, ledger)
		if err != nil {
			return f, err
		}
		f.keys = audit.PublicKeys{key.Public()}
	}
	if registered {
		witness := audit.NewLedgerWitness(ledger, f.keys...)
		if f.registered, err = witness.All(ctx); err == nil {
			f.retired, err = witness.Retired(ctx)
		}
	}
	return f, err
}

func readPublicKey(text string) (audit.PublicKey, error) {
	if !strings.Contains(text, "+") {
		file, err := os.ReadFile(text)
		if err != nil {
			return audit.PublicKey{}, fmt.Errorf("reading the key: %w", err)
		}
		text = string(file)
	}
	return audit.ParsePublicKey(text)
}

func auditKeyCommand() *cobra.Command {
	var source auditSource
	cmd := &cobra.Command{
		Use:   "key --config FILE",
		Short: "Print the key that verifies the log's checkpoints and receipts; it is no secret",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := source.open(cmd.Context(), false)
			if err != nil {
				return found(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), f.keys[0])
			return found(err)
		},
	}
	configFlag(cmd, &source.config)
	return cmd
}

func auditReceiptCommand() *cobra.Command {
	var source auditSource
	cmd := &cobra.Command{
		Use:   "receipt ID --config FILE | receipt DIR ID --key KEY",
		Short: "Print the receipt of the event with an id: proof that it is in its log, for whoever has the key",
		Long: `Prints the receipt (C2SP tlog-proof) of an event out of the index, whichever replica recorded it, living or gone; or, with
DIR, of a record out of the log there. sts audit verify --receipt verifies it anywhere. An event of the last second may
have none yet.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !source.named():
				return errors.New("name the key by --key, or the configuration by --config")
			case len(args) == 1 && source.config == "":
				return errors.New("name the configuration by --config, or the folder of the log before the id")
			case len(args) == 1:
				return indexedReceipt(cmd, source.config, args[0])
			}
			f, err := source.open(cmd.Context(), false)
			if err != nil {
				return found(err)
			}
			text, err := receiptOf(args[0], args[1], f.keys)
			if err != nil {
				return found(err)
			}
			return write(cmd.OutOrStdout(), text)
		},
	}
	source.flags(cmd)
	return cmd
}

func indexedReceipt(cmd *cobra.Command, config, id string) error {
	return withAuditor(cmd, config, func(ctx context.Context, a *auditor) error {
		answer, err := ask(ctx, a, "audit.get_receipt", a.service.GetReceipt, &stsv1.GetReceiptRequest{Id: id})
		if err != nil {
			return err
		}
		return write(cmd.OutOrStdout(), []byte(answer.GetReceipt()))
	})
}

func receiptOf(directory, id string, keys audit.PublicKeys) ([]byte, error) {
	origin, index, err := audit.FindRecord(directory, id)
	if err != nil {
		return nil, err
	}
	checkpoint, err := audit.NewestCheckpoint(directory, origin, keys)
	if err != nil {
		return nil, err
	}
	receipt, err := audit.MakeReceipt(directory, checkpoint, index)
	if err != nil {
		return nil, err
	}
	return receipt.Text(), nil
}

func auditVerifyCommand() *cobra.Command {
	var source auditSource
	var checkpoints []string
	var receipt, output string
	var all bool
	cmd := &cobra.Command{
		Use:   "verify [DIR...] (--key KEY... | --config FILE) [--all] [--checkpoint FILE...] | --receipt FILE --key KEY",
		Short: "Prove that the log is as it was written, or name the first record that is not",
		Long: `Holds every byte of the logs in each DIR (or in the configuration's audit.directory) against their checkpoints. A log can't
show that it was cut short together with its checkpoints: name some that were kept elsewhere with --checkpoint, or use
--all, which takes the newest of every log that there ever was from the configuration's database, and fails where one is
shorter or missing. The logs of all replicas must be there then. Where the key was replaced, name both by --key.

With --receipt it verifies a receipt, which needs nothing but the key, and prints its record.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !source.named():
				return errors.New("name the key by --key, or the configuration by --config")
			case all && source.config == "":
				return errors.New("--all needs --config, for the database")
			case len(args) == 0 && source.config == "" && receipt == "":
				return errors.New("name the folder of the log, or the configuration by --config")
			case output != "" && output != "json":
				return fmt.Errorf("unknown form %q; there is json", output)
			}
			f, err := source.open(cmd.Context(), all && receipt == "")
			if err != nil {
				return found(err)
			}
			if receipt != "" {
				return found(verifyReceipt(cmd.OutOrStdout(), receipt, f.keys))
			}
			v := audit.Verification{Directories: args, Keys: f.keys, Checkpoints: f.registered, Retired: f.retired}
			if len(args) == 0 {
				v.Directories = []string{f.folder}
			}
			for _, path := range checkpoints {
				c, err := readCheckpoint(path, f.keys)
				if err != nil {
					return found(err)
				}
				v.Checkpoints = append(v.Checkpoints, c)
			}
			return found(verifyLogs(cmd.OutOrStdout(), v, output == "json"))
		},
	}
	source.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "hold the logs against the database: none may be missing or shorter")
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "a checkpoint that was kept elsewhere; may be given more than once")
	cmd.Flags().StringVar(&receipt, "receipt", "", "a receipt to verify instead of a log")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json for machines")
	return cmd
}

func readCheckpoint(path string, keys audit.PublicKeys) (audit.Checkpoint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	c, err := keys.Open(text)
	if err != nil {
		return audit.Checkpoint{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func verifyReceipt(w io.Writer, path string, keys audit.PublicKeys) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, err := keys.OpenReceipt(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = fmt.Fprintf(w, "proven: record %d of %s\n%s\n", r.Index, r.Checkpoint.Origin, r.Line)
	return err
}

func verifyLogs(w io.Writer, v audit.Verification, machine bool) error {
	logs, faults, err := audit.Verify(v)
	if err != nil {
		return err
	}
	if machine {
		if faults == nil {
			faults = []audit.Fault{}
		}
		err = json.NewEncoder(w).Encode(map[string]any{"logs": logs, "faults": faults})
	} else {
		err = printVerified(w, logs, faults)
	}
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("%d of %d logs are not as they were written, or not there", faulty(faults), max(len(logs), faulty(faults)))
	}
	return nil
}

// faulty counts the logs that faults are in.
func faulty(faults []audit.Fault) int {
	origins := map[string]bool{}
	for _, f := range faults {
		origins[f.Origin] = true
	}
	return len(origins)
}

func printVerified(w io.Writer, logs []audit.Verified, faults []audit.Fault) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LOG\tSEGMENTS\tRECORDS\tPROVEN\tPAST RETENTION")
	for _, l := range logs {
		if l.Retired != nil && l.Segments == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", l.Origin, l.Segments, l.Records, l.Proven, l.Dropped)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range logs {
		for _, size := range l.Skipped {
			fmt.Fprintf(w, "not checked: the checkpoint of %d records of %s, which are past their retention\n", size, l.Origin)
		}
	}
	for _, l := range logs {
		if r := l.Retired; r != nil {
			fmt.Fprintf(w, "retired: %s, with %d records, by %s at %s: %s\n", l.Origin, r.Size, shown(r.By), r.At.Format(time.RFC3339), shown(r.Reason))
		}
	}
	for _, f := range faults {
		fmt.Fprintf(w, "WRONG: %s\n", shown(f.String())) // an id that somebody edited could hide the line
	}
	return nil
}

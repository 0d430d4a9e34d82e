package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

// doctorTime bounds the look at one provider.
const doctorTime = 15 * time.Second

// finding is one line of what the doctor says. Of a fault, Text says what to mend.
type finding struct {
	Provider string `json:"provider,omitempty"` // left out of what is ours
	Part     string `json:"part"`
	OK       bool   `json:"ok"`
	Text     string `json:"text"`
}

type doctorFlags struct {
	config, provider, tokenFile, tokenType string
	json                                   bool
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor --config FILE [--provider NAME] [--token-file FILE --token-type TYPE]",
		Short: "Look at each identity provider: clock, discovery, keys, and what becomes of a sample token",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sample, err := f.sample(cmd.InOrStdin())
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), sample)
		},
	}
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.provider, "provider", "", "only this identity provider")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "a file that holds a sample token, - for standard input; the token is judged, and neither used up, kept nor shown")
	cmd.Flags().StringVar(&f.tokenType, "token-type", "", "what to present it as: access_token, id_token, jwt, saml2 or aws4_request")
	cmd.Flags().BoolVar(&f.json, "json", false, "print findings as JSON")
	return cmd
}

func (f *doctorFlags) run(ctx context.Context, out io.Writer, sample *exchange.Presented) error {
	cfg, err := config.Load(f.config)
	if err != nil {
		return found(err)
	}
	names := slices.Sorted(maps.Keys(cfg.IdentityProviders))
	if f.provider != "" {
		if !slices.Contains(names, f.provider) {
			return fmt.Errorf("there is no identity provider %q in %s", f.provider, f.config)
		}
		names = []string{f.provider}
	}
	once, err := newOnce(nil) // a sample is only explained, which marks nothing
	if err != nil {
		return found(err)
	}
	v, err := newVerifiers(cfg, once, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return found(err)
	}
	findings := examine(ctx, v, cfg, names)
	if sample != nil {
		findings = append(findings, judge(ctx, v, *sample, f.provider))
	}
	if err := f.print(out, findings); err != nil {
		return found(err)
	}
	faults := 0
	for _, f := range findings {
		if !f.OK {
			faults++
		}
	}
	switch faults {
	case 0:
		return nil
	case 1:
		return found(errors.New("1 fault was found"))
	}
	return found(fmt.Errorf("%d faults were found", faults))
}

// examine looks at all of them at once, since those that don't answer take their time.
func examine(ctx context.Context, v *verifiers, cfg *config.Config, names []string) []finding {
	looks := make([]identity.Examination, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, doctorTime)
			defer cancel()
			looks[i] = v.of(cfg.IdentityProviders[name]).Examine(ctx, name)
		})
	}
	all.Wait()
	clocks := map[string]clockReading{}
	for i, name := range names {
		if looks[i].Ahead != nil {
			clocks[name] = clockReading{ahead: *looks[i].Ahead, leeway: looks[i].Leeway}
		}
	}
	ours, judged := judgeClocks(clocks)
	findings := slices.Clone(ours)
	for i, name := range names {
		if clock, known := judged[name]; known {
			findings = append(findings, clock)
		}
		for _, f := range looks[i].Findings {
			findings = append(findings, finding{Provider: name, Part: f.Part, OK: !f.Fault, Text: f.Text})
		}
	}
	return findings
}

func (f *doctorFlags) print(out io.Writer, findings []finding) error {
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		for _, f := range findings {
			if err := encoder.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		verdict, of := "ok", f.Provider
		if !f.OK {
			verdict = "FAULT"
		}
		if of == "" {
			of = "this host"
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", verdict, of, f.Part, shown(f.Text)); err != nil {
			return err
		}
	}
	return w.Flush()
}

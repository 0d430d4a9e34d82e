package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// maxToken is the most that is read as a token, as of every entrance.
const maxToken = 1 << 20

func auditLookupCommand() *cobra.Command {
	var path string
	var machine bool
	cmd := &cobra.Command{
		Use:   "lookup [SHA256] --config FILE",
		Short: "Say what became of a token: who got it, when, by which rule, and whether it may still be good",
		Long: `Takes the SHA-256 of a token in lower-case hex, or the token itself on its standard input:

    sts audit lookup --config sts.yaml <token.txt

A token is never an argument: it would stand in the list of processes and in the shell's history. It is neither shown nor
kept; its hash is recorded. That a token is not known is an answer, with exit code 0.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := lookupRequest(cmd, args)
			if err != nil {
				return err
			}
			return withAuditor(cmd, path, func(ctx context.Context, a *auditor) error {
				answer, err := ask(ctx, a, "audit.lookup_token", a.service.LookupToken, request)
				if err != nil {
					return err
				}
				if machine {
					return writeJSON(cmd.OutOrStdout(), answer)
				}
				return found(showToken(screenOf(cmd.OutOrStdout()), answer, now()))
			})
		},
	}
	configFlag(cmd, &path)
	formFlag(cmd, &machine)
	return cmd
}

var hashForm = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// lookupRequest never shows an argument that is no hash.
func lookupRequest(cmd *cobra.Command, args []string) (*stsv1.LookupTokenRequest, error) {
	switch {
	case len(args) == 1 && hashForm.MatchString(args[0]):
		return &stsv1.LookupTokenRequest{TokenSha256: args[0]}, nil
	case len(args) > 0:
		return nil, errors.New("the argument is the SHA-256 of one token, 64 hex digits; a token itself must not be an argument, where all of this host " +
			"can read it in the list of processes: give it on standard input, and take it out of the shell's history")
	}
	terminal := isTerminal(cmd.InOrStdin())
	if terminal {
		cmd.PrintErrln("the token, then Enter and Ctrl-D:")
	}
	text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxToken+1))
	if err != nil {
		return nil, found(fmt.Errorf("reading the token: %w", err))
	}
	return tokenRequest(text, terminal)
}

// terminalLine is the longest line that a terminal hands on (termios(3)); it drops what stands behind, and the hash of the
// rest would be told to be not known.
const terminalLine = 4095

func tokenRequest(text []byte, typed bool) (*stsv1.LookupTokenRequest, error) {
	token := strings.TrimSpace(string(text))
	switch {
	case token == "" || len(text) > maxToken:
		return nil, errors.New("there is no token on standard input; give one there, or its SHA-256 as the argument")
	case typed && len(token) >= terminalLine:
		return nil, fmt.Errorf("a terminal cuts a line off behind %d letters, so this may be less than the token; put it into a file, and give that: <token.txt", terminalLine)
	}
	return &stsv1.LookupTokenRequest{Token: token}, nil
}

// showToken says the answer to people: first what they must know at once.
func showToken(s screen, a *stsv1.LookupTokenResponse, at time.Time) error {
	if !a.GetKnown() {
		_, err := fmt.Fprintf(s.out, "NOT KNOWN: no event here is of the token with the SHA-256 %s\n", a.GetTokenSha256())
		return err
	}
	verdict := cell{"ITS END ISN'T KNOWN", yellow}
	end := ""
	if a.GetExpiresAt() != nil {
		end = " until " + stamp(a.GetExpiresAt())
	}
	switch {
	case a.Alive == nil:
	case a.GetAlive():
		verdict = cell{"MAY STILL BE GOOD" + end, red}
		if left := a.GetExpiresAt().AsTime().Sub(at).Round(time.Second); end != "" && left > 0 {
			verdict.text += " (" + left.String() + ")"
		}
	default:
		verdict = cell{"OVER" + strings.Replace(end, "until", "since", 1), green}
	}
	kind := "of which we know only by those who asked about it:"
	switch a.GetKind() {
	case "handed_out":
		kind = "a token of Databricks, which we handed out:"
	case "presented":
		kind = "a token of an identity provider, which was presented to us:"
	}
	fmt.Fprintf(s.out, "%s\n%s %s\n", s.paint(verdict), kind, s.paint(cell{a.GetTokenSha256(), faint}))
	events := a.GetEvents()
	if a.GetMint() != nil {
		events = append(events[:len(events):len(events)], a.GetMint())
	}
	rows := make([][]cell, len(events))
	for i, e := range events {
		rows[i] = eventRow(e)
	}
	if len(rows) > 0 {
		fmt.Fprintln(s.out)
		if err := eventTable(s).print(rows...); err != nil {
			return err
		}
	}
	if a.GetMore() {
		fmt.Fprintf(s.out, "\nthere are more: sts audit search --token-sha256 %s\n", a.GetTokenSha256())
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
)

// maxSample bounds a sample token's file: a SAML assertion may be large.
const maxSample = 1 << 20

// sample reads the token that is to be judged, nil for none. Its error is wrong usage.
func (f *doctorFlags) sample(stdin io.Reader) (*exchange.Presented, error) {
	if f.tokenFile == "" && f.tokenType == "" {
		return nil, nil
	}
	if f.tokenFile == "" || f.tokenType == "" {
		return nil, errors.New("--token-file and --token-type go together")
	}
	var typ exchange.TokenType
	for _, known := range exchange.TokenTypes() {
		if strings.HasSuffix(string(known), ":"+f.tokenType) {
			typ = known
		}
	}
	if typ == "" {
		return nil, fmt.Errorf("unknown --token-type %q; it is one of access_token, id_token, jwt, saml2, aws4_request", f.tokenType)
	}
	from := stdin
	if f.tokenFile != "-" {
		file, err := os.Open(f.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading the sample token: %w", err)
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxSample+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the sample token: %w", err)
	case len(text) > maxSample:
		return nil, fmt.Errorf("the sample token is larger than %d bytes", maxSample)
	}
	return &exchange.Presented{Token: exchange.Secret(strings.TrimSpace(string(text))), Type: typ}, nil
}

// judge says what an exchange would make of the sample, in the words that its caller would hear. Explaining a token
// neither marks nor records it.
func judge(ctx context.Context, v exchange.Verifier, sample exchange.Presented, provider string) finding {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	who, err := v.Verify(ctx, sample, exchange.UseExplain)
	f := finding{Provider: provider, Part: "token"}
	if err != nil {
		e := exchange.AsError(err)
		f.Text = fmt.Sprintf("%s (%s)", e.Message, e.Reason)
		if e.Cause != nil {
			f.Text += ": " + e.Cause.Error()
		}
		return f
	}
	if provider != "" && who.Provider != provider {
		f.Text = fmt.Sprintf("the token is good, and the identity provider %s's; look at that one, or present a token of %s", who.Provider, provider)
		return f
	}
	groups := "groups unknown: rules that name groups don't grant"
	if who.Groups.Known {
		groups = fmt.Sprintf("%d groups", len(who.Groups.Names))
	}
	return finding{Provider: who.Provider, Part: "token", OK: true, Text: fmt.Sprintf("it is accepted, for another %s; %s", who.Expiry.Sub(now()).Round(time.Second), groups)}
}

package databricks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/config/credentials"
	"github.com/databricks/databricks-sdk-go/service/files"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/outbound"
)

// Volume writes files into a folder of a Unity Catalog volume.
type Volume struct {
	// Folder is /Volumes/<catalog>/<schema>/<volume>[/<folder>…]. It must be there.
	Folder string
	// Own is the principal that may write there.
	Own *Own
	// HTTP is a client of internal/outbound; its timeout is for a whole upload.
	HTTP *http.Client
}

// Upload puts a file of that name into the folder, whole or not at all, in the place of one that is there. Its errors are
// *exchange.Error, and hold nothing of the answer but a status and an error code.
func (v *Volume) Upload(ctx context.Context, name string, content []byte) error {
	token, host, err := v.Own.Token(ctx)
	if err != nil {
		return fmt.Errorf("getting a token to write a volume with: %w", err)
	}
	api, err := v.files(host, token)
	if err != nil {
		return fmt.Errorf("writing a file to a volume: %w", err)
	}
	err = api.Upload(ctx, files.UploadRequest{
		FilePath: v.Folder + "/" + name, Overwrite: true,
		Contents: io.NopCloser(bytes.NewReader(content)), // which the SDK can't read twice: it is tried again by whoever called
	})
	if err != nil {
		return v.refused(ctx, err)
	}
	return nil
}

// files is the SDK's client for one token. It reads no environment and no file, and asks the host for nothing else.
func (v *Volume) files(host string, token exchange.Secret) (files.FilesInterface, error) {
	c, err := client.New(&config.Config{
		Host: host, HTTPTransport: v.HTTP.Transport, Credentials: bearer{token}, Loaders: []config.Loader{noLoader{}},
		HostMetadataResolver: func(context.Context, string) (*config.HostMetadata, error) { return nil, nil }, //nolint:nilnil // there is nothing to know
	})
	if err != nil {
		return nil, errors.New("the SDK refuses its configuration") // its words hold all of it
	}
	return files.NewFiles(c), nil
}

// refused says what became of an upload that did not succeed.
func (v *Volume) refused(ctx context.Context, err error) error {
	var api *apierr.APIError
	if !errors.As(err, &api) {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable,
			"the workspace can't be reached, or did not answer in time").Because(outbound.Redact(err))
	}
	said := &refusal{status: api.StatusCode}
	if isWord(api.ErrorCode) {
		said.code = api.ErrorCode
	}
	if api.StatusCode == http.StatusUnauthorized {
		v.Own.Forget()
	}
	switch status := api.StatusCode; {
	case status == http.StatusTooManyRequests, status >= 500, status == http.StatusRequestTimeout, status == http.StatusUnauthorized, said.isTemporary():
		after := defaultRetry
		if r := api.ResponseWrapper; r != nil && r.Response != nil {
			after = retryAfter(r.Response.Header.Get("Retry-After"), v.Own.c.Now())
		}
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "the workspace did not take a file just now").After(after).Because(said)
	case status == http.StatusNotFound:
		return exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "the workspace has no such volume or folder: make it, or mend its name").Because(said)
	case status == http.StatusForbidden:
		return exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected,
			"the principal may not write the volume: it needs WRITE VOLUME, USE SCHEMA and USE CATALOG, and the scope files or all-apis").Because(said)
	}
	return exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "the workspace does not take the file").Because(said)
}

// bearer is one token as the SDK wants it.
type bearer struct{ token exchange.Secret }

// Name implements config.CredentialsStrategy.
func (bearer) Name() string { return "lakegate" }

// Configure implements config.CredentialsStrategy.
func (b bearer) Configure(context.Context, *config.Config) (credentials.CredentialsProvider, error) {
	return credentials.CredentialsProviderFn(func(r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
		return nil
	}), nil
}

// noLoader keeps the SDK from reading the environment and its files.
type noLoader struct{}

// Name implements config.Loader.
func (noLoader) Name() string { return "none" }

// Configure implements config.Loader.
func (noLoader) Configure(*config.Config) error { return nil }

package databricks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/databricks/databricks-sdk-go/config/experimental/auth"
	"github.com/databricks/databricks-sdk-go/config/experimental/auth/oidc"
	"github.com/databricks/databricks-sdk-go/credentials/u2m"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/outbound"
)

// tokenPath is where every workspace has its token endpoint. Asking for its discovery document would be two more
// requests in whose answers somebody else could name an address.
const tokenPath = "/oidc/v1/token"

// source is the bare token source for a grant: one request, no cache, no retry, no environment.
func (m *Minter) source(ctx context.Context, s *Settings, id exchange.MintID, g *exchange.Grant, now, until time.Time) (auth.TokenSource, error) {
	if len(g.Scopes) == 0 {
		return nil, errors.New("a grant without scopes would get the SDK's default, all-apis")
	}
	switch g.Method {
	case exchange.MethodFederation:
		if len(g.Details) > 0 && !s.Federation.AuthorizationDetails {
			return nil, errors.New("authorization_details are not known to work on the federation grant; set databricks.federation.authorization_details once measured, or mint the principal by client_secret")
		}
		claims, err := makeAssertion(s, id, g, now, until)
		if err != nil {
			return nil, err
		}
		signed, err := m.signer.Sign(ctx, claims, until)
		if err != nil {
			return nil, fmt.Errorf("signing the assertion: %w", err)
		}
		return federationSource(g, signed), nil
	case exchange.MethodClientSecret:
		credential, ok := s.Credentials[g.Principal]
		if !ok {
			return nil, fmt.Errorf("the principal %s has no entry under databricks.credentials", g.Principal)
		}
		return secretSource(g, credential.Secret), nil
	default:
		return nil, fmt.Errorf("the method %q is not known", g.Method)
	}
}

// federationSource trades an assertion. The SDK's own source has no place for authorization_details, so with them the
// very request that it would send is made here, and one parameter more; a test compares the two.
func federationSource(g *exchange.Grant, signed exchange.Secret) auth.TokenSource {
	if len(g.Details) > 0 {
		c := &clientcredentials.Config{
			ClientID: g.ApplicationID, TokenURL: g.Host + tokenPath, AuthStyle: oauth2.AuthStyleInParams, Scopes: g.Scopes,
			EndpointParams: url.Values{
				"grant_type":            {exchange.GrantTypeTokenExchange},
				"subject_token":         {signed.Reveal()},
				"subject_token_type":    {string(exchange.TypeJWT)},
				"authorization_details": {g.Details.JSON()},
			},
		}
		return auth.TokenSourceFn(c.Token)
	}
	c := oidc.DatabricksOIDCTokenSourceConfig{
		ClientID: g.ApplicationID, Host: g.Host,
		TokenEndpointProvider: func(context.Context) (*u2m.OAuthAuthorizationServer, error) {
			return &u2m.OAuthAuthorizationServer{TokenEndpoint: g.Host + tokenPath}, nil
		},
		IDTokenSource: oidc.IDTokenSourceFn(func(context.Context, string) (*oidc.IDToken, error) {
			return &oidc.IDToken{Value: signed.Reveal()}, nil
		}),
	}
	c.SetScopes(g.Scopes)
	return oidc.NewDatabricksOIDCTokenSource(c)
}

// secretSource is M2M. The SDK's source for it is this one of x/oauth2, inside a package that reads the environment.
func secretSource(g *exchange.Grant, secret exchange.Secret) auth.TokenSource {
	c := &clientcredentials.Config{
		ClientID: g.ApplicationID, ClientSecret: secret.Reveal(),
		TokenURL: g.Host + tokenPath, AuthStyle: oauth2.AuthStyleInHeader, Scopes: g.Scopes,
	}
	if len(g.Details) > 0 {
		c.EndpointParams = url.Values{"authorization_details": {g.Details.JSON()}}
	}
	return auth.TokenSourceFn(c.Token)
}

// maxAnswer bounds a response in bytes. Databricks' tokens have one to two thousand.
const maxAnswer = 64 << 10

// reply is what came back, whole, or why nothing did.
type reply struct {
	status int
	header http.Header
	body   []byte
	// believed is what the source made of the body: x/oauth2 folds case, and lets the last duplicate win.
	believed string
	err      error
}

// fetch runs the source once and keeps the raw answer, since the source shows only part of it.
func fetch(ctx context.Context, client *http.Client, source auth.TokenSource) *reply {
	kept := &keeper{next: client.Transport}
	if kept.next == nil {
		kept.next = http.DefaultTransport
	}
	token, err := source.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: kept}))
	r := &kept.reply
	if r.status == 0 && r.err == nil {
		r.err = outbound.Redact(err) // it failed before it asked
	}
	if err == nil {
		r.believed = token.AccessToken
	}
	return r
}

// keeper is a transport that keeps the answer of its one request.
type keeper struct {
	next  http.RoundTripper
	reply reply
}

// RoundTrip implements http.RoundTripper.
func (k *keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := k.next.RoundTrip(req)
	if err != nil {
		k.reply = reply{err: outbound.Redact(err)}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	_ = resp.Body.Close()
	if err == nil && len(body) > maxAnswer {
		err = outbound.ErrTooLarge
	}
	if err != nil {
		k.reply = reply{err: err}
		return nil, err
	}
	k.reply = reply{status: resp.StatusCode, header: resp.Header, body: body}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

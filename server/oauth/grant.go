package oauth

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/inbound"
)

// tokenType is what every token of ours is used as (RFC 6750).
const tokenType = "Bearer"

// session takes one request through fosite, which hands it to each of our parts.
type session struct {
	// request's context stands here instead of being passed through fosite, which would write the text of our errors,
	// causes included, into its spans.
	request *http.Request
	form    *form
	// answer is what was granted.
	answer exchange.Answer
}

var _ fosite.Session = (*session)(nil)

// The rest of a fosite session concerns tokens that fosite keeps; it keeps none of ours.

func (*session) SetExpiresAt(fosite.TokenType, time.Time)        {}
func (*session) GetExpiresAt(fosite.TokenType) (never time.Time) { return never }
func (*session) GetUsername() string                             { return "" }
func (*session) GetSubject() string                              { return "" }
func (s *session) Clone() fosite.Session                         { return s }

// newProvider is a fosite with one grant and no storage: nothing that we use of it asks for one.
func newProvider(exchanger Exchanger, authenticator Authenticator) fosite.OAuth2Provider {
	return fosite.NewOAuth2Provider(nil, &fosite.Config{
		ClientAuthenticationStrategy: authenticate(authenticator),
		TokenEndpointHandlers:        fosite.TokenEndpointHandlers{grant{exchanger}},
	})
}

// walk takes a decoded request through fosite's token endpoint. Errors are those of our own parts, unchanged, or
// fosite's, which mean that it has become another than we know.
func (e *Endpoint) walk(s *session) error {
	// It looks parsed, so that fosite neither reads the body again nor looks for a multipart one.
	s.request.Form, s.request.PostForm, s.request.MultipartForm = e.parsed, e.parsed, e.noFiles
	// Not the request's context: see session.
	ctx := context.Background()
	request, err := e.provider.NewAccessRequest(ctx, s.request, s)
	if err != nil {
		return err
	}
	_, err = e.provider.NewAccessResponse(ctx, request)
	return err
}

// parsed is what fosite sees of every form. Of the parameters it gets the grant type alone, which is known by then: it
// would sort out scopes and audiences in quadratic time, before it knows the client. All requests share it: it is read
// only.
func parsed() url.Values { return url.Values{"grant_type": {exchange.GrantTypeTokenExchange}} }

// authenticate is our client authentication as fosite calls it.
func authenticate(authenticator Authenticator) fosite.ClientAuthenticationStrategy {
	return func(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
		s := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester).GetSession().(*session)
		c, err := authenticator.Authenticate(s.request.Context(), s.form.credentials)
		if err != nil {
			return nil, err
		}
		return client{c}, nil
	}
}

// client is a client of ours as fosite sees it.
type client struct{ *exchange.Client }

func (c client) GetID() string                    { return c.ID }
func (c client) GetGrantTypes() fosite.Arguments  { return c.Grants }
func (client) GetHashedSecret() []byte            { return nil }
func (client) GetRedirectURIs() []string          { return nil }
func (client) GetResponseTypes() fosite.Arguments { return nil }
func (client) GetScopes() fosite.Arguments        { return nil }
func (client) IsPublic() bool                     { return false }
func (client) GetAudience() fosite.Arguments      { return nil }

var _ fosite.Client = client{}

// grant is the token exchange grant.
type grant struct{ exchanger Exchanger }

var _ fosite.TokenEndpointHandler = grant{}

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (grant) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(exchange.GrantTypeTokenExchange)
}

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (grant) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (g grant) HandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) (err error) {
	s, c := r.GetSession().(*session), r.GetClient().(client)
	s.answer, err = g.exchanger.Exchange(s.request.Context(), &exchange.Call{
		Entrance: Entrance,
		Client:   c.Client,
		Source:   inbound.Source(inbound.Peer(s.request), c.Client, s.request.Header.Values),
		Params:   s.form.params,
	})
	return err
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler. Fosite checks that there is a token and a type;
// the answer itself is written by us.
func (grant) PopulateTokenEndpointResponse(_ context.Context, r fosite.AccessRequester, w fosite.AccessResponder) error {
	w.SetAccessToken(r.GetSession().(*session).answer.AccessToken.Reveal())
	w.SetTokenType(tokenType)
	return nil
}

var _ Authenticator = (*clients.Registry)(nil)

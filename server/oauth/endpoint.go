package oauth

import (
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

// Entrance is this door's name in records and metrics.
const Entrance = "form"

// Exchanger exchanges tokens. Both of its errors name their record.
type Exchanger interface {
	Exchange(ctx context.Context, call *exchange.Call) (exchange.Answer, error)
	// RefuseUnknown records a failure from before the client was known.
	RefuseUnknown(f exchange.Failure) *exchange.Error
}

// Authenticator proves clients. Its error is an *exchange.Error.
type Authenticator interface {
	Authenticate(ctx context.Context, c clients.Credentials) (*exchange.Client, error)
}

// Observer counts what was answered; err is nil where a token was.
type Observer interface {
	Observe(err *exchange.Error, took time.Duration)
}

// Config is what an Endpoint is made of. All of it is needed, but for the proxies and the bodies.
type Config struct {
	Exchanger Exchanger
	Inquirer  Inquirer
	Clients   Authenticator
	// Proxies are those whose forwarded client certificates are believed.
	Proxies  clients.Proxies
	Observer Observer
	// Introspections and Revocations count what the other two endpoints answered.
	Introspections, Revocations Observer
	// Bodies bounds the bodies of all entrances together; nil bounds those of this one.
	Bodies *inbound.Bodies
	Now    func() time.Time
}

// Endpoint is the token endpoint, and makes those of introspection and revocation.
type Endpoint struct {
	exchanger Exchanger
	inquirer  Inquirer
	clients   Authenticator
	proxies   clients.Proxies
	observer  Observer
	now       func() time.Time

	introspections, revocations Observer

	bodies   *inbound.Bodies
	provider fosite.OAuth2Provider
	parsed   url.Values      // see parsed
	noFiles  *multipart.Form // empty, shared like parsed
}

// New makes an Endpoint.
func New(c Config) (*Endpoint, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{
		{"Exchanger", c.Exchanger == nil}, {"Inquirer", c.Inquirer == nil}, {"Clients", c.Clients == nil}, {"Observer", c.Observer == nil},
		{"Introspections", c.Introspections == nil}, {"Revocations", c.Revocations == nil}, {"Now", c.Now == nil},
	} {
		if need.missing {
			return nil, fmt.Errorf("oauth.Config.%s is missing", need.name)
		}
	}
	if c.Bodies == nil {
		c.Bodies = inbound.NewBodies()
	}
	return &Endpoint{
		exchanger: c.Exchanger, inquirer: c.Inquirer, clients: c.Clients, proxies: c.Proxies, observer: c.Observer, now: c.Now,
		introspections: c.Introspections, revocations: c.Revocations,
		bodies:   c.Bodies,
		provider: newProvider(c.Exchanger, c.Clients), parsed: parsed(), noFiles: new(multipart.Form),
	}, nil
}

// ServeHTTP implements http.Handler.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := e.now()
	answer, err := e.token(w, r)
	if err != nil {
		describe(r.Context(), err.DecisionID, err)
		fault.Write(w, err)
	} else {
		describe(r.Context(), answer.DecisionID, nil)
		writeAnswer(w, &answer)
	}
	e.observer.Observe(err, e.now().Sub(began))
}

// token walks a request down, in the fixed order of evaluation: framing, grant type, duplicates, client; the rest of
// the order is the service's.
func (e *Endpoint) token(w http.ResponseWriter, r *http.Request) (exchange.Answer, *exchange.Error) {
	if err := checkFraming(w, r); err != nil {
		return exchange.Answer{}, e.refuse(r, err)
	}
	body, release, err := e.bodies.Read(w, r, inbound.MaxBody)
	if err != nil {
		return exchange.Answer{}, e.refuse(r, err)
	}
	defer release()
	form, err := decode(body)
	if err != nil {
		return exchange.Answer{}, e.refuse(r, err)
	}
	form.credentials.Authorization = exchange.Secret(r.Header.Get("Authorization"))
	inbound.Certify(&form.credentials, r, e.proxies)

	s := &session{request: r, form: form}
	if err := e.walk(s); err != nil {
		failed := exchange.AsError(err)
		if failed.DecisionID == "" {
			// It did not come as far as the service, which records whatever it is asked.
			failed = e.refuse(r, failed)
		}
		return exchange.Answer{}, failed
	}
	return s.answer, nil
}

// refuse records a failure from before the client was known.
func (e *Endpoint) refuse(r *http.Request, err *exchange.Error) *exchange.Error {
	return e.exchanger.RefuseUnknown(exchange.Failure{Entrance: Entrance, Source: exchange.Source{Peer: inbound.Peer(r)}, Err: err})
}

// describe tells the span of a sampled request how it went. The reason is ours; the error's text may be foreign.
func describe(ctx context.Context, decisionID string, err *exchange.Error) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("decision_id", decisionID))
	if err != nil {
		span.SetAttributes(attribute.String("reason", string(err.Reason)))
	}
}

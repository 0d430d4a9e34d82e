package oauth_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/oauth"
)

const (
	decisionID = "01920000-0000-7000-8000-000000000001"
	summaryID  = "01920000-0000-7000-8000-000000000002"
	secret     = "kongs-secret"
	token      = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln"
)

// service is an exchange that grants all, or does what it is told.
type service struct {
	answer exchange.Answer
	err    *exchange.Error
	do     func(ctx context.Context)

	// found is what introspection answers.
	found exchange.Introspection

	calls     []*exchange.Call
	inquiries []*exchange.Inquiry
	failures  []exchange.Failure
}

func (s *service) Introspect(_ context.Context, q *exchange.Inquiry) (exchange.Introspection, error) {
	return s.found, s.Revoke(context.Background(), q)
}

func (s *service) Revoke(_ context.Context, q *exchange.Inquiry) error {
	s.inquiries = append(s.inquiries, q)
	if s.err == nil {
		return nil
	}
	failed := *s.err
	failed.DecisionID = decisionID
	return &failed
}

func (s *service) Exchange(ctx context.Context, call *exchange.Call) (exchange.Answer, error) {
	s.calls = append(s.calls, call)
	if s.do != nil {
		s.do(ctx)
	}
	if s.err != nil {
		failed := *s.err
		failed.DecisionID = decisionID
		return exchange.Answer{}, &failed
	}
	// The parameters' faults are the core's to find, and its own tests'; here it shows that they reach it.
	if _, err := call.Params.Parse(); err != nil {
		failed := *err
		failed.DecisionID = decisionID
		return exchange.Answer{}, &failed
	}
	return s.answer, nil
}

func (s *service) RefuseUnknown(f exchange.Failure) *exchange.Error {
	s.failures = append(s.failures, f)
	refused := *f.Err
	refused.DecisionID = summaryID
	return &refused
}

// observer remembers the last observation.
type observer struct {
	count int
	err   *exchange.Error
	took  time.Duration
}

func (o *observer) Observe(err *exchange.Error, took time.Duration) {
	o.count++
	o.err, o.took = err, took
}

// bench is an endpoint with a fake service behind it.
type bench struct {
	service  *service
	observer *observer
	endpoint *oauth.Endpoint

	introspected, revoked *observer
}

func newBench(t testing.TB) *bench {
	t.Helper()
	registry, err := clients.New(clients.Config{})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := clients.Prepare([]clients.Registration{
		{Client: exchange.Client{ID: "kong", Grants: []string{exchange.GrantTypeTokenExchange}, ForwardsSource: true},
			Method: clients.MethodBasic, SecretSHA256: [][32]byte{sha256.Sum256([]byte(secret))}},
		{Client: exchange.Client{ID: "job", Grants: []string{exchange.GrantTypeTokenExchange}},
			Method: clients.MethodPost, SecretSHA256: [][32]byte{sha256.Sum256([]byte(secret))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	registry.Commit(snapshot)
	b := &bench{observer: &observer{}, introspected: &observer{}, revoked: &observer{}, service: &service{answer: exchange.Answer{
		AccessToken: "databricks-token", IssuedTokenType: exchange.TypeAccessToken, ExpiresIn: 600,
		Scopes: []string{"a", "b"}, DecisionID: decisionID,
	}}}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	b.endpoint, err = oauth.New(oauth.Config{
		Exchanger: b.service, Inquirer: b.service, Clients: registry,
		Observer: b.observer, Introspections: b.introspected, Revocations: b.revoked,
		Now: func() time.Time {
			now = now.Add(time.Millisecond)
			return now
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is the baseline request, B0.
type request struct {
	method  string
	query   string
	headers http.Header
	form    url.Values
	body    *string // instead of form
}

func baseline() *request {
	return &request{
		method:  http.MethodPost,
		headers: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {basic("kong", secret)}},
		form: url.Values{
			"grant_type":         {exchange.GrantTypeTokenExchange},
			"subject_token":      {token},
			"subject_token_type": {string(exchange.TypeJWT)},
			"audience":           {"prod"},
		},
	}
}

func basic(id, secret string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.Header.Get("Authorization")
}

func (r *request) build() *http.Request {
	body := r.form.Encode()
	if r.body != nil {
		body = *r.body
	}
	built := httptest.NewRequest(r.method, "/oauth2/token"+r.query, strings.NewReader(body))
	built.Header = r.headers
	built.RemoteAddr = "192.0.2.7:4711"
	return built
}

func (b *bench) do(r *request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.endpoint.ServeHTTP(w, r.build())
	return w
}

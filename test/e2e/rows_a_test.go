package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/lakegate/sts/exchange"
)

// malformed is the outcome of most framing rows.
const malformed = exchange.ReasonRequestMalformed

func TestRowsA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := func(f func(w *world, form url.Values) *http.Request) func(*world) request {
		return func(w *world) request {
			form := b0(w).Params
			return request{Params: form, Client: "kong", Raw: func(w *world) *http.Request { return f(w, form) }}
		}
	}
	authorized := func(w *world, body string) *http.Request {
		req := w.FormRequest(body)
		req.Header.Set("Authorization", w.basicAuth("kong"))
		return req
	}
	// asJSON is the baseline as JSON, its HTTP request changed.
	asJSON := func(change func(req *http.Request), body ...string) func(*world) request {
		return func(w *world) request {
			r := b0(w)
			text := strings.Join(body, "")
			if text == "" {
				text = w.object(members(r))
			}
			r.Raw = func(w *world) *http.Request {
				req := w.headed(w.JSONRequest("/v1/exchange", text), r)
				change(req)
				return req
			}
			return r
		}
	}
	mediaType := func(value string) func(*world) request {
		return asJSON(func(req *http.Request) { req.Header.Set("Content-Type", value) })
	}
	runRows(t, w, []row{
		{id: "A01", check: func(t *testing.T, w *world, a answer) {
			var object map[string]any
			dec := json.NewDecoder(bytes.NewReader(a.Body))
			if err := dec.Decode(&object); err != nil || dec.More() {
				t.Errorf("not one JSON object: %s", a.Body)
			}
			if _, isNumber := object["expires_in"].(float64); !isNumber {
				t.Errorf("expires_in is no number: %s", a.Body)
			}
			if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
				t.Errorf("the token calls the model: status %d", status)
			}
		}},
		{id: "A02"}, // the headers: holdAlways
		{id: "A03", ask: change(with("subject_token", "")), status: 400, code: "invalid_request", reason: malformed},
		{id: "A05", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			req := authorized(w, "")
			req.URL.RawQuery = form.Encode()
			return req
		}), status: 400, code: "invalid_request", reason: malformed},
		{id: "A05 any parameter", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			req := authorized(w, "")
			form.Del("subject_token")
			req.URL.RawQuery = form.Encode()
			return req
		}), status: 400, code: "invalid_request", reason: malformed},
		{id: "A06", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			query := url.Values{"audience": form["audience"], "subject_token_type": form["subject_token_type"]}
			form.Del("audience")
			form.Del("subject_token_type")
			req := authorized(w, form.Encode())
			req.URL.RawQuery = query.Encode()
			return req
		}), status: 400, code: "invalid_request", reason: malformed, says: "subject_token_type"},
		{id: "A08", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			req := authorized(w, form.Encode())
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
			return req
		})},
		{id: "A09", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			var body bytes.Buffer
			parts := multipart.NewWriter(&body)
			for name, values := range form {
				if err := parts.WriteField(name, values[0]); err != nil {
					w.t.Fatal(err)
				}
			}
			if err := parts.Close(); err != nil {
				w.t.Fatal(err)
			}
			req := authorized(w, body.String())
			req.Header.Set("Content-Type", parts.FormDataContentType())
			return req
		}), status: 415, code: "invalid_request", reason: malformed},
		{id: "A09 JSON", only: formOnly, ask: raw(func(w *world, _ url.Values) *http.Request {
			req := authorized(w, `{"grant_type":"x"}`)
			req.Header.Set("Content-Type", "application/json")
			return req
		}), status: 415, code: "invalid_request", reason: malformed},
		{id: "A11", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			form.Del("subject_token")
			return authorized(w, form.Encode()+"&subject_token=%zz")
		}), status: 400, code: "invalid_request", reason: malformed},
		{id: "A05 in JSON", only: jsonAlone, ask: asJSON(func(req *http.Request) {
			req.URL.RawQuery = "subject_token=x&audience=prod"
			req.Body, req.ContentLength = http.NoBody, 0
		}), status: 400, code: "invalid_request", reason: malformed, says: "query string"},
		{id: "A06 in JSON", only: jsonAlone, ask: asJSON(func(req *http.Request) { req.URL.RawQuery = "audience=prod" }), status: 400, code: "invalid_request", reason: malformed, says: "query string"},
		{id: "A08 in JSON", only: jsonAlone, ask: mediaType("application/json; charset=UTF-8")},
		{id: "A09 a form as JSON", only: jsonAlone, ask: mediaType("application/x-www-form-urlencoded"), status: 415, code: "invalid_request", reason: malformed},
		{id: "A09 multipart", only: jsonAlone, ask: mediaType("multipart/form-data; boundary=x"), status: 415, code: "invalid_request", reason: malformed},
		{id: "A11 in JSON", only: jsonAlone, ask: asJSON(func(*http.Request) {}, `{"subject_token":"\zz"}`), status: 400, code: "invalid_request", reason: malformed},
		{id: "A18 in JSON", only: jsonAlone, ask: asJSON(func(req *http.Request) { req.Header.Add("Authorization", req.Header.Get("Authorization")) }),
			status: 400, code: "invalid_request", reason: malformed, says: "Authorization"},
		{id: "GET of JSON", only: jsonAlone, ask: asJSON(func(req *http.Request) {
			req.Method, req.Body, req.ContentLength = http.MethodGet, nil, 0
		}), status: 405, code: "invalid_request", reason: exchange.ReasonMethodNotAllowed},
		{id: "A13", ask: change(func(r *request) { r.Params.Set("scope", "") })},
		{id: "A14", only: formOnly, ask: change(with("grant_type", "")), status: 400, code: "invalid_request", reason: malformed, says: "grant_type"},
		{id: "A14 unknown", only: formOnly, ask: change(with("grant_type", "client_credentials")), status: 400, code: "unsupported_grant_type", reason: exchange.ReasonGrantTypeUnsupported},
		{id: "A16", only: formOnly, ask: change(with("grant_type", exchange.GrantTypeTokenExchange+" client_credentials")), status: 400, code: "unsupported_grant_type", reason: exchange.ReasonGrantTypeUnsupported},
		{id: "A18", only: formOnly, ask: raw(func(w *world, form url.Values) *http.Request {
			req := authorized(w, form.Encode())
			req.Header.Add("Authorization", w.basicAuth("kong"))
			return req
		}), status: 400, code: "invalid_request", reason: malformed, says: "Authorization"},
		{id: "GET", only: formOnly, ask: raw(func(w *world, _ url.Values) *http.Request {
			req := authorized(w, "")
			req.Method, req.Body = http.MethodGet, nil
			req.ContentLength = 0
			return req
		}), status: 405, code: "invalid_request", reason: exchange.ReasonMethodNotAllowed},
		{id: "unknown parameters are ignored", only: formOnly, ask: change(func(r *request) { r.Params.Set("x_unknown", "1") })},
	})
}

// TestRowA10 is the request over the limit, where its length is announced: it is refused in our words.
func TestRowA10(t *testing.T) {
	t.Parallel()
	eachOf(t, singles, newWorld(t), "A10", func(t *testing.T, w *world) {
		// A scope is what every entrance has, and is refused by its length alone.
		a := w.Probe(with("scope", strings.Repeat("a", 300<<10)))
		if a.Code == codes.InvalidArgument { // the status that gRPC has for it
			a.Status = http.StatusRequestEntityTooLarge
		}
		mustRefuse(t, a, http.StatusRequestEntityTooLarge, "invalid_request", malformed)
		if !strings.Contains(a.Description, "larger than 262144 bytes") {
			t.Errorf("%s", a.Body)
		}
	})
}

// TestRowA10Endless is the body of which nobody said how long it is: the service doesn't read it to its end. That a gRPC
// message has a length that is looked at first, its own package's tests hold.
func TestRowA10Endless(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, mediaType := range map[string]string{"/oauth2/token": "application/x-www-form-urlencoded", "/v1/exchange": "application/json"} {
		const size = 64 << 20
		body := &counter{r: io.LimitReader(zeros{}, size)}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.sts.http+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1 // unknown to the service, so that it has to count
		req.Header.Set("Content-Type", mediaType)
		req.Header.Set("Authorization", w.basicAuth("kong"))
		a, err := w.try(req)
		if err == nil {
			mustRefuse(t, a, http.StatusRequestEntityTooLarge, "invalid_request", malformed)
		} else if !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
			t.Fatal(err) // cut off while still sending is a refusal, too
		}
		if sent := body.n.Load(); sent > size/4 {
			t.Errorf("%s: the service let %d of %d bytes in", path, sent, size)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

// counter counts what was sent; the client may still be sending when the answer is there.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func TestRowsB(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	twice := func(name string, values ...string) func(*world) request {
		return func(w *world) request {
			r := b0(w)
			if len(values) == 0 {
				values = []string{r.Params.Get(name), r.Params.Get(name)}
			}
			r.Params[name] = values
			return r
		}
	}
	bad := func(id string, ask func(*world) request) row {
		return row{id: id, ask: ask, status: 400, code: "invalid_request", reason: malformed}
	}
	jwt := string(exchange.TypeJWT)
	runRows(t, w, []row{
		bad("B01", twice("subject_token")),
		bad("B01 different", twice("subject_token", "a", "b")),
		bad("B01 type", twice("subject_token_type")),
		bad("B03", twice("actor_token", "a", "a")),
		bad("B03 type", twice("actor_token_type", jwt, jwt)),
		bad("B04", twice("requested_token_type", string(exchange.TypeAccessToken), string(exchange.TypeAccessToken))),
		of(formOnly, bad("B06 grant_type", twice("grant_type"))), // the API has neither of these two
		of(formOnly, bad("B06 client_secret", twice("client_secret", "x", "x"))),
		bad("B06 client_id", twice("client_id", "kong", "kong")),
		bad("B06 client_assertion", twice("client_assertion", "x", "x")),
		bad("B06 client_assertion_type", twice("client_assertion_type", "x", "x")),
		bad("B07", twice("scope", "", "model-serving")),
		bad("B07 requested_lifetime", twice("requested_lifetime", "600", "600")),
		{id: "B08", ask: twice("audience", "prod", "staging"), status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown},
		{id: "B09", ask: func(w *world) request {
			return twice("resource", w.dbx.URL(), "https://staging.cloud.databricks.example")(w)
		}, status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown},
		{id: "B10", ask: twice("audience", "prod", "prod")},
		{id: "B11", ask: func(w *world) request { return change(with("resource", w.dbx.URL()))(w) }},
		{id: "B12", ask: change(as("both"), with("resource", "https://staging.cloud.databricks.example")), status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown},
	})
}

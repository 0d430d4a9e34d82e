package e2e_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/lakegate/sts/exchange"
)

// awkward is a client whose id and secret need the encoding of RFC 6749 §2.3.1.
const (
	awkward       = "ga+te %way:1"
	awkwardSecret = "p:ä% +s=&"
)

func TestRowsH(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, s *setup) {
		c := w.client(awkward, nil)
		w.secrets[awkward] = awkwardSecret
		c["secret_sha256"] = list{digest(awkwardSecret)}
		s.config["clients"].(object)[awkward] = c
	})
	unauthorized := func(id string, ask func(*world) request, only []string) row {
		return row{id: id, ask: ask, only: only, status: 401, code: "invalid_client", reason: exchange.ReasonClientAuthenticationFailed, check: wantsBasic}
	}
	// basic sends the request's form with this Authorization header.
	basic := func(header string, pairs ...string) func(*world) request {
		return func(w *world) request {
			r := change(with(pairs...))(w)
			form := r.Params.Encode()
			r.Raw = func(w *world) *http.Request {
				req := w.FormRequest(form)
				req.Header.Set("Authorization", header)
				return req
			}
			return r
		}
	}
	encode := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	secret := func(s string) func(*request) { return func(r *request) { r.Secret = s } }
	header := func(name, value string) func(*request) {
		return func(r *request) { r.Header = http.Header{name: {value}} }
	}
	kong := w.basicAuth("kong")
	runRows(t, w, []row{
		unauthorized("H01", change(secret("wrong")), nil),
		unauthorized("H01 another client's", change(secret(w.secrets["stager"])), nil),
		unauthorized("H01 the digest", change(secret(digest(w.secrets["kong"]))), nil),
		unauthorized("H02", change(as("poster"), secret("wrong")), nil),
		{id: "H02 twin", only: formOnly, ask: change(as("poster"))},
		unauthorized("H03", change(as("nobody"), secret("wrong")), nil),
		unauthorized("H04", change(as("")), nil),
		unauthorized("H04 id alone", change(as(""), with("client_id", "kong")), formOnly),
		{id: "H05", ask: change(as(awkward))},
		unauthorized("H05 not encoded", basic(encode(awkward+":"+awkwardSecret)), formOnly),
		unauthorized("H05 not base64", basic("Basic !!!"), formOnly),
		unauthorized("H05 no colon", basic(encode("kong")), formOnly),
		unauthorized("another scheme", basic("Bearer "+w.secrets["kong"]), formOnly),
		{id: "H07", only: formOnly, ask: basic(kong, "client_id", "stager"), status: 400, code: "invalid_request", reason: malformed},
		{id: "H07 twin", only: formOnly, ask: basic(kong, "client_id", "kong")},
		{id: "H08", only: formOnly, ask: basic(kong, "client_assertion", "a.b.c", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), status: 400, code: "invalid_request", reason: malformed},
		{id: "H08 two secrets", only: formOnly, ask: basic(kong, "client_id", "kong", "client_secret", w.secrets["kong"]), status: 400, code: "invalid_request", reason: malformed},
		{id: "H09", only: formOnly, ask: func(w *world) request {
			r := b0(w)
			form := r.Params.Encode()
			r.Raw = func(w *world) *http.Request {
				req := w.FormRequest(form)
				req.URL.RawQuery = "client_id=kong&client_secret=" + url.QueryEscape(w.secrets["kong"])
				return req
			}
			return r
		}, status: 400, code: "invalid_request", reason: malformed},
		unauthorized("H18 basic for post", basic("Basic "+base64.StdEncoding.EncodeToString([]byte("poster:"+w.secrets["poster"]))), formOnly),
		unauthorized("H18 post for basic", func(w *world) request {
			return change(as(""), with("client_id", "kong", "client_secret", w.secrets["kong"]))(w)
		}, formOnly),
		unauthorized("H20", change(as(""), with("client_id", "kong"), header("X-Forwarded-Client-Cert", `Hash=00;Subject="CN=kong"`)), formOnly),
		{id: "H20 twin", only: formOnly, ask: change(header("X-Forwarded-Client-Cert", `Hash=00;Subject="CN=stager"`))},
		unauthorized("H22", func(w *world) request {
			return change(as(""), with("client_id", "kong", "client_assertion", w.Token(nil), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))(w)
		}, formOnly),
		unauthorized("H25", change(secret("wrong"), with("subject_token", "nonsense")), nil),
		unauthorized("order: client before parameters", change(secret("wrong"), with("subject_token", "")), nil),
		{id: "order: duplicates before client", only: formOnly, ask: change(secret("wrong"), func(r *request) { r.Params["scope"] = []string{"a", "b"} }), status: 400, code: "invalid_request", reason: malformed},
		{id: "order: grant type before duplicates", only: formOnly, ask: change(with("grant_type", "x"), func(r *request) { r.Params["scope"] = []string{"a", "b"} }), status: 400, code: "unsupported_grant_type", reason: exchange.ReasonGrantTypeUnsupported},
	})
}

func wantsBasic(t *testing.T, _ *world, a answer) {
	t.Helper()
	if a.Header == nil {
		return
	}
	if challenge := a.Header.Get("WWW-Authenticate"); len(challenge) < 6 || challenge[:6] != "Basic " {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
}

// TestRowH03 holds that an unknown client can't be told from a wrong secret.
func TestRowH03(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wrong := w.Ask(func(r *request) { r.Secret = "wrong" })
	unknown := w.Ask(as("nobody"), func(r *request) { r.Secret = "wrong" })
	if wrong.Error != unknown.Error || wrong.Description != unknown.Description || wrong.Reason != unknown.Reason || wrong.Status != unknown.Status {
		t.Errorf("they differ:\n%s\n%s", wrong.Body, unknown.Body)
	}
	names := func(a answer) []string {
		var names []string
		for name := range a.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	if !slices.Equal(names(wrong), names(unknown)) || wrong.Header.Get("WWW-Authenticate") != unknown.Header.Get("WWW-Authenticate") {
		t.Errorf("their headers differ: %v and %v", wrong.Header, unknown.Header)
	}
}

// TestRowH26 rotates a client's secret in the running service: old; old and new; new.
func TestRowH26(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	oldSecret, newOne := w.secrets["kong"], newSecret(t)
	status := func(secret string) int { return w.Ask(func(r *request) { r.Secret = secret }).Status }
	digests := func(secrets ...string) {
		var l list
		for _, s := range secrets {
			l = append(l, digest(s))
		}
		w.config["clients"].(object)["kong"].(object)["secret_sha256"] = l
		w.WriteConfig(w.config)
	}
	if got := [2]int{status(oldSecret), status(newOne)}; got != [2]int{200, 401} {
		t.Fatalf("before: %v", got)
	}
	digests(oldSecret, newOne)
	w.Eventually("the new secret is known", func() bool { return status(newOne) == 200 })
	if got := status(oldSecret); got != 200 {
		t.Errorf("the old secret within the overlap: %d", got)
	}
	digests(newOne)
	w.Eventually("the old secret is forgotten", func() bool { return status(oldSecret) == 401 })
	if got := status(newOne); got != 200 {
		t.Errorf("the new secret after the overlap: %d", got)
	}
}

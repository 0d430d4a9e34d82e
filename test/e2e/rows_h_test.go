package e2e_test

import (
	"encoding/base64"
	"maps"
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
	header := func(name, value string) func(*request) {
		return func(r *request) { r.Header = http.Header{name: {value}} }
	}
	unauthorized := func(id string, ask func(*world) request) row {
		return row{id: id, ask: ask, status: 401, code: "invalid_client", reason: exchange.ReasonClientAuthenticationFailed, check: wantsBasic}
	}
	// basic sends the request with this Authorization.
	basic := func(authorization string, pairs ...string) func(*world) request {
		return change(as(""), with(pairs...), header("Authorization", authorization))
	}
	inQuery := func(body func(w *world, r request) *http.Request) func(*world) request {
		return func(w *world) request {
			r := b0(w)
			r.Raw = func(w *world) *http.Request {
				req := body(w, r)
				req.URL.RawQuery = "client_id=kong&client_secret=" + url.QueryEscape(w.secrets["kong"])
				return req
			}
			return r
		}
	}
	encode := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	secret := func(s string) func(*request) { return func(r *request) { r.Secret = s } }
	kong := w.basicAuth("kong")
	runRows(t, w, []row{
		unauthorized("H01", change(secret("wrong"))),
		unauthorized("H01 another client's", change(secret(w.secrets["stager"]))),
		unauthorized("H01 the digest", change(secret(digest(w.secrets["kong"])))),
		of(formOnly, unauthorized("H02", change(as("poster"), secret("wrong")))),
		{id: "H02 twin", only: formOnly, ask: change(as("poster"))},
		unauthorized("H03", change(as("nobody"), secret("wrong"))),
		unauthorized("H04", change(as(""))),
		unauthorized("H04 id alone", change(as(""), with("client_id", "kong"))),
		{id: "H05", ask: change(as(awkward))},
		unauthorized("H05 not encoded", basic(encode(awkward+":"+awkwardSecret))),
		unauthorized("H05 not base64", basic("Basic !!!")),
		unauthorized("H05 no colon", basic(encode("kong"))),
		unauthorized("another scheme", basic("Bearer "+w.secrets["kong"])),
		{id: "H07", ask: basic(kong, "client_id", "stager"), status: 400, code: "invalid_request", reason: malformed},
		{id: "H07 twin", ask: basic(kong, "client_id", "kong")},
		{id: "H08", ask: basic(kong, "client_assertion", "a.b.c", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), status: 400, code: "invalid_request", reason: malformed},
		{id: "H08 two secrets", only: formOnly, ask: basic(kong, "client_id", "kong", "client_secret", w.secrets["kong"]), status: 400, code: "invalid_request", reason: malformed},
		{id: "H09", only: formOnly, ask: inQuery(func(w *world, r request) *http.Request { return w.FormRequest(r.Params.Encode()) }),
			status: 400, code: "invalid_request", reason: malformed},
		{id: "H09 in JSON", only: jsonAlone, ask: inQuery(func(w *world, r request) *http.Request { return w.JSONRequest("/v1/exchange", w.object(members(r))) }),
			status: 400, code: "invalid_request", reason: malformed},
		unauthorized("H18 basic for post", basic("Basic "+base64.StdEncoding.EncodeToString([]byte("poster:"+w.secrets["poster"])))),
		of(formOnly, unauthorized("H18 post for basic", change(as(""), with("client_id", "kong", "client_secret", w.secrets["kong"])))),
		unauthorized("H20", change(as(""), with("client_id", "kong"), header("X-Forwarded-Client-Cert", `Hash=00;Subject="CN=kong"`))),
		{id: "H20 twin", ask: change(header("X-Forwarded-Client-Cert", `Hash=00;Subject="CN=stager"`))},
		unauthorized("H22", func(w *world) request {
			return change(as(""), with("client_id", "kong", "client_assertion", w.Token(nil), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))(w)
		}),
		unauthorized("H25", change(secret("wrong"), with("subject_token", "nonsense"))),
		unauthorized("order: client before parameters", change(secret("wrong"), with("subject_token", ""))),
		{id: "order: duplicates before client", ask: change(secret("wrong"), func(r *request) { r.Params["scope"] = []string{"a", "b"} }), status: 400, code: "invalid_request", reason: malformed},
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
	eachEntrance(t, newWorld(t), "H03", func(t *testing.T, w *world) {
		wrong := w.Ask(func(r *request) { r.Secret = "wrong" })
		unknown := w.Ask(as("nobody"), func(r *request) { r.Secret = "wrong" })
		if wrong.Error != unknown.Error || wrong.Description != unknown.Description || wrong.Reason != unknown.Reason || wrong.Status != unknown.Status || wrong.Code != unknown.Code {
			t.Errorf("they differ:\n%s\n%s", wrong.Body, unknown.Body)
		}
		if !slices.Equal(slices.Sorted(maps.Keys(wrong.Header)), slices.Sorted(maps.Keys(unknown.Header))) || wrong.Header.Get("WWW-Authenticate") != unknown.Header.Get("WWW-Authenticate") {
			t.Errorf("their headers differ: %v and %v", wrong.Header, unknown.Header)
		}
	})
}

// TestRowH26 rotates a client's secret in the running service: old; old and new; new.
func TestRowH26(t *testing.T) {
	t.Parallel()
	rotating := newWorld(t)
	oldSecret := rotating.secrets["kong"]
	eachOf(t, singles, rotating, "H26", func(t *testing.T, w *world) {
		newOne := newSecret(t)
		w.said.addSecret(newOne)
		asking := func(secret string) func(*request) { return func(r *request) { r.Secret = secret } }
		is := func(secret string, status int) func() bool {
			return func() bool { return w.Probe(asking(secret)).Status == status }
		}
		digests := func(secrets ...string) {
			var l list
			for _, s := range secrets {
				l = append(l, digest(s))
			}
			w.config["clients"].(object)["kong"].(object)["secret_sha256"] = l
			w.WriteConfig(w.config)
		}
		refused := func(secret string) {
			t.Helper()
			mustRefuse(t, w.Ask(asking(secret)), 401, "invalid_client", exchange.ReasonClientAuthenticationFailed)
		}
		mustGrant(t, w.Ask(asking(oldSecret)), tenMinutes)
		refused(newOne)
		digests(oldSecret, newOne)
		w.Eventually("the new secret is known", is(newOne, 200))
		mustGrant(t, w.Ask(asking(oldSecret)), tenMinutes)
		mustGrant(t, w.Ask(asking(newOne)), tenMinutes)
		digests(newOne)
		w.Eventually("the old secret is forgotten", is(oldSecret, 401))
		mustGrant(t, w.Ask(asking(newOne)), tenMinutes)
		refused(oldSecret)
		digests(oldSecret)
		w.Eventually("all is as it was", is(oldSecret, 200))
	})
}

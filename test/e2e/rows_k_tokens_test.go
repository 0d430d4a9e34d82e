package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/testservice"
)

// live is what introspection tells of a token, in the words of both entrances.
type live struct {
	Active    bool           `json:"active"`
	Scope     string         `json:"scope"`
	ClientID  string         `json:"client_id"`
	TokenType string         `json:"token_type"`
	Exp       int64          `json:"exp"`
	Iat       int64          `json:"iat"`
	Sub       string         `json:"sub"`
	SubID     map[string]any `json:"sub_id"`
	Act       map[string]any `json:"act"`
}

// told is an answer to a request about a token.
type told struct {
	answer
	live live
}

// inquiries are the doors through which a client can ask about a token, or give it up.
var inquiries = []struct {
	name string
	ask  func(w *world, action string, r request) told
}{{"form", inquireByForm}, {"grpc", inquireByGRPC}}

func inquireByForm(w *world, action string, r request) told {
	w.t.Helper()
	form := url.Values{}
	for name, values := range r.Params {
		form[name] = values
	}
	basic := w.basic(r)
	if r.Client == "poster" {
		basic = ""
		form.Set("client_id", r.Client)
		form.Set("client_secret", w.secrets[r.Client])
	}
	req := w.FormRequest(form.Encode())
	req.URL.Path = map[string]string{"introspect": "/oauth2/introspect", "revoke": "/oauth2/revoke"}[action]
	if basic != "" {
		req.Header.Set("Authorization", basic)
	}
	a := told{answer: w.Do(req)}
	if a.Status == http.StatusOK && len(a.Body) > 0 {
		if err := json.Unmarshal(a.Body, &a.live); err != nil {
			w.t.Fatal(err)
		}
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Pragma") != "no-cache" {
		w.t.Errorf("%s: headers %v", action, a.Header)
	}
	return a
}

func inquireByGRPC(w *world, action string, r request) told {
	w.t.Helper()
	md := metadata.MD{}
	if basic := w.basic(r); basic != "" {
		md.Append("authorization", basic)
	}
	ctx := metadata.NewOutgoingContext(w.t.Context(), md)
	client := stsv1.NewTokenServiceClient(w.GRPC())
	var header, trailer metadata.MD
	var found *stsv1.IntrospectResponse
	var err error
	if action == "introspect" {
		found, err = client.Introspect(ctx, &stsv1.IntrospectRequest{Token: r.Params.Get("token"), TokenTypeHint: r.Params.Get("token_type_hint")}, grpc.Header(&header), grpc.Trailer(&trailer))
	} else {
		_, err = client.Revoke(ctx, &stsv1.RevokeRequest{Token: r.Params.Get("token"), TokenTypeHint: r.Params.Get("token_type_hint")}, grpc.Header(&header), grpc.Trailer(&trailer))
	}
	if err != nil {
		return told{answer: w.grpcAnswer(nil, err, header, trailer)}
	}
	a := told{answer: answer{Status: http.StatusOK}, live: live{
		Active: found.GetActive(), Scope: found.GetScope(), ClientID: found.GetClientId(), TokenType: found.GetTokenType(), Sub: found.GetSub(),
	}}
	if found.GetExp() != nil {
		a.live.Exp, a.live.Iat = found.GetExp().GetSeconds(), found.GetIat().GetSeconds()
	}
	if id := found.GetSubId(); id != nil {
		a.live.SubID = map[string]any{"format": id.GetFormat(), "iss": id.GetIss(), "sub": id.GetSub()}
	}
	if !a.live.Active && action == "introspect" && !cmp.Equal(protoJSON(w, found), "{}") {
		w.t.Errorf("an inactive token tells %s", protoJSON(w, found))
	}
	return a
}

// about asks about a token, as a client.
func about(token, client string) request {
	return request{Client: client, Params: url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}}
}

// introspect and revoke ask by the form.
func (w *world) introspect(token, client string) told {
	return inquireByForm(w, "introspect", about(token, client))
}

func (w *world) revoke(token, client string) told {
	return inquireByForm(w, "revoke", about(token, client))
}

// sharing lets all clients share the tokens of ml-inference.
func sharing(_ *world, s *setup) {
	principals, _ := s.policy["principals"].(object)
	principals["ml-inference"].(object)["isolation"] = "principal"
}

const inactive = `{"active":false}`

// TestRowsK03K04K05K07 are the rows of introspection and revocation, through both entrances, with the same records.
func TestRowsK03K04K05K07(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharing)
	records := map[string][]record{}
	for _, e := range inquiries {
		t.Run(e.name, func(t *testing.T) {
			covered.notes("K03 K04 K05 K07", e.name)
			already := len(w.inquired())
			ask := func(action, token, client string) told { t.Helper(); return e.ask(w, action, about(token, client)) }
			wantInactive := func(row, token, client string) {
				t.Helper()
				if a := ask("introspect", token, client); a.Status != http.StatusOK || a.live.Active || a.Body != nil && string(a.Body) != inactive {
					t.Errorf("%s: %d %s", row, a.Status, a.Body)
				}
			}
			mustRefuse(t, e.ask(w, "introspect", request{Params: url.Values{"token": {"x"}}}).answer, http.StatusUnauthorized, "invalid_client", exchange.ReasonClientAuthenticationFailed)
			wrong := about("x", "kong")
			wrong.Secret = "wrong"
			for _, action := range []string{"introspect", "revoke"} {
				a := e.ask(w, action, wrong)
				mustRefuse(t, a.answer, http.StatusUnauthorized, "invalid_client", exchange.ReasonClientAuthenticationFailed)
				if a.Header != nil && a.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("K03: %v", a.Header)
				}
				mustRefuse(t, ask(action, "", "kong").answer, http.StatusBadRequest, "invalid_request", exchange.ReasonRequestMalformed)
			}

			// A token that kong and tracker share, and one that is of one subject.
			asked := w.Now()
			shared := w.Ask(token(w.lasting(e.name, "data-eng")))
			mustGrant(t, shared, tenMinutes)
			if other := w.Ask(token(w.lasting(e.name, "data-eng")), as("tracker")); other.AccessToken != shared.AccessToken {
				t.Fatal("they don't share a token")
			}
			private := w.Ask(token(w.lasting(e.name, "private")))
			mustGrant(t, private, tenMinutes)

			wantInactive("K04 unknown", "unknown", "kong")
			wantInactive("K04 altered", shared.AccessToken+"x", "kong")
			wantInactive("K04 another client's", shared.AccessToken, "pinned")
			wantInactive("K04 the identity provider's own", w.Token(nil), "kong")
			got := ask("introspect", shared.AccessToken, "kong").live
			end := w.Exchange(shared.DecisionID).TrueExpiresAt.Unix()
			want := live{Active: true, Scope: "model-serving", ClientID: "kong", TokenType: "Bearer", Exp: end, Iat: got.Iat}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("K05: %s", diff)
			}
			if issued := time.Unix(got.Iat, 0); issued.After(w.Now()) || e.name == "form" && issued.Before(asked.Add(-2*time.Second)) {
				t.Errorf("K05: issued at %v", issued)
			}
			got = ask("introspect", private.AccessToken, "kong").live
			issuer := w.idp.Issuer("okta").URL()
			want = live{
				Active: true, Scope: "model-serving", ClientID: "kong", TokenType: "Bearer", Exp: w.Exchange(private.DecisionID).TrueExpiresAt.Unix(), Iat: got.Iat,
				Sub: e.name, SubID: map[string]any{"format": "iss_sub", "iss": issuer, "sub": e.name},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("K05 of one subject: %s", diff)
			}

			mustRefuse(t, ask("revoke", shared.AccessToken, "pinned").answer, http.StatusBadRequest, "unauthorized_client", exchange.ReasonClientNotAllowed)
			for _, unknown := range []string{"unknown", shared.AccessToken + "x"} {
				if a := ask("revoke", unknown, "kong"); a.Status != http.StatusOK || len(a.Body) != 0 {
					t.Errorf("revoking what is unknown: %d %s", a.Status, a.Body)
				}
			}
			if !ask("introspect", shared.AccessToken, "kong").live.Active {
				t.Error("K07: somebody else's revocation, or one of another text, ended it")
			}
			for range 2 { // once more is no error
				if a := ask("revoke", shared.AccessToken, "kong"); a.Status != http.StatusOK || len(a.Body) != 0 {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			wantInactive("K07 revoked", shared.AccessToken, "kong")
			if !ask("introspect", shared.AccessToken, "tracker").live.Active || w.Ask(token(w.lasting(e.name, "data-eng")), as("tracker")).AccessToken != shared.AccessToken {
				t.Error("K07: another client lost its token")
			}
			mints := w.mints()
			for range 3 {
				next := w.Ask(token(w.lasting(e.name, "data-eng")))
				mustGrant(t, next, tenMinutes)
				if next.AccessToken == shared.AccessToken {
					t.Error("K07: the client was handed the token that it gave up")
				}
			}
			if got := w.mints() - mints; got != 1 {
				t.Errorf("%d mints for one revocation", got)
			}
			records[e.name] = w.inquired()[already:]
		})
	}
	holdSameUses(t, w, records)

	// Expired, and then revoked: nothing to end.
	last := w.Ask()
	w.Move(11 * time.Minute)
	if a := w.introspect(last.AccessToken, "kong"); string(a.Body) != inactive {
		t.Errorf("K04 expired: %s", a.Body)
	}
	if a := w.revoke(last.AccessToken, "kong"); a.Status != http.StatusOK {
		t.Errorf("expired: %d %s", a.Status, a.Body)
	}
}

// inquired are the records of introspections and revocations.
func (w *world) inquired() (uses []record) {
	w.t.Helper()
	for _, r := range w.Of("admin") {
		if strings.HasPrefix(r.Action, "token.") {
			uses = append(uses, r)
		}
	}
	return uses
}

// holdSameUses holds that every entrance left the same records but for its name, and what must stand in them.
func holdSameUses(t *testing.T, w *world, by map[string][]record) {
	t.Helper()
	same := map[string][]record{}
	ends := 0
	for name, uses := range by {
		for _, r := range uses {
			if r.Entrance != name || r.Client == "" || r.Peer == "" || r.Outcome == "" {
				t.Errorf("recorded %+v", r)
			}
			if !r.TrueExpiresAt.IsZero() {
				ends++
				if r.Action != "token.revoke" || r.Outcome != "granted" || r.TrueExpiresAt.Before(w.Now()) {
					t.Errorf("recorded %+v", r)
				}
			}
			if r.Object != "" { // which token it is differs
				if len(r.Object) != hex.EncodedLen(sha256.Size) {
					t.Errorf("recorded %+v", r)
				}
				r.Object = "a token"
			}
			r.ID, r.Entrance, r.Time, r.TrueExpiresAt = "", "", time.Time{}, time.Time{}
			same[name] = append(same[name], r)
		}
	}
	if diff := cmp.Diff(same["form"], same["grpc"]); diff != "" || len(same["form"]) < 15 || ends != 2 {
		t.Errorf("%d records, %d ends; of form (-) and gRPC (+):\n%s", len(same["form"]), ends, diff)
	}
}

// TestInquiriesOverReplicas holds that what one replica handed out or was told every other knows, within 5 s, and after a
// restart.
func TestInquiriesOverReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, on(postgres.NewDatabase(t)), over(startRedis(t), "1s"), sharing)
	r := w.Replica()
	subject := token(w.lasting("ada", "data-eng"))
	first := w.Ask(subject)
	mustGrant(t, first, tenMinutes)
	mustGrant(t, r.Ask(subject, as("tracker")), tenMinutes)
	for _, replica := range []*world{w, r} {
		for _, client := range []string{"kong", "tracker"} {
			if a := replica.introspect(first.AccessToken, client); !a.live.Active || a.live.ClientID != client || a.live.Scope != "model-serving" {
				t.Errorf("%s: %s", client, a.Body)
			}
		}
		if a := replica.introspect(first.AccessToken, "pinned"); string(a.Body) != inactive {
			t.Errorf("K04: %s", a.Body)
		}
		mustRefuse(t, replica.revoke(first.AccessToken, "pinned").answer, http.StatusBadRequest, "unauthorized_client", exchange.ReasonClientNotAllowed)
	}

	// kong gives it up where it didn't get it.
	if a := r.revoke(first.AccessToken, "kong"); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	revoked := time.Now()
	if a := r.introspect(first.AccessToken, "kong"); string(a.Body) != inactive {
		t.Errorf("K07, here at once: %s", a.Body)
	}
	w.Eventually("it is ended on the other replica", func() bool { return string(w.introspect(first.AccessToken, "kong").Body) == inactive })
	if took := time.Since(revoked); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	mints := w.mints()
	second := w.Ask(subject)
	mustGrant(t, second, tenMinutes)
	for _, replica := range []*world{w, r, w.Replica()} {
		if a := replica.Ask(subject); a.AccessToken != second.AccessToken || a.AccessToken == first.AccessToken {
			t.Errorf("a replica hands out another token: %d %s", a.Status, a.Reason)
		}
	}
	if got := w.mints() - mints; got != 1 {
		t.Errorf("%d mints for one revocation", got)
	}

	// A replica that starts anew knows both: what was handed out by Redis, what was given up by the ledger.
	w.revoke(second.AccessToken, "kong")
	w.sts.Stop(t)
	w.Start()
	if a := w.introspect(second.AccessToken, "kong"); string(a.Body) != inactive {
		t.Errorf("after a restart: %s", a.Body)
	}
	if a := w.introspect(first.AccessToken, "tracker"); !a.live.Active {
		t.Errorf("after a restart: %s", a.Body)
	}
	if third := w.Ask(subject); third.AccessToken == first.AccessToken || third.AccessToken == second.AccessToken {
		t.Errorf("after a restart the client is handed what it gave up: %d", third.Status)
	}
}

// TestInquiriesWithoutRedis holds that nobody is told "not active", or "revoked", by who can't know.
func TestInquiriesWithoutRedis(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	w := newWorld(t, on(postgres.NewDatabase(t)), over(redis, "1s"))
	r := w.Replica()
	first := w.Ask()
	mustGrant(t, first, tenMinutes)
	redis.Kill()
	for _, action := range []string{"introspect", "revoke"} {
		for _, e := range inquiries {
			a := e.ask(r, action, about(first.AccessToken, "kong"))
			mustRefuse(t, a.answer, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonLedgerUnavailable)
		}
	}
	if a := w.introspect(first.AccessToken, "kong"); !a.live.Active {
		t.Errorf("who handed it out doesn't know: %s", a.Body)
	}
	later := w.Ask(token(w.lasting("eve", "etl"))) // handed out while Redis is away
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	r.Eventually("the other replica knows it when Redis is back", func() bool {
		return r.introspect(later.AccessToken, "kong").live.Active
	})
}

// TestRevocationWithoutTheLedger holds that what can't be stored is refused, and applied nowhere.
func TestRevocationWithoutTheLedger(t *testing.T) {
	t.Parallel()
	cluster := testservice.NewPostgres(t)
	w := newWorld(t, on(cluster.NewDatabase(t)))
	kept, ended := w.Ask(), w.Ask(token(w.lasting("eve", "etl")))
	if a := w.revoke(ended.AccessToken, "kong"); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	cluster.Stop()
	for _, e := range inquiries {
		mustRefuse(t, e.ask(w, "revoke", about(kept.AccessToken, "kong")).answer, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonLedgerUnavailable)
	}
	if a := w.introspect(kept.AccessToken, "kong"); !a.live.Active {
		t.Errorf("it is in force all the same: %s", a.Body)
	}
	if a := w.introspect(ended.AccessToken, "kong"); string(a.Body) != inactive {
		t.Errorf("what was known is forgotten: %s", a.Body)
	}
	w.Eventually("/readyz says so", func() bool {
		ready := w.Ready()
		return ready.HTTP == http.StatusOK && ready.Parts["revocations"].Status == "degraded"
	})
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	w.Eventually("it is well again", func() bool { return w.Ready().Status == "ok" })
	if a := w.introspect(kept.AccessToken, "kong"); !a.live.Active {
		t.Errorf("it was stored all the same: %s", a.Body)
	}
	if a := w.revoke(kept.AccessToken, "kong"); a.Status != http.StatusOK || w.introspect(kept.AccessToken, "kong").live.Active {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// TestRevocationSurvivesARestart is the same for a single replica, which forgets what it handed out, and not what was
// given up.
func TestRevocationSurvivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.Ask(), w.Ask(token(w.lasting("eve", "etl")))
	w.revoke(a.AccessToken, "kong")
	w.sts.Stop(t)
	w.Start()
	for _, token := range []string{a.AccessToken, b.AccessToken} {
		if got := w.introspect(token, "kong"); string(got.Body) != inactive {
			t.Errorf("after a restart: %s", got.Body)
		}
	}
	var details []string
	for _, r := range w.inquired() {
		details = append(details, r.Detail)
	}
	if diff := cmp.Diff([]string{"given up by this client", "given up by this client", "not known"}, details); diff != "" {
		t.Error(diff)
	}
}

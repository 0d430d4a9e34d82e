package identity_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity"
)

const opaqueToken = "ory_at_0123456789.abcdef-_~+/=="

func TestIntrospection(t *testing.T) {
	const (
		invalid = exchange.ReasonSubjectTokenInvalid
		expired = exchange.ReasonSubjectTokenExpired
		down    = exchange.ReasonProviderUnavailable
		bound   = exchange.ReasonSenderConstrained
	)
	c := newClock()
	o := newOracle(t, c)
	for _, test := range []struct {
		name   string
		change func(object)
		want   exchange.Reason
	}{
		{"good", nil, ""},
		{"C13 not active", set("active", false), invalid},
		{"C13 not active, and nothing else", func(a object) { clear(a); a["active"] = false }, invalid},
		{"active as a string", set("active", "true"), down},
		{"active as a number", set("active", 1), down},
		{"active as null", set("active", nil), down},
		{"no active", drop("active"), down},
		{"C15 another issuer", set("iss", issuer+"/"), invalid},
		{"C15 an issuer that is no string", set("iss", []string{issuer}), invalid},
		{"no issuer: its own", drop("iss"), ""},
		{"C15 another audience", set("aud", "api://other"), invalid},
		{"C15 no audience", drop("aud"), invalid},
		{"an audience of numbers", set("aud", []any{1, audience}), invalid},
		{"no expiry", drop("exp"), invalid},
		{"expired this second", in("exp", 0), expired},
		{"an expiry as a string", set("exp", "2000000000"), invalid},
		{"no iat", drop("iat"), invalid},
		{"too old", in("iat", -90000), expired},
		{"not valid yet", in("nbf", 31), exchange.ReasonSubjectTokenNotYetValid},
		{"valid within the leeway", in("nbf", 29), ""},
		{"no subject", drop("sub"), invalid},
		{"an empty subject", set("sub", ""), invalid},
		{"a client that is no string", set("client_id", 7), invalid},
		{"bound by DPoP", set("cnf", object{"jkt": "x"}), bound},
		{"of type DPoP", set("token_type", "DPoP"), bound},
		{"of type MAC", set("token_type", "mac"), invalid},
		{"of a type that is no string", set("token_type", true), invalid},
		{"bearer in small letters", set("token_type", "bearer"), ""},
		{"no type", drop("token_type"), ""},
		{"Hydra's access token", set("token_use", "access_token"), ""},
		{"Hydra's refresh token", set("token_use", "refresh_token"), invalid},
		{"Keycloak's refresh token", set("typ", "Refresh"), invalid},
		{"Keycloak's ID token", set("typ", "ID"), invalid},
		{"groups that are none", set("groups", "ml"), exchange.ReasonGroupsMalformed},
	} {
		o.says(test.change)
		got, err := present(t, newPool(t, c, o.provider()), opaqueToken)
		wantReason(t, test.name, err, test.want)
		if err == nil && (got.Subject != "alice" || got.Issuer != issuer || got.Party != "gateway-web" || got.Claims["iss"] != issuer) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// TestIntrospectionTrouble holds that no trouble of the provider's is a token's fault, or an answer, or remembered.
func TestIntrospectionTrouble(t *testing.T) {
	const media = "application/json"
	c := newClock()
	o := newOracle(t, c)
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{o.provider()}, FetchTimeout: 200 * time.Millisecond})
	good := `{"active":true,"sub":"alice","aud":"` + audience + `","iat":1795521600,"exp":1795523400`
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		{"400", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }},
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }},
		{"403", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}},
		{"a page", says("text/html", good+"}")},
		{"a signed answer", says("application/token-introspection+jwt", "a.b.c")},
		{"cut off", says(media, good)},
		{"twice active", says(media, good+`,"active":true}`)},
		{"more behind it", says(media, good+`} {}`)},
		{"an array", says(media, `[`+good+`}]`)},
		{"deep", says(media, good+`,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+"}")},
		{"larger than 128 KiB", says(media, good+`,"x":"`+strings.Repeat("x", 128<<10)+`"}`)},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		o.do(func() { o.handle = test.handle })
		_, err := present(t, pool, opaqueToken)
		wantReason(t, test.name, err, exchange.ReasonProviderUnavailable)
		if e := exchange.AsError(err); e.Code != exchange.CodeUnavailable || e.RetryAfter <= 0 || !strings.Contains(e.Message, "opaque") {
			t.Errorf("%s: %+v", test.name, e)
		}
		if healthy := pool.Health() == nil; healthy != (test.name == "400") {
			t.Errorf("%s: healthy is %v", test.name, healthy)
		}
		o.says(nil)
		if _, err := present(t, pool, opaqueToken); err != nil {
			t.Errorf("after %s: %v", test.name, err)
		}
		if err := pool.Health(); err != nil {
			t.Errorf("after %s: %v", test.name, err)
		}
		c.move(31 * time.Second) // nothing of the good answer is left
	}
}

// TestAKeptConnectionThatWasClosed holds that a provider may close a connection while we ask again by it.
func TestAKeptConnectionThatWasClosed(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	pool := newPool(t, c, o.provider())
	if _, err := present(t, pool, opaqueToken); err != nil {
		t.Fatal(err)
	}
	o.do(func() {
		o.handle = func(http.ResponseWriter, *http.Request) {
			o.says(nil)
			panic(http.ErrAbortHandler)
		}
	})
	_, err := present(t, pool, "another")
	wantReason(t, "asked again", err, "")
}

func says(media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, body)
	}
}

// TestAnswersAreKeptForHalfAMinute holds how long an answer that a token is active is believed, and that one that it isn't
// is not kept at all.
func TestAnswersAreKeptForHalfAMinute(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	registry := prometheus.NewPedanticRegistry()
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{o.provider()}, Metrics: registry})
	step := func(what string, asked int, want exchange.Reason) {
		t.Helper()
		_, err := present(t, pool, opaqueToken)
		wantReason(t, what, err, want)
		if got := len(o.tokens()); got != asked {
			t.Errorf("%s: asked %d times, want %d", what, got, asked)
		}
	}
	step("first", 1, "")
	o.says(set("active", false)) // it was revoked
	c.move(29 * time.Second)
	step("at once", 1, "")
	c.move(time.Second)
	step("after 30 s", 2, exchange.ReasonSubjectTokenInvalid)
	step("not active", 3, exchange.ReasonSubjectTokenInvalid)
	o.says(in("exp", 40)) // counted from 12:00:00, so that 10 s of it are left
	step("for 10 s", 4, "")
	c.move(9 * time.Second)
	step("to its end", 4, "")
	c.move(time.Second)
	step("past its end", 5, exchange.ReasonSubjectTokenExpired)
	o.says(nil)
	step("again", 6, "")
	c.move(-time.Hour)
	step("our clock was set back", 7, exchange.ReasonSubjectTokenNotYetValid)
	for name, want := range map[string]float64{
		"sts_identity_introspections_total opaque active":   5,
		"sts_identity_introspections_total opaque inactive": 2,
	} {
		if got := gather(t, registry)[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// TestATokenIsShownToItsProviderAlone holds who is asked about what.
func TestATokenIsShownToItsProviderAlone(t *testing.T) {
	c := newClock()
	signer, rest, ory, oryLong := newIDP(t, c), newOracle(t, c), newOracle(t, c), newOracle(t, c)
	named := func(o *oracle, name, prefix string) identity.Provider {
		p := o.provider()
		p.Name, p.Issuer, p.Introspection.Prefix = name, "https://"+name+".example", prefix
		o.says(set("iss", p.Issuer))
		return p
	}
	all := []identity.Provider{signer.provider(), named(rest, "rest", ""), named(ory, "ory", "ory_"), named(oryLong, "ory-long", "ory_at_")}
	unsigned := signText(t, signer.key, `{"alg":"none"}`, `{"iss":"https://rest.example"}`)
	header, _, _ := strings.Cut(unsigned, ".")
	for _, test := range []struct {
		name  string
		token string
		typ   exchange.TokenType
		to    *oracle
		want  exchange.Reason
	}{
		{"without a prefix", "0123456789abcdef", exchange.TypeAccessToken, rest, ""},
		{"the prefix", "ory_ac_x", exchange.TypeAccessToken, ory, ""},
		{"the longer prefix", "ory_at_x", exchange.TypeAccessToken, oryLong, ""},
		{"dots make no JWT", "ya29.a0.x", exchange.TypeAccessToken, rest, ""},
		{"a JSON object makes none either", "eyJhIjoxfQ", exchange.TypeAccessToken, rest, ""},
		{"a JWT by its iss", unsigned, exchange.TypeAccessToken, rest, ""},
		{"a JWT of a provider with keys", signer.good(t), exchange.TypeAccessToken, nil, ""},
		{"the same, and something behind it", signer.good(t) + ".x", exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"the same, broken off", signer.good(t)[:60], exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"the same, padded", "=" + signer.good(t), exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"the same, quoted", `"` + signer.good(t) + `"`, exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"the same, after Bearer", "Bearer " + signer.good(t), exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"a JWE", header + ".a.b.c.d", exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"C10 as a JWT", "0123456789abcdef", exchange.TypeJWT, nil, exchange.ReasonSubjectTokenInvalid},
		{"C10 as an ID token", "0123456789abcdef", exchange.TypeIDToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"a JWT as a type that isn't asked about", unsigned, exchange.TypeJWT, nil, exchange.ReasonTokenTypeUnsupported},
		{"control characters", "abc\x00def", exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"beyond ASCII", "abcdéf", exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"too large", strings.Repeat("x", 16<<10+1), exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"as large as may be", strings.Repeat("x", 16<<10), exchange.TypeAccessToken, rest, ""},
		{"empty", "", exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
		{"nothing but padding", "==", exchange.TypeAccessToken, nil, exchange.ReasonSubjectTokenInvalid},
	} {
		pool := newPool(t, c, all...)
		_, err := pool.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(test.token), Type: test.typ}, exchange.UseSubject)
		wantReason(t, test.name, err, test.want)
		for _, o := range []*oracle{rest, ory, oryLong} {
			o.mu.Lock()
			if asked := len(o.asked) > 0; asked != (o == test.to) {
				t.Errorf("%s: shown to %s: %v", test.name, o.url, o.asked)
			}
			o.asked = nil
			o.mu.Unlock()
		}
	}
	_, err := present(t, newPool(t, c, all[2]), "dapi0123")
	wantReason(t, "no prefix fits", err, exchange.ReasonIssuerUnknown)
}

// TestManyPresentOne holds that one token is asked about once, and that garbage doesn't become a flood.
func TestManyPresentOne(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	registry := prometheus.NewPedanticRegistry()
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{o.provider()}, Metrics: registry, MaxWait: 20 * time.Second, FetchTimeout: 20 * time.Second})
	release, arrived := make(chan struct{}), make(chan struct{}, 1000)
	answer := o.answer
	o.do(func() {
		o.handle = func(w http.ResponseWriter, _ *http.Request) {
			arrived <- struct{}{}
			<-release
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer)
		}
	})
	var wg sync.WaitGroup
	ask := func(token string, want exchange.Reason) {
		wg.Go(func() {
			_, err := pool.Verify(context.Background(), exchange.Presented{Token: exchange.Secret(token), Type: exchange.TypeAccessToken}, exchange.UseSubject)
			wantReason(t, token, err, want)
		})
	}
	for range 50 {
		ask("one", "")
	}
	<-arrived
	for i := range 255 {
		ask("another"+strings.Repeat("x", i), "")
	}
	for range 31 {
		<-arrived
	}
	for pool.Inquiries("opaque") < 256 {
		time.Sleep(time.Millisecond)
	}
	if _, err := present(t, pool, "one too many"+"x"); reasonOf(err) != exchange.ReasonSubjectTokenInvalid {
		t.Errorf("a text with spaces: %v", err)
	}
	_, err := present(t, pool, "one-too-many")
	wantReason(t, "one too many", err, exchange.ReasonProviderUnavailable)
	if n := len(arrived); n != 0 {
		t.Errorf("%d calls more than 32 at once", n)
	}
	close(release)
	wg.Wait()
	if got := len(o.tokens()); got != 256 {
		t.Errorf("asked %d times, want 256", got)
	}
	if got := gather(t, registry)["sts_identity_introspections_total opaque overloaded"]; got != 1 {
		t.Errorf("overloaded %v times, want 1", got)
	}
}

// TestACallerMayLeave holds that his own deadline is nobody else's, and that the answer is there for the next.
func TestACallerMayLeave(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	pool := newPool(t, c, o.provider())
	release := make(chan struct{})
	answer := o.answer
	o.do(func() {
		o.handle = func(w http.ResponseWriter, _ *http.Request) {
			<-release
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pool.Verify(ctx, exchange.Presented{Token: opaqueToken, Type: exchange.TypeAccessToken}, exchange.UseSubject)
	wantReason(t, "who left", err, "caller")
	close(release)
	if _, err := present(t, pool, opaqueToken); err != nil {
		t.Errorf("who stays: %v", err)
	}
}

// TestAProbeTellsBeforeAUserComes holds that a wrong credential shows by itself, once in the log and as long as it lasts
// in the health, and that a provider that has come back is soon known to be well.
func TestAProbeTellsBeforeAUserComes(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	wrong := o.provider()
	wrong.Introspection.ClientSecret = "of yesterday"
	var log strings.Builder
	pool, err := identity.New(identity.Config{Now: c.Now, Providers: []identity.Provider{wrong}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	pool.RefreshDue()
	if err := pool.Health(); err == nil || !strings.Contains(err.Error(), "opaque") || !strings.Contains(err.Error(), "credential") {
		t.Errorf("health is %v", err)
	}
	pool.RefreshDue()
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Contains(text, "yesterday") {
		t.Errorf("the log says %s", text)
	}
	prepared, err := pool.Prepare([]identity.Provider{o.provider()})
	if err != nil {
		t.Fatal(err)
	}
	prepared.Commit()
	pool.RefreshDue()
	if err := pool.Health(); err != nil {
		t.Errorf("with the right secret: %v", err)
	}
	o.answers(http.StatusOK, "application/json", `{"active":true}`)
	c.move(10 * time.Minute)
	pool.RefreshDue()
	if err := pool.Health(); err == nil || !strings.Contains(err.Error(), "nobody issued") {
		t.Errorf("an endpoint that knows every token: %v", err)
	}
	o.says(nil)
	c.move(2 * time.Second)
	pool.RefreshDue()
	if err := pool.Health(); err != nil {
		t.Errorf("mended: %v", err)
	}
	if asked := o.tokens(); len(asked) != 0 {
		t.Errorf("tokens were shown: %v", asked)
	}
}

// TestIntrospectionOnce holds that an opaque token can be for a single use, by the jti of the answer.
func TestIntrospectionOnce(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	once := o.provider()
	once.SingleUse = true
	marks := &memoryOnce{}
	pool := newPoolOf(t, identity.Config{Now: c.Now, Providers: []identity.Provider{once}, Once: marks})
	_, err := present(t, pool, opaqueToken)
	wantReason(t, "first", err, "")
	_, err = present(t, pool, opaqueToken)
	wantReason(t, "second", err, exchange.ReasonSubjectTokenReplayed)
	o.says(drop("jti"))
	_, err = present(t, pool, "another")
	wantReason(t, "without a jti", err, exchange.ReasonSubjectTokenInvalid)
}

// memoryOnce marks without end.
type memoryOnce struct{ marks sync.Map }

func (m *memoryOnce) Claim(_ context.Context, key string, _, _ time.Time) (bool, error) {
	_, there := m.marks.LoadOrStore(key, true)
	return !there, nil
}

// TestIntrospectionSettings holds what is refused in them.
func TestIntrospectionSettings(t *testing.T) {
	c := newClock()
	o := newOracle(t, c)
	for want, change := range map[string]func(*identity.Provider){
		"introspection.endpoint must be an https URL": func(p *identity.Provider) { p.Introspection.Endpoint = "http://idp.example/introspect" },
		"needs a client_id and a secret":              func(p *identity.Provider) { p.Introspection.ClientSecret = "" },
		"prefix has characters":                       func(p *identity.Provider) { p.Introspection.Prefix = "a b" },
		"access_token is not among":                   func(p *identity.Provider) { p.TokenTypes = []exchange.TokenType{exchange.TypeIDToken} },
		"JWT-SVIDs":                                   func(p *identity.Provider) { p.TrustDomain = "acme.example" },
	} {
		p := o.provider()
		change(&p)
		if _, err := identity.New(identity.Config{Providers: []identity.Provider{p}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	first, second := o.provider(), o.provider()
	second.Name, second.Issuer = "second", "https://second.example"
	if _, err := identity.New(identity.Config{Providers: []identity.Provider{first, second}}); err == nil || !strings.Contains(err.Error(), "introspection.prefix") {
		t.Errorf("two without a prefix: %v", err)
	}
}

// FuzzIntrospectionAnswer: whatever an endpoint answers, a token is accepted only if encoding/json, which is looser, also
// reads that it is active, for us, of alice and not over; and whatever is wrong with an answer is no fault of the service.
func FuzzIntrospectionAnswer(f *testing.F) {
	c := newClock()
	o := newOracle(f, c)
	good, _ := json.Marshal(o.answer)
	text := string(good)
	for _, seed := range []string{
		text, `{"active":false}`, "{}", "", "null", text + "x", strings.Replace(text, "true", `"true"`, 1), strings.Replace(text, `"active"`, `"Active"`, 1),
		strings.Replace(text, `"active":true`, `"active":false,"active":true`, 1), strings.Replace(text, `"alice"`, `"alice\u0000"`, 1), strings.Replace(text, audience, "other", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o.answers(http.StatusOK, "application/json", text)
		got, err := present(t, newPool(t, c, o.provider()), opaqueToken)
		if err != nil {
			if e := exchange.AsError(err); e.Code != exchange.CodeInvalidRequest && e.Code != exchange.CodeUnavailable {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		var loose map[string]any
		if err := json.Unmarshal([]byte(text), &loose); err != nil {
			t.Fatalf("%q is accepted, and is no JSON: %v", text, err)
		}
		audiences, isArray := loose["aud"].([]any)
		if !isArray {
			audiences = []any{loose["aud"]}
		}
		exp, _ := loose["exp"].(float64)
		if loose["active"] != true || loose["sub"] != got.Subject || exp <= float64(c.Now().Unix()) || !slices.Contains(audiences, any(audience)) {
			t.Errorf("%q is accepted as %s", text, got.Subject)
		}
	})
}

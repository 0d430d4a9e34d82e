package e2e_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/graph"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// The ids of Entra ID's world.
const (
	acmeTenant    = "00000000-1111-2222-3333-444444444444"
	globexTenant  = "11111111-2222-3333-4444-555555555555"
	foreignTenant = "22222222-3333-4444-5555-666666666666"
	adaObject     = "aaaaaaaa-0000-4000-8000-000000000001"
	robotObject   = "aaaaaaaa-0000-4000-8000-000000000002"
	engineers     = "bbbbbbbb-0000-4000-8000-000000000001"
	contractors   = "bbbbbbbb-0000-4000-8000-000000000002"
)

// The platform that runs the service, as Entra ID knows it.
const (
	platformIssuer = "https://oidc.clusters.example/acme"
	serviceAccount = "system:serviceaccount:lakegate:sts"
)

// people is a world whose people come from Okta, Keycloak, Google and Entra ID, each with its preset and in its dialect.
type people struct {
	*world
	okta, realm, partners, google *idp.Issuer
	provider                      *idp.Server
	entra                         *idp.Entra
	directory                     *graph.Server
}

func newPeople(t *testing.T) *people {
	t.Helper()
	p := &people{}
	newWorld(t, p.join)
	t.Cleanup(p.tell)
	return p
}

// join is a change of a world that has these people, too.
func (p *people) join(w *world, s *setup) {
	p.world = w
	p.start(w.t)
	p.configure(s)
}

// tell makes the providers' secrets known to the scan, which comes after it.
func (p *people) tell() {
	p.said.mu.Lock()
	defer p.said.mu.Unlock()
	p.said.secrets = append(p.said.secrets, append(append(p.provider.Secrets(), p.entra.Secrets()...), p.directory.Secrets()...)...)
}

// over is ada in more groups than a token carries.
func (p *people) over() idp.EntraUser {
	p.directory.Put(acmeTenant, adaObject, engineers)
	ada := entraUser(acmeTenant)
	ada.Overage = true
	return ada
}

// start starts the providers.
func (p *people) start(t *testing.T) {
	t.Helper()
	now := emulator.FileClock(p.clock)
	var err error
	p.provider, err = idp.New(idp.Config{Now: now, Issuers: []idp.IssuerConfig{
		idp.OktaIssuer("default", "api://lakegate"), idp.KeycloakIssuer("acme", "lakegate"), idp.KeycloakIssuer("partners", "lakegate"), idp.GoogleIssuer(),
		{Name: "platform", Issuer: platformIssuer, Algorithms: []string{"RS256"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if p.entra, err = idp.NewEntra(idp.Config{Now: now}); err != nil {
		t.Fatal(err)
	}
	secret := newSecret(t)
	p.WriteFile("graph.secret", secret+"\n")
	p.directory = graph.New(graph.Config{
		Now: now, ClientID: "lakegate-groups", ClientSecret: secret, Tenants: []string{acmeTenant, globexTenant},
		Federated: &graph.Federated{Issuer: platformIssuer, Subject: serviceAccount, Keys: p.provider.Issuer("platform").JWKS},
	})
	for _, s := range []interface {
		Start() (string, error)
		Close()
	}{p.provider, p.entra, p.directory} {
		if _, err := s.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
	}
	p.okta, p.realm, p.partners, p.google = p.provider.Issuer("oauth2/default"), p.provider.Issuer("realms/acme"), p.provider.Issuer("realms/partners"), p.provider.Issuer("google")
}

// configure is what a customer writes.
func (p *people) configure(s *setup) {
	providers, _ := s.config["identity_providers"].(object)
	providers["okta-people"] = object{"preset": "okta", "issuer": p.okta.URL(), "audiences": list{"api://lakegate", "gateway-web"}}
	providers["keycloak"] = object{"preset": "keycloak", "issuer": p.realm.URL(), "audiences": list{"lakegate", "gateway-web"}, "roles_claim": "groups"}
	providers["partners"] = object{"preset": "keycloak", "issuer": p.partners.URL(), "audiences": list{"lakegate"}, "groups_claim": "/resource_access/lakegate.api~1v1/roles"}
	providers["google"] = object{"preset": "google", "issuer": p.google.URL(), "audiences": list{"gateway-web", "https://sts.acme.example"}}
	providers["entra"] = object{
		"preset": "entra", "issuer": p.entra.IssuerOf("{tenantid}", true), "tenants": list{acmeTenant, globexTenant}, "audiences": list{"api://lakegate"},
		"roles_claim": "roles", "groups_overage": "graph",
		"graph": object{"client_id": "lakegate-groups", "client_secret_file": "graph.secret", "endpoint": p.directory.URL(), "authority": p.directory.URL()},
	}
	clients, _ := s.config["clients"].(object)
	clients["people"] = p.client("people", object{"identity_providers": list{"okta-people", "keycloak", "partners", "google", "entra"}})
	clients["web-people"] = p.client("web-people", object{"identity_providers": list{"okta-people", "keycloak", "google", "entra"}, "authorized_parties": list{"gateway-web"}})
	allow := func(id, provider, principal string, match object) object {
		match["issuer"] = list{provider}
		return object{"id": id, "owner": "tests", "match": match, "grant": object{"principal": principal, "lifetime": "10m"}}
	}
	any := func(names ...any) object { return object{"any": list(names)} }
	rules, _ := s.policy["rules"].(list)
	s.policy["rules"] = append(rules,
		allow("okta-engineers", "okta-people", "ml-inference", object{"groups": any("Data Engineers")}),
		allow("keycloak-roles", "keycloak", "ml-inference", object{"groups": any("data-engineer")}),
		allow("keycloak-groups", "keycloak", "etl", object{"groups": any("/platform/etl")}),
		allow("partners", "partners", "ml-inference", object{"groups": any("reader")}),
		allow("google-acme", "google", "ml-inference", object{"when": `claims.hd == "acme.example"`}),
		allow("google-job", "google", "etl", object{"subject": list{"117000000000000000001"}}),
		allow("entra-engineers", "entra", "ml-inference", object{"groups": any(engineers), "when": `claims.tid == "` + acmeTenant + `"`}),
		allow("entra-analysts", "entra", "etl", object{"groups": any("Analyst"), "when": `claims.tid in ["` + acmeTenant + `", "` + globexTenant + `"]`}),
		object{"id": "entra-contractors", "owner": "tests", "effect": "deny", "match": object{"issuer": list{"entra"}, "groups": any(contractors)}},
	)
}

// mint makes a token of a recipe as it is.
func (p *people) mint(recipe idp.Token) func(*request) {
	mint := p.provider.Mint
	if recipe.Issuer == "" {
		mint = p.entra.Mint
	}
	text, err := mint(recipe)
	if err != nil {
		p.t.Fatal(err)
	}
	return with("subject_token", text)
}

// become is the whole way: the token buys one of a principal, which Databricks takes.
func (p *people) become(t *testing.T, w *world, typ string, recipe idp.Token, principal, subject, issuer string) {
	t.Helper()
	a := w.Ask(as("people"), with("subject_token_type", typ), p.mint(recipe))
	if a.Status != http.StatusOK || a.AccessToken == "" {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	got := w.Exchange(a.DecisionID)
	if got.Principal != principal || got.Subject.Sub != subject || got.Subject.Issuer != issuer {
		t.Errorf("%s of %s became %s; want %s of %s, who becomes %s", got.Subject.Sub, got.Subject.Issuer, got.Principal, subject, issuer, principal)
	}
	if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
		t.Errorf("the endpoint answers %d", status)
	}
}

// refuse is a token that buys nothing.
func (p *people) refuse(t *testing.T, w *world, typ string, recipe idp.Token, reason exchange.Reason) {
	t.Helper()
	status, code := http.StatusBadRequest, "invalid_request"
	if reason == exchange.ReasonProviderUnavailable {
		status, code = http.StatusServiceUnavailable, "temporarily_unavailable"
	}
	mustRefuse(t, w.Ask(as("people"), with("subject_token_type", typ), p.mint(recipe)), status, code, reason)
}

// TestRowsP11F23PresetsOfPeople takes each provider's own tokens the whole way to Databricks, and some of them nowhere.
func TestRowsP11F23PresetsOfPeople(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	t.Run("keycloak", p.keycloak)
	t.Run("google", p.googleAccounts)
	t.Run("entra", p.entraTenants)
	p.Later()
	t.Run("okta, P11", func(t *testing.T) { eachEntrance(t, p.world, "P11", p.oktaTokens) })
	p.Later()
	t.Run("entra, F23", func(t *testing.T) { eachEntrance(t, p.world, "F23", p.overage) })
	t.Run("entra, without a secret", p.withoutSecret)
	t.Run("what the operator sees", p.shown)
}

// oktaTokens is one person in both kinds of token, by the id that is uid in one and sub in the other (row P11).
func (p *people) oktaTokens(t *testing.T, w *world) {
	ada := idp.OktaUser{ID: "00u1ada", Login: "ada@acme.example", Groups: []string{"Data Engineers", "Everyone"}}
	p.become(t, w, typeAccessToken, p.okta.OktaAccessToken(ada, "gateway-web"), "ml-inference", "00u1ada", p.okta.URL())
	p.become(t, w, typeIDToken, p.okta.OktaIDToken(ada, "gateway-web"), "ml-inference", "00u1ada", p.okta.URL())
	renamed := ada
	renamed.Login = "ada.lovelace@acme.example"
	p.become(t, w, typeAccessToken, p.okta.OktaAccessToken(renamed, "gateway-web"), "ml-inference", "00u1ada", p.okta.URL())

	p.refuse(t, w, typeIDToken, p.okta.OktaAccessToken(ada, "gateway-web"), exchange.ReasonSubjectTokenInvalid)
	p.refuse(t, w, typeAccessToken, p.okta.OktaIDToken(ada, "gateway-web"), exchange.ReasonSubjectTokenInvalid)
	p.refuse(t, w, typeAccessToken, p.okta.OktaServiceToken("0oa1job"), exchange.ReasonSubjectTokenInvalid)
	forOkta := p.okta.OktaAccessToken(ada, "gateway-web")
	forOkta.Header["typ"] = "application/okta-internal-at+jwt"
	p.refuse(t, w, typeAccessToken, forOkta, exchange.ReasonSubjectTokenInvalid)
	other := w.Ask(as("web-people"), with("subject_token_type", typeAccessToken), p.mint(p.okta.OktaAccessToken(ada, "another-app")))
	mustRefuse(t, other, http.StatusBadRequest, "invalid_request", exchange.ReasonPartyNotAuthorized)
}

func (p *people) keycloak(t *testing.T) {
	ada := idp.KeycloakUser{ID: "f0f7c9c4-0000-4000-8000-00000000ada1", Login: "ada", Roles: []string{"default-roles-acme", "data-engineer"}, Groups: []string{"/staff"}}
	p.become(t, p.world, typeAccessToken, p.realm.KeycloakToken("Bearer", ada, "gateway-web"), "ml-inference", ada.ID, p.realm.URL())
	job := idp.KeycloakUser{ID: "f0f7c9c4-0000-4000-8000-00000000ada2", Login: "job", Roles: []string{"default-roles-acme"}, Groups: []string{"/platform/etl"}}
	p.become(t, p.world, typeAccessToken, p.realm.KeycloakToken("Bearer", job, "gateway-web"), "etl", job.ID, p.realm.URL())
	partner := idp.KeycloakUser{ID: "f0f7c9c4-0000-4000-8000-00000000ada3", Login: "eve", ClientRoles: map[string][]string{"lakegate.api/v1": {"reader"}}}
	p.become(t, p.world, typeAccessToken, p.partners.KeycloakToken("Bearer", partner, "gateway-web"), "ml-inference", partner.ID, p.partners.URL())

	p.refuse(t, p.world, typeAccessToken, p.realm.KeycloakToken("ID", ada, "gateway-web"), exchange.ReasonSubjectTokenInvalid)
	p.refuse(t, p.world, typeIDToken, p.realm.KeycloakToken("Bearer", ada, "gateway-web"), exchange.ReasonSubjectTokenInvalid)
	for _, kind := range []string{"Refresh", "Offline", "Logout"} {
		recipe := p.realm.KeycloakToken(kind, ada, "gateway-web")
		recipe.Claims["aud"] = "lakegate"
		p.refuse(t, p.world, typeAccessToken, recipe, exchange.ReasonSubjectTokenInvalid)
	}
	p.refuse(t, p.world, typeIDToken, p.realm.KeycloakToken("ID", ada, "gateway-web"), exchange.ReasonGroupsOverage) // it has no roles of the realm, which says nothing about them
	forClient := p.realm.KeycloakToken("Bearer", ada, "gateway-web")
	forClient.Claims["aud"] = "account"
	p.refuse(t, p.world, typeAccessToken, forClient, exchange.ReasonSubjectTokenInvalid)
	nested := p.realm.KeycloakToken("Bearer", ada, "gateway-web")
	nested.Claims["realm_access"] = "data-engineer"
	p.refuse(t, p.world, typeAccessToken, nested, exchange.ReasonGroupsMalformed)
}

func (p *people) googleAccounts(t *testing.T) {
	become := func(recipe idp.Token, principal, subject string) {
		t.Helper()
		p.become(t, p.world, typeIDToken, recipe, principal, subject, p.google.URL())
	}
	become(p.google.GoogleIDToken("110000000000000000001", "ada@acme.example", "acme.example", "gateway-web"), "ml-inference", "110000000000000000001")
	become(p.google.GoogleServiceToken("117000000000000000001", "job@acme.iam.example", "https://sts.acme.example"), "etl", "117000000000000000001")

	p.refuse(t, p.world, typeIDToken, p.google.GoogleIDToken("110000000000000000002", "ada@acme.example", "", "gateway-web"), exchange.ReasonNoMatchingRule)
	p.refuse(t, p.world, typeIDToken, p.google.GoogleIDToken("110000000000000000002", "ada@acme.example", "evil.example", "gateway-web"), exchange.ReasonNoMatchingRule)
	p.refuse(t, p.world, typeIDToken, p.google.GoogleServiceToken("117000000000000000002", "job@evil.iam.example", "https://sts.acme.example"), exchange.ReasonNoMatchingRule)
	p.refuse(t, p.world, typeIDToken, p.google.GoogleServiceToken("117000000000000000001", "job@acme.iam.example", "https://other.example"), exchange.ReasonSubjectTokenInvalid)
	legacy := p.google.GoogleServiceToken("117000000000000000001", "job@acme.iam.example", "https://sts.acme.example")
	legacy.Claims["iss"] = strings.TrimPrefix(p.google.URL(), "http://")
	p.refuse(t, p.world, typeIDToken, legacy, exchange.ReasonIssuerUnknown)
}

// user is ada in a tenant of Entra ID.
func entraUser(tenant string, groups ...string) idp.EntraUser {
	return idp.EntraUser{Tenant: tenant, ID: adaObject, Login: "ada@acme.example", Groups: groups, Client: "gateway-web", Audience: "api://lakegate"}
}

func (p *people) entraTenants(t *testing.T) {
	ada := entraUser(acmeTenant, engineers)
	issuer := p.entra.IssuerOf(acmeTenant, true)
	p.become(t, p.world, typeAccessToken, p.entra.AccessToken(ada, true), "ml-inference", adaObject, issuer)
	p.become(t, p.world, typeAccessToken, p.entra.AccessToken(ada, false), "ml-inference", adaObject, issuer)
	analyst := entraUser(globexTenant)
	analyst.Groups, analyst.Roles = []string{}, []string{"Analyst"}
	p.become(t, p.world, typeAccessToken, p.entra.AccessToken(analyst, true), "etl", adaObject, p.entra.IssuerOf(globexTenant, true))

	p.refuse(t, p.world, typeAccessToken, p.entra.AccessToken(entraUser(globexTenant, engineers), true), exchange.ReasonNoMatchingRule)
	p.refuse(t, p.world, typeAccessToken, p.entra.AccessToken(entraUser(foreignTenant, engineers), true), exchange.ReasonIssuerUnknown)
	p.refuse(t, p.world, typeAccessToken, p.entra.AccessToken(entraUser(acmeTenant, engineers, contractors), true), exchange.ReasonDeniedByRule)
	lying := p.entra.AccessToken(entraUser(globexTenant, engineers), true)
	lying.Claims["tid"] = acmeTenant
	p.refuse(t, p.world, typeAccessToken, lying, exchange.ReasonSubjectTokenInvalid)
	p.refuse(t, p.world, typeAccessToken, p.entra.IDToken(ada, true), exchange.ReasonSubjectTokenInvalid)
	for _, v2 := range []bool{true, false} { // azp, appid
		other := ada
		other.Client = "another-app"
		a := p.Ask(as("web-people"), with("subject_token_type", typeAccessToken), p.mint(p.entra.AccessToken(other, v2)))
		mustRefuse(t, a, http.StatusBadRequest, "invalid_request", exchange.ReasonPartyNotAuthorized)
	}
}

// overage is somebody in more groups than a token carries (row F23): Microsoft Graph is asked, by our own credential.
func (p *people) overage(t *testing.T, w *world) {
	issuer := p.entra.IssuerOf(acmeTenant, true)
	ada := p.over()
	calls := func() int { return p.directory.Totals()[graph.UsersRoute].Calls }
	before := calls()
	p.become(t, w, typeAccessToken, p.entra.AccessToken(ada, true), "ml-inference", adaObject, issuer)
	p.become(t, w, typeAccessToken, p.entra.AccessToken(ada, false), "ml-inference", adaObject, issuer)
	if n := calls() - before; n != 1 {
		t.Errorf("Graph was asked %d times", n)
	}

	p.directory.Put(acmeTenant, adaObject, engineers, contractors)
	w.Move(2*time.Minute + time.Second)
	p.refuse(t, w, typeAccessToken, p.entra.AccessToken(ada, true), exchange.ReasonDeniedByRule)

	w.Move(5 * time.Minute)
	remove := p.directory.AddFault(emulator.Fault{Route: graph.UsersRoute, Status: http.StatusInternalServerError})
	p.refuse(t, w, typeAccessToken, p.entra.AccessToken(ada, true), exchange.ReasonProviderUnavailable)
	remove()
	p.directory.Put(acmeTenant, adaObject, engineers)
	p.become(t, w, typeAccessToken, p.entra.AccessToken(ada, true), "ml-inference", adaObject, issuer)

	robot := ada
	robot.ID, robot.Application = robotObject, true
	p.directory.PutApplication(acmeTenant, robotObject, engineers)
	p.become(t, w, typeAccessToken, p.entra.AccessToken(robot, true), "ml-inference", robotObject, issuer)
	for _, call := range p.entra.Calls() { // whose address the token's _claim_sources holds
		if strings.Contains(call.Path, "getMemberObjects") {
			t.Error("the endpoint that a token names was called")
		}
	}
}

// withoutSecret is a reload to a token of the platform's in place of our secret at Microsoft Graph. The file is read when
// it is used, and one that is no good is an outage.
func (p *people) withoutSecret(t *testing.T) {
	write := func(subject string) {
		p.WriteFile("graph.token", p.provider.MustMint(idp.Token{
			Issuer: "platform", Lifetime: 24 * time.Hour, Claims: map[string]any{"sub": subject, "aud": []string{graph.AssertionAudience}},
		})+"\n")
	}
	write("system:serviceaccount:lakegate:another")
	providers, _ := p.config["identity_providers"].(object)
	entra, _ := providers["entra"].(object)
	asked, _ := entra["graph"].(object)
	delete(asked, "client_secret_file")
	asked["client_assertion_file"] = "graph.token"
	p.WriteConfig(p.config)
	ask := func() int {
		return p.Ask(as("people"), with("subject_token_type", typeAccessToken), p.mint(p.entra.AccessToken(p.over(), true))).Status
	}
	p.Eventually("a token of another service account is refused", func() bool { return ask() == http.StatusServiceUnavailable })
	write(serviceAccount)
	if status := ask(); status != http.StatusOK {
		t.Errorf("with a token that Entra ID trusts: status %d", status)
	}
}

// shown is what config show prints of the presets, and what is measured.
func (p *people) shown(t *testing.T) {
	metrics := p.Metrics()
	for _, want := range []string{
		`sts_graph_calls_total{operation="groups",provider="entra",result="ok"}`, `sts_graph_calls_total{operation="groups",provider="entra",result="failed"}`,
		`sts_graph_calls_total{operation="token",provider="entra",result="ok"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("there is no %s", want)
		}
	}
	command := exec.Command(program, "config", "show", "--config", "sts.yaml")
	command.Dir = p.dir
	shown, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"preset: okta", "access_token: uid", "party_claims: [azp, client_id, cid]", "preset: keycloak", "groups_claim: realm_access.roles",
		"preset: google", "preset: entra", "tenants: [", "access_token: oid", "groups_overage: graph", "shared: true",
	} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("config show doesn't print %s", want)
		}
	}
}

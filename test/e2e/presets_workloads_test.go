package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// workloads is a world whose subjects are jobs of GitHub and GitLab, pods of a cluster and workloads of a trust domain, each
// with its preset and in its dialect. A pod and a workload are clients, too.
type workloads struct {
	*world
	ci             *idp.Server
	github, gitlab *idp.Issuer
	cluster        *idp.Kubernetes
	spire          *idp.SPIRE
}

const (
	jobAudience = "databricks" // of subjects' tokens, which is not our issuer
	gatewayPod  = "system:serviceaccount:lakegate:gateway"
)

func newWorkloads(t *testing.T) *workloads {
	t.Helper()
	p := &workloads{}
	p.world = newWorld(t, func(w *world, s *setup) {
		p.world = w
		p.start(t)
		p.configure(s)
	})
	t.Cleanup(func() { // before the scan
		p.said.mu.Lock()
		defer p.said.mu.Unlock()
		p.said.secrets = append(append(append(p.said.secrets, p.ci.Secrets()...), p.cluster.Secrets()...), p.spire.Secrets()...)
	})
	return p
}

func (p *workloads) start(t *testing.T) {
	t.Helper()
	now := emulator.FileClock(p.clock)
	var err error
	if p.ci, err = idp.New(idp.Config{Now: now, Issuers: []idp.IssuerConfig{idp.GitHubIssuer(), idp.GitLabIssuer()}}); err != nil {
		t.Fatal(err)
	}
	if p.cluster, err = idp.NewKubernetes(idp.Config{Now: now}); err != nil {
		t.Fatal(err)
	}
	if p.spire, err = idp.NewSPIRE(idp.Config{Now: now}, "acme.example"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []interface {
		Start() (string, error)
		Close()
	}{p.ci, p.cluster, p.spire} {
		if _, err := s.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
	}
	p.github, p.gitlab = p.ci.Issuer("github"), p.ci.Issuer("gitlab")
	p.WriteFile("cluster.crt", p.cluster.CA())
	expired, err := p.cluster.APIToken(-time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p.WriteFile("cluster.token", expired)
}

// configure is what a customer writes.
func (p *workloads) configure(s *setup) {
	providers, _ := s.config["identity_providers"].(object)
	providers["github"] = object{"preset": "github_actions", "issuer": p.github.URL(), "audiences": list{jobAudience}}
	providers["gitlab"] = object{"preset": "gitlab", "issuer": p.gitlab.URL(), "audiences": list{jobAudience}}
	providers["k8s"] = object{
		"preset": "kubernetes", "issuer": idp.KubernetesIssuer, "audiences": list{jobAudience},
		"jwks_uri": p.cluster.JWKSURI(), "jwks_ca_file": filepath.Join(p.dir, "cluster.crt"), "jwks_token_file": filepath.Join(p.dir, "cluster.token"),
	}
	providers["spire"] = object{"preset": "spiffe", "trust_domain": "acme.example", "audiences": list{jobAudience}, "jwks_uri": p.spire.BundleURI()}
	clients, _ := s.config["clients"].(object)
	clients["jobs"] = p.client("jobs", object{"identity_providers": list{"github", "gitlab", "k8s", "spire"}})
	federated := func(provider, subject string) object {
		return p.clientWithoutSecret(object{"auth_method": "federated_assertion", "assertion_provider": provider, "assertion_subject": subject}, nil)
	}
	clients["pod"] = federated("k8s", gatewayPod)
	clients["agent"] = federated("spire", "spiffe://acme.example/gateway")
	allow := func(id, provider string, match object) object {
		match["issuer"] = list{provider}
		return object{"id": id, "owner": "tests", "match": match, "grant": object{"principal": "etl", "lifetime": "10m"}}
	}
	rules, _ := s.policy["rules"].(list)
	s.policy["rules"] = append(rules,
		allow("github-main", "github", object{"subject": list{"repo:acme/*", "repo:acme@42/*"}, "when": `claims.repository_owner_id == "42" && claims.ref == "refs/heads/main"`}),
		allow("gitlab-protected", "gitlab", object{"subject": list{"project_path:acme/*"}, "when": `claims.namespace_id == "7" && claims.ref_protected == "true"`}),
		allow("pods", "k8s", object{"subject": list{"system:serviceaccount:data:etl"}, "when": `claims["kubernetes.io"].node.name == "node-a"`}),
		allow("workloads", "spire", object{"subject": list{"spiffe://acme.example/ns/data/*"}}),
	)
}

func (p *workloads) mint(mint func(idp.Token) (string, error), recipe idp.Token) string {
	p.t.Helper()
	text, err := mint(recipe)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// become is the whole way: the token buys one of etl, which Databricks takes.
func (p *workloads) become(t *testing.T, token, issuer, subject string) {
	t.Helper()
	a := p.Ask(as("jobs"), with("subject_token", token))
	if a.Status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", subject, a.Status, a.Body)
	}
	if got := p.Exchange(a.DecisionID); got.Principal != "etl" || got.Subject.Issuer != issuer || got.Subject.Sub != subject {
		t.Errorf("%s of %s became %s, want %s of %s", got.Subject.Sub, got.Subject.Issuer, got.Principal, subject, issuer)
	}
	if status := p.Invoke("churn", a.AccessToken); status != http.StatusOK {
		t.Errorf("%s: the endpoint answers %d", subject, status)
	}
}

func (p *workloads) refuse(t *testing.T, token string, reason exchange.Reason, says string) {
	t.Helper()
	a := p.Ask(as("jobs"), with("subject_token", token))
	mustRefuse(t, a, http.StatusBadRequest, "invalid_request", reason)
	if !strings.Contains(a.Description, says) {
		t.Errorf("%q doesn't say %q", a.Description, says)
	}
}

// TestRowH21PresetsOfWorkloads takes each platform's own tokens the whole way to Databricks, and some of them nowhere; and runs
// the rows about clients that authenticate by such tokens.
func TestRowH21PresetsOfWorkloads(t *testing.T) {
	t.Parallel()
	p := newWorkloads(t)
	t.Run("github", p.githubJobs)
	t.Run("gitlab", p.gitlabJobs)
	t.Run("kubernetes", p.pods)
	t.Run("spiffe", p.svids)
	p.Later()
	p.clientsWithoutSecrets(t)
}

func (p *workloads) githubJobs(t *testing.T) {
	job := idp.GitHubJob{Owner: "acme", OwnerID: "42", Repository: "etl", ID: "1001", Ref: "refs/heads/main", Audience: jobAudience}
	token := func(change func(*idp.GitHubJob)) string {
		changed := job
		change(&changed)
		return p.mint(p.ci.Mint, p.github.GitHubToken(changed))
	}
	p.become(t, token(func(*idp.GitHubJob) {}), p.github.URL(), "repo:acme/etl:ref:refs/heads/main")
	p.become(t, token(func(j *idp.GitHubJob) { j.ImmutableSubject = true }), p.github.URL(), "repo:acme@42/etl@1001:ref:refs/heads/main")
	p.become(t, token(func(j *idp.GitHubJob) { j.Environment = "production" }), p.github.URL(), "repo:acme/etl:environment:production")
	const no = exchange.ReasonNoMatchingRule
	p.refuse(t, token(func(j *idp.GitHubJob) { j.Owner = "acme-evil" }), no, "")
	p.refuse(t, token(func(j *idp.GitHubJob) { j.OwnerID = "43" }), no, "") // who took the name when it was free
	p.refuse(t, token(func(j *idp.GitHubJob) { j.Ref = "refs/heads/x" }), no, "")
	p.refuse(t, token(func(j *idp.GitHubJob) { j.Owner, j.OwnerID, j.Subject = "evil", "666", "environment:production" }), no, "")
	p.refuse(t, token(func(j *idp.GitHubJob) { j.Audience = "https://github.com/acme" }), exchange.ReasonSubjectTokenInvalid, "audience")
}

func (p *workloads) gitlabJobs(t *testing.T) {
	job := idp.GitLabJob{Namespace: "acme/data", NamespaceID: "7", Project: "etl", ProjectID: "77", Ref: "main", Protected: true, Audience: jobAudience}
	token := func(change func(*idp.GitLabJob)) string {
		changed := job
		change(&changed)
		return p.mint(p.ci.Mint, p.gitlab.GitLabToken(changed))
	}
	p.become(t, token(func(*idp.GitLabJob) {}), p.gitlab.URL(), "project_path:acme/data/etl:ref_type:branch:ref:main")
	const no = exchange.ReasonNoMatchingRule
	p.refuse(t, token(func(j *idp.GitLabJob) { j.Protected = false }), no, "")
	p.refuse(t, token(func(j *idp.GitLabJob) { j.Namespace = "acme-evil" }), no, "")
	p.refuse(t, token(func(j *idp.GitLabJob) { j.NamespaceID = "8" }), no, "")
	p.refuse(t, token(func(j *idp.GitLabJob) { j.Audience = "https://gitlab.example" }), exchange.ReasonSubjectTokenInvalid, "audience")
}

func (p *workloads) pods(t *testing.T) {
	pod := func(account, node, audience string) string {
		return p.mint(p.cluster.Mint, p.cluster.ServiceAccountToken(idp.Pod{Namespace: "data", ServiceAccount: account, Name: "etl-7d4b", Node: node}, audience))
	}
	// The cluster tells its keys to nobody whose token has expired.
	a := p.Ask(as("jobs"), with("subject_token", pod("etl", "node-a", jobAudience)))
	mustRefuse(t, a, http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonProviderUnavailable)
	fresh, err := p.cluster.APIToken(100 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p.WriteFile("cluster.token", fresh+"\n")
	p.Eventually("the new token is used", func() bool {
		return p.Probe(as("jobs"), with("subject_token", pod("etl", "node-a", jobAudience))).Status == http.StatusOK
	})
	p.become(t, pod("etl", "node-a", jobAudience), idp.KubernetesIssuer, "system:serviceaccount:data:etl")
	p.refuse(t, pod("etl", "node-b", jobAudience), exchange.ReasonNoMatchingRule, "")
	p.refuse(t, pod("other", "node-a", jobAudience), exchange.ReasonNoMatchingRule, "")
	p.refuse(t, pod("etl", "node-a", stsIssuer), exchange.ReasonSubjectTokenInvalid, "audience")
	p.refuse(t, p.mint(p.cluster.Mint, p.cluster.LegacyServiceAccountToken("data", "etl")), exchange.ReasonIssuerUnknown, "projected token")
}

func (p *workloads) svids(t *testing.T) {
	svid := func(path string, change func(map[string]any)) string {
		recipe := p.spire.SVID(path, jobAudience)
		change(recipe.Claims)
		return p.mint(p.spire.Mint, recipe)
	}
	same := func(map[string]any) {}
	p.become(t, svid("/ns/data/sa/etl", same), "spiffe://acme.example", "spiffe://acme.example/ns/data/sa/etl")
	p.become(t, svid("/ns/data/sa/etl", func(c map[string]any) { c["iss"] = "https://oidc.acme.example" }), "spiffe://acme.example", "spiffe://acme.example/ns/data/sa/etl")
	p.refuse(t, svid("/ns/web/sa/etl", same), exchange.ReasonNoMatchingRule, "")
	p.refuse(t, svid("/ns/data/../x", same), exchange.ReasonSubjectTokenInvalid, "no iss")
	p.refuse(t, svid("", func(c map[string]any) { c["sub"] = "spiffe://evil.example/ns/data/sa/etl" }), exchange.ReasonSubjectTokenInvalid, "no iss")
	p.refuse(t, svid("", func(c map[string]any) {
		c["sub"], c["iss"] = "spiffe://evil.example/ns/data/sa/etl", "spiffe://acme.example"
	}), exchange.ReasonSubjectTokenInvalid, "another trust domain")
	p.refuse(t, svid("/ns/data/sa/etl", func(c map[string]any) { c["iat"] = nil }), exchange.ReasonSubjectTokenInvalid, "no iat")
}

// clientsWithoutSecrets runs row H21: a platform's token for us authenticates the client that it was issued to, again and
// again until it expires; and nothing else of that platform does.
func (p *workloads) clientsWithoutSecrets(t *testing.T) {
	pod := func(account string, claims map[string]any) string {
		recipe := p.cluster.ServiceAccountToken(idp.Pod{Namespace: "lakegate", ServiceAccount: account, Name: "gateway-0", Node: "node-a"}, stsIssuer)
		for name, value := range claims {
			recipe.Claims[name] = value
		}
		return p.mint(p.cluster.Mint, recipe)
	}
	svid := func(path string) string { return p.mint(p.spire.Mint, p.spire.SVID(path, stsIssuer)) }
	by := func(assertion func() string, more ...func(*request)) func(*world) request {
		return func(w *world) request { return change(append([]func(*request){signing(assertion())}, more...)...)(w) }
	}
	gateway := func(claims map[string]any) func() string { return func() string { return pod("gateway", claims) } }
	refused := func(id string, ask func(*world) request, says string) row {
		return row{id: id, ask: ask, status: 401, code: "invalid_client", reason: exchange.ReasonClientAuthenticationFailed, says: says, check: wantsBasic}
	}
	const (
		failed = "client authentication failed"
		spiffe = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
	)
	used := ""
	runRows(t, p.world, []row{
		{id: "H21 a service account's token", ask: by(gateway(nil))},
		{id: "H21 with its client_id", ask: by(gateway(nil), with("client_id", "pod"))},
		{id: "H21 a JWT-SVID", ask: by(func() string { return svid("/gateway") }, with("client_assertion_type", spiffe))},
		{id: "H21 a JWT-SVID as any JWT", ask: by(func() string { return svid("/gateway") })},
		{id: "H21 for the first time", ask: by(func() string { used = pod("gateway", nil); return used })},
		{id: "H21 again", ask: by(func() string { return used })},
		refused("H21 wrong aud", by(gateway(map[string]any{"aud": list{jobAudience}})), "only audience"),
		refused("H21 another aud beside ours", by(gateway(map[string]any{"aud": list{stsIssuer, jobAudience}})), "only audience"),
		refused("H21 no aud", by(gateway(map[string]any{"aud": nil})), "only audience"),
		refused("H21 a JWT-SVID for another", by(func() string { return p.mint(p.spire.Mint, p.spire.SVID("/gateway", jobAudience)) }, with("client_assertion_type", spiffe)), "only audience"),
		refused("H21 another account", by(func() string { return pod("other", nil) }), failed),
		refused("H21 another workload", by(func() string { return svid("/other") }), failed),
		refused("H21 the subject of another issuer", by(func() string {
			return p.mint(p.idp.Mint, idp.Token{Claims: map[string]any{"sub": gatewayPod, "aud": stsIssuer}})
		}), failed),
		refused("H21 another client's id", by(gateway(nil), with("client_id", "agent")), failed),
		refused("H21 expired", by(gateway(map[string]any{"exp": p.Now().Add(-time.Hour).Unix(), "iat": p.Now().Add(-2 * time.Hour).Unix(), "nbf": nil})), failed),
		refused("H21 forged", by(func() string {
			recipe := p.cluster.ServiceAccountToken(idp.Pod{Namespace: "lakegate", ServiceAccount: "gateway", Name: "gateway-0", Node: "node-a"}, stsIssuer)
			recipe.Forged = true
			return p.mint(p.cluster.Mint, recipe)
		}), failed),
		refused("H21 the old kind", by(func() string {
			return p.mint(p.cluster.Mint, p.cluster.LegacyServiceAccountToken("lakegate", "gateway"))
		}), failed),
		refused("H21 a service account's token as a JWT-SVID", by(gateway(nil), with("client_assertion_type", spiffe)), "JWT-SVIDs"),
		refused("H22 an ID token of that provider", by(gateway(map[string]any{"nonce": "n"})), failed),
		refused("H22 a subject's token of that provider", by(func() string {
			return p.mint(p.cluster.Mint, p.cluster.ServiceAccountToken(idp.Pod{Namespace: "lakegate", ServiceAccount: "gateway", Name: "gateway-0", Node: "node-a"}, jobAudience))
		}), "only audience"),
		{id: "H22 and the other way round", ask: func(w *world) request { return change(as("jobs"), with("subject_token", pod("gateway", nil)))(w) },
			status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenInvalid, says: "audience"},
	})
}

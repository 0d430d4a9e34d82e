package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/lakegate/sts/audit"
)

// object and list are YAML, written as JSON, which YAML contains.
type (
	object = map[string]any
	list   = []any
)

// instance is one service with its own files, which may be started more than once.
type instance struct {
	*process
	bench  *bench
	dir    string
	issuer string
	sync   audit.Sync
	skew   int // clock_skew of its provider, in seconds

	program string // the bench's own, if nothing else is said before it is started
	store   object // store in its configuration
}

// newInstance makes a service that isn't started.
func (b *bench) newInstance(name string, sync audit.Sync) (*instance, error) {
	s := &instance{
		bench: b, dir: filepath.Join(b.dir, name), issuer: "https://" + name + ".bench.example", sync: sync, skew: 30,
		program: b.program, store: object{},
	}
	return s, os.Mkdir(s.dir, 0o700)
}

// write puts a file in place in one step, as the service asks of whoever changes one.
func (s *instance) write(file string, content object) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, file)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// start writes the service's files, starts it and waits until it is ready; it returns how long that took from exec on.
func (s *instance) start(ctx context.Context) (time.Duration, error) {
	if err := errors.Join(s.write("sts.yaml", s.config()), s.write("policy.yaml", s.bench.policy())); err != nil {
		return 0, err
	}
	began := time.Now()
	env := []string{}
	if s.bench.profile != "" {
		env = append(env, "STS_PPROF="+filepath.Join(s.dir, "pprof.sock"))
	}
	p, err := s.bench.launch(ctx, s.dir, env, s.program, "serve", "--config", "sts.yaml")
	if err != nil {
		return 0, err
	}
	s.process = p
	if err := p.awaitReady(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, s.bench.world.trust(s.issuer, p.http)
}

// config has everything on, with limits that count and never refuse.
func (s *instance) config() object {
	b := s.bench
	registered := object{}
	for _, c := range b.clients {
		registered[c.id] = object{
			"auth_method": "client_secret_basic", "secret_sha256": list{c.digest}, "identity_providers": list{"okta"},
			"authorized_parties": list{party}, "audiences": list{"prod"}, "limits": object{"rate": "1000000/s", "burst": 1_000_000},
		}
	}
	return object{
		"issuer": s.issuer,
		"listen": object{"http": "127.0.0.1:0", "grpc": "127.0.0.1:0", "admin": "127.0.0.1:0"},
		"store":  s.store,
		"identity_providers": object{"okta": object{
			"issuer": b.world.idp.Issuer("okta").URL(), "audiences": list{audience}, "token_types": list{"access_token"},
			"algorithms": list{"ES256", "RS256"}, "clock_skew": fmt.Sprintf("%ds", s.skew),
		}},
		"clients": registered,
		"databricks": object{
			"accounts": object{"main": object{"id": b.world.databricks.AccountID(), "host": "https://accounts.cloud.databricks.com"}},
		},
		"policy": object{"files": list{"policy.yaml"}},
		"audit":  object{"sync": s.sync},
		"limits": object{"global": "1000000/s"},
	}
}

// policy grants each of the principals to a team, under a condition, below a rule that denies.
func (b *bench) policy() object {
	known, rules := object{}, list{object{
		"id": "no-contractors", "effect": "deny", "owner": "security",
		"match": object{"issuer": list{"okta"}, "groups": object{"any": list{"contractors"}}},
	}}
	all := list{}
	for _, c := range b.clients {
		all = append(all, c.id)
	}
	for i := range principals {
		name := fmt.Sprintf("p%d", i)
		known[name] = object{
			"workspace": "prod", "application_id": applicationID(i), "scopes": list{"model-serving"}, "max_lifetime": "1h", "owner": "platform",
		}
		rules = append(rules, object{
			"id": "team-" + name, "owner": "platform",
			"match": object{
				"issuer": list{"okta"}, "groups": object{"any": list{team(i)}, "none": list{"suspended"}}, "clients": all,
				"when": `claims.amr.exists(m, m == "mfa")`,
			},
			"grant": object{"principal": name, "lifetime": "1h"},
		})
	}
	return object{
		"version":    1,
		"workspaces": object{"prod": object{"host": b.world.databricks.URL(), "account": "main"}},
		"principals": known,
		"rules":      rules,
	}
}

// granted counts the records of granted exchanges. They are in the kernel before their answer, so nobody has to wait.
func (s *instance) granted() (n int, err error) {
	exchange, granted := []byte(`"type":"exchange"`), []byte(`"outcome":"granted"`)
	log := os.DirFS(filepath.Join(s.dir, "data", "audit"))
	err = fs.WalkDir(log, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := fs.ReadFile(log, path)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			if bytes.Contains(line, exchange) && bytes.Contains(line, granted) {
				n++
			}
		}
		return nil
	})
	return n, err
}

// forget makes a running service forget that it verified any token, by a change of its provider, and returns when it
// has. Memory and grants stay as they are.
func (s *instance) forget(ctx context.Context, probe request) error {
	before, err := s.metric(ctx, verifiedAnew)
	if err != nil {
		return err
	}
	s.skew = 60 - s.skew + 1 // another one than before, about half a minute
	if err := s.write("sts.yaml", s.config()); err != nil {
		return err
	}
	for until := time.Now().Add(startTimeout); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if _, err := sendAll(ctx, s.http, []request{probe}, 1); err != nil {
			return err
		}
		after, err := s.metric(ctx, verifiedAnew)
		if err != nil || after > before {
			return err
		}
	}
	return errors.New("a changed configuration does not come into force")
}

// verifiedAnew is the metric of subject tokens that were not known.
const verifiedAnew = "sts_identity_cache_misses_total"

// complete is void where a record of the answers is lost.
func (s *instance) complete(answers int) error {
	n, err := s.granted()
	if err != nil {
		return err
	}
	if n < answers {
		return void("%d answers and only %d records in %s", answers, n, filepath.Base(s.dir))
	}
	return nil
}

// client is a registered client.
type client struct{ id, secret, digest string }

// basic is the client's Authorization (RFC 6749 §2.3.1).
func (c client) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id)+":"+url.QueryEscape(c.secret)))
}

// errVoid marks a run that measured nothing.
var errVoid = errors.New("void")

func void(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errVoid}, args...)...)
}

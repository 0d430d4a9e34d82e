package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/google/uuid"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/strictyaml"
)

// File is one file of a policy.
type File struct {
	Name string
	Data []byte
}

const (
	maxFile     = 128 << 20 // bytes
	minLifetime = time.Minute
)

// Compile makes a policy of its files, which together are one: their order breaks ties between rules, and nothing may be
// there twice. env may be nil, see Environment. The error is a strictyaml.Faults with every fault of all files. The
// policy's own tests are not run; see RunTests.
func Compile(files []File, env *Environment) (*Policy, error) {
	conditions, err := newConditionEnv()
	if err != nil {
		return nil, err
	}
	c := &compiler{
		env: env, cel: conditions, conditions: map[string]compiledCondition{}, ids: map[string]strictyaml.Pos{}, sources: map[string]source{},
		tests: map[string]strictyaml.Pos{}, accounts: map[string]bool{},
		p: &Policy{
			digest: digestOf(files), files: files, env: env,
			workspaces: map[string]*workspace{}, hosts: map[string]*workspace{}, principals: map[string]*principal{}, aliases: map[string]*alias{},
		},
	}
	if env != nil {
		for _, account := range env.Accounts {
			c.accounts[account] = true
		}
	}
	if len(files) == 0 {
		c.faults.Add(strictyaml.Pos{}, "", "the policy has no file", "name one")
	}
	docs := make([]document, len(files))
	for i, f := range files {
		c.sources[f.Name] = source{data: f.Data}
		c.faults = append(c.faults, strictyaml.Decode(strictyaml.Config{File: f.Name, MaxBytes: maxFile}, f.Data, &docs[i])...)
	}
	// What rules refer to may stand in any of the files.
	for _, step := range []func(*document){
		c.version, c.addWorkspaces, c.addPrincipals, c.addAliases, c.addRules, c.addAccess, c.addTests,
	} {
		for i := range docs {
			step(&docs[i])
		}
	}
	if err := c.faults.Err(); err != nil {
		return nil, err
	}
	c.finish()
	return c.p, nil
}

// digestOf is what Policy.Digest says.
func digestOf(files []File) string {
	var list strings.Builder
	for _, f := range files {
		sum := sha256.Sum256(f.Data)
		text := hex.EncodeToString(sum[:])
		if len(files) == 1 {
			return text
		}
		list.WriteString(text + "\n")
	}
	sum := sha256.Sum256([]byte(list.String()))
	return hex.EncodeToString(sum[:])
}

// compiler collects faults, and goes on after each.
type compiler struct {
	env        *Environment
	p          *Policy
	faults     strictyaml.Faults
	cel        *cel.Env
	conditions map[string]compiledCondition
	ids        map[string]strictyaml.Pos // of rules
	tests      map[string]strictyaml.Pos
	sources    map[string]source
	accounts   map[string]bool
}

func (c *compiler) fault(pos strictyaml.Pos, where, message, mend string) {
	c.faults.Add(pos, where, message, mend)
}

// problem records what a check of one value said.
func (c *compiler) problem(pos strictyaml.Pos, where string, err error) {
	if p, ok := err.(*strictyaml.Problem); ok { //nolint:errorlint // checks return it bare
		c.fault(pos, where, p.Message, p.Mend)
		return
	}
	c.fault(pos, where, err.Error(), "")
}

// twice records that a name is there already.
func (c *compiler) twice(pos, first strictyaml.Pos, what string) {
	c.fault(pos, "", what+" is there twice", "it stands at "+first.String()+" already: keep one, or rename it")
}

// known checks a reference to something the policy or the configuration names.
func known[V any](c *compiler, ref text, where, what string, things map[string]V, otherwise string) bool {
	if !ref.Set() {
		return false
	}
	if _, there := things[ref.V]; there {
		return true
	}
	c.fault(ref.Pos, where, "there is no "+what+" "+strconv.Quote(ref.V), strictyaml.DidYouMean(ref.V, keysOf(things), otherwise))
	return false
}

func (c *compiler) name(pos strictyaml.Pos, where, text string) {
	if err := strictyaml.CheckName(text); err != nil {
		c.problem(pos, where, err)
	}
}

func (c *compiler) version(d *document) {
	if d.Version.Set() && d.Version.V != 1 {
		c.fault(d.Version.Pos, "version", "version "+strconv.Itoa(d.Version.V)+" of the language is not known here", "write version: 1")
	}
}

func (c *compiler) addWorkspaces(d *document) {
	for _, e := range d.Workspaces.Entries {
		where := "workspace " + e.Key
		c.name(e.Pos, where, e.Key)
		if first := c.p.workspaces[e.Key]; first != nil {
			c.twice(e.Pos, first.pos, where)
			continue
		}
		w := &workspace{name: e.Key, account: e.Value.Account.V, pos: e.Pos}
		c.p.workspaces[e.Key] = w
		if c.env != nil {
			known(c, e.Value.Account, where, "account", c.accounts, "add it to databricks.accounts of the configuration")
		}
		if host := e.Value.Host; host.Set() {
			c.host(host, where, w)
		}
	}
}

func (c *compiler) host(host text, where string, w *workspace) {
	normal, err := normalizeHost(host.V)
	if err != nil {
		c.problem(host.Pos, where, err)
		return
	}
	if first := c.p.hosts[normal]; first != nil {
		c.fault(host.Pos, where, "its host is that of workspace "+first.name, "one host is one workspace: keep one")
		return
	}
	w.host = normal
	c.p.hosts[normal] = w
}

// normalizeHost takes https://host, and http only where nobody can listen in.
func normalizeHost(host string) (string, error) {
	normal, err := exchange.NormalizeResource(host)
	if err != nil {
		return "", strictyaml.Problemf("write https:// and its name, like https://dbc-a1b2c3d4-e5f6.cloud.databricks.com", "the host is not the URL of a workspace")
	}
	u, err := url.Parse(normal)
	if err != nil || u.Path != "" || strings.Contains(normal, "?") {
		return "", strictyaml.Problemf("cut it off behind the host", "the host has a path or a query")
	}
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return "", strictyaml.Problemf("write https://", "the host is reached without TLS, which only a loopback address may be")
	}
	return normal, nil
}

func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost"
}

func (c *compiler) addPrincipals(d *document) {
	for _, e := range d.Principals.Entries {
		where := "principal " + e.Key
		c.name(e.Pos, where, e.Key)
		if first := c.p.principals[e.Key]; first != nil {
			c.twice(e.Pos, first.pos, where)
			continue
		}
		c.p.principals[e.Key] = c.principal(where, e.Key, e.Pos, &e.Value)
	}
}

func (c *compiler) principal(where, name string, pos strictyaml.Pos, d *principalDoc) *principal {
	p := &principal{
		name: name, pos: pos, owner: d.Owner.V, applicationID: d.ApplicationID.V, isolation: d.Isolation.Or(isolateClient),
		maxLifetime: time.Duration(d.MaxLifetime.V), minLifetime: time.Duration(d.MinLifetime.Or(strictyaml.Duration(minLifetime))),
	}
	if known(c, d.Workspace, where, "workspace", c.p.workspaces, "add it under workspaces") {
		p.workspace = c.p.workspaces[d.Workspace.V]
	}
	if d.ApplicationID.Set() {
		if id, err := uuid.Parse(p.applicationID); err != nil || id.String() != p.applicationID {
			c.fault(d.ApplicationID.Pos, where, "the application_id is not a UUID in lower case", "copy the service principal's application id, like 6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11")
		}
	}
	p.scopes = c.scopes(d.Scopes, where)
	c.lifetime(d.MaxLifetime, where, "max_lifetime")
	c.lifetime(d.MinLifetime, where, "min_lifetime")
	if d.MaxLifetime.Set() && p.minLifetime > p.maxLifetime {
		at := d.MinLifetime.Pos
		if at.IsZero() {
			at = d.MaxLifetime.Pos
		}
		c.fault(at, where, "min_lifetime is longer than max_lifetime", "no token could be granted: shorten one")
	}
	p.details = c.details(d.Details, where)
	if len(p.details) > 0 && c.env != nil && !c.env.FederationDetails && c.env.credential(name).Method == exchange.MethodFederation {
		c.fault(d.Details[0].Pos, where, "a principal that is minted by federation can't have authorization_details, since it is not known whether that grant honours them",
			"once it has been measured, set databricks.federation.authorization_details: true; or mint it by client_secret, under databricks.credentials")
	}
	return p
}

// maxPolicyLifetime keeps what is granted within what an answer can say, and within reason.
const maxPolicyLifetime = 30 * 24 * time.Hour

func (c *compiler) lifetime(d span, where, key string) {
	switch v := time.Duration(d.V); {
	case !d.Set():
	case v < minLifetime:
		c.fault(d.Pos, where, key+" is under 60 s", "a shorter token is over before it is of use: write 60s or more")
	case v > maxPolicyLifetime:
		c.fault(d.Pos, where, key+" is over 30 days", "write 720h or less")
	case v%time.Second != 0:
		c.fault(d.Pos, where, key+" is not a whole number of seconds", "tokens end at whole seconds: round it")
	}
}

// scopes checks a list of scope names, and sorts it.
func (c *compiler) scopes(list texts, where string) []string {
	if list.Set() && len(list.V) == 0 {
		c.fault(list.Pos, where, "an empty list of scopes", "name at least one")
	}
	var names []string
	for _, t := range list.V {
		parsed, err := exchange.ParseScope(t.V)
		if err != nil || len(parsed) != 1 || parsed[0] != t.V {
			c.fault(t.Pos, where, "not the name of a scope", "write one name per element, without spaces, quotes and backslashes")
			continue
		}
		names = append(names, t.V)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *compiler) details(docs []detailDoc, where string) exchange.Details {
	var list []exchange.Detail
	for _, d := range docs {
		detail := exchange.Detail{Type: d.Type.V, ObjectType: d.ObjectType.V, ObjectPath: d.ObjectPath.V}
		for _, action := range d.Actions.V {
			detail.Actions = append(detail.Actions, action.V)
		}
		if _, err := exchange.MakeDetails([]exchange.Detail{detail}); err != nil {
			c.fault(d.Pos, where, "authorization_details: "+strings.Replace(err.Error(), "element 0", "this element", 1), "")
			continue
		}
		list = append(list, detail)
	}
	made, err := exchange.MakeDetails(list)
	if err != nil || len(made) == 0 {
		return nil // each element has been checked above
	}
	return made
}

func (c *compiler) addAliases(d *document) {
	for _, e := range d.Groups.Entries {
		where := "group " + e.Key
		if first := c.p.aliases[e.Key]; first != nil {
			c.twice(e.Pos, first.pos, where)
			continue
		}
		a := &alias{names: map[string]string{}, pos: e.Pos}
		c.p.aliases[e.Key] = a
		if len(e.Value.Entries) == 0 {
			c.fault(e.Pos, where, "it has no name at any provider", "write it as {okta: its-name, entra: its-object-id}")
		}
		for _, at := range e.Value.Entries {
			c.provider(text{V: at.Key, Pos: at.Pos}, where)
			c.groupName(at.Value, where)
			a.names[at.Key] = at.Value.V
		}
	}
}

func (c *compiler) provider(ref text, where string) {
	if c.env != nil {
		known(c, ref, where, "identity provider", c.env.Providers, "add it to identity_providers of the configuration")
	} else if err := strictyaml.CheckName(ref.V); ref.Set() && err != nil {
		c.problem(ref.Pos, where, err)
	}
}

func (c *compiler) groupName(t text, where string) {
	switch {
	case !t.Set():
	case t.V == "" || strings.TrimSpace(t.V) != t.V:
		c.fault(t.Pos, where, "the name of a group is empty, or has white space at its ends", "write it as the provider does")
	case strings.ContainsAny(t.V, "*?"):
		c.fault(t.Pos, where, "groups are compared whole; * and ? are no patterns there", "list the groups one by one")
	}
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// finish makes what decisions look things up in. There are no faults any more.
func (c *compiler) finish() {
	p := c.p
	named := map[string]bool{}
	if c.env != nil {
		for provider := range c.env.Providers {
			named[provider] = true
		}
	}
	var reads []string
	for _, r := range p.rules {
		for _, issuer := range r.match.issuers {
			named[issuer] = true
		}
		if r.match.condition != nil {
			reads = append(reads, r.match.condition.claims...)
		}
	}
	slices.Sort(reads)
	p.readsClaims = slices.Compact(reads)
	p.indexes, p.foreign = buildIndexes(p.rules, keysOf(named))
	p.evaluations.New = func() any { return new(evaluation) }
}

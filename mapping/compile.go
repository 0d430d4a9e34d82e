package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/lakegate/sts/internal/strictyaml"
)

// File is one file of a policy.
type File struct {
	Name string
	Data []byte
}

const maxFile = 128 << 20 // bytes

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
	var p *strictyaml.Problem
	if errors.As(err, &p) {
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
		if r.match.actor != nil && r.match.actor.maxSessionAge > 0 {
			reads = append(reads, claimAuthTime)
		}
		if r.principal != nil {
			r.principal.rules++
		}
	}
	p.listed = slices.SortedFunc(slices.Values(p.rules), func(a, b *rule) int { return strings.Compare(a.id, b.id) })
	for _, name := range keysOf(p.principals) {
		p.existing = append(p.existing, p.principals[name])
	}
	slices.Sort(reads)
	p.readsClaims = slices.Compact(reads)
	p.indexes, p.foreign = buildIndexes(p.rules, keysOf(named))
	p.evaluations.New = func() any { return new(evaluation) }
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package databricks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuerKeys keeps the keys of issuers, as long as the real one does: a key that an issuer published since then is
// unknown until the copy has aged out, which is why a successor must be published ahead of its use.
type issuerKeys struct {
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	sources map[string]*keySource
}

// keySource is the copy of one issuer's keys. Its lock is held while they are fetched, so that they are fetched once.
type keySource struct {
	mu      sync.Mutex
	keys    *jose.JSONWebKeySet
	fetched time.Time
}

// find returns the key of that kid by which the policy's issuer signs.
func (k *issuerKeys) find(ctx context.Context, policy FederationPolicy, kid string, switches Switches) (*jose.JSONWebKey, error) {
	if policy.JWKSJSON != "" {
		keys, err := parseKeys([]byte(policy.JWKSJSON))
		if err != nil {
			return nil, fmt.Errorf("jwks_json: %w", err)
		}
		return pick(keys, kid)
	}
	source := k.source(policy)
	source.mu.Lock()
	defer source.mu.Unlock()
	// A copy from the future is as old as any: the clock was moved back.
	age := k.now().Sub(source.fetched)
	fresh := source.keys != nil && age >= 0 && age < switches.keyCache()
	if fresh {
		key, err := pick(source.keys, kid)
		if err == nil || !switches.RefetchUnknownKey {
			return key, err
		}
	}
	keys, err := k.fetch(ctx, policy)
	if err != nil {
		return nil, fmt.Errorf("fetching the issuer's keys: %w", err)
	}
	source.keys, source.fetched = keys, k.now()
	return pick(keys, kid)
}

func (k *issuerKeys) source(policy FederationPolicy) *keySource {
	name := strings.Join([]string{policy.Issuer, policy.JWKSURI, policy.Reach}, "\n")
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sources[name] == nil {
		k.sources[name] = &keySource{}
	}
	return k.sources[name]
}

func (k *issuerKeys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.sources)
}

func pick(keys *jose.JSONWebKeySet, kid string) (*jose.JSONWebKey, error) {
	found := keys.Key(kid)
	if len(found) != 1 {
		return nil, errors.New("unknown kid")
	}
	return &found[0], nil
}

// fetch goes the way of OpenID Connect Discovery, unless the policy says where the keys are.
func (k *issuerKeys) fetch(ctx context.Context, policy FederationPolicy) (*jose.JSONWebKeySet, error) {
	uri := policy.JWKSURI
	if uri == "" {
		var discovery struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		text, err := k.get(ctx, policy.reach(strings.TrimSuffix(policy.Issuer, "/")+"/.well-known/openid-configuration"))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &discovery); err != nil {
			return nil, fmt.Errorf("discovery document: %w", err)
		}
		if discovery.Issuer != policy.Issuer {
			return nil, errors.New("the discovery document is another issuer's")
		}
		uri = discovery.JWKSURI
	}
	text, err := k.get(ctx, policy.reach(uri))
	if err != nil {
		return nil, err
	}
	return parseKeys(text)
}

func (k *issuerKeys) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", url, resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// reach replaces the issuer at the start of a URL by where it is found here.
func (f FederationPolicy) reach(url string) string {
	issuer := strings.TrimSuffix(f.Issuer, "/")
	if rest, ok := strings.CutPrefix(url, issuer); ok && f.Reach != "" {
		return strings.TrimSuffix(f.Reach, "/") + rest
	}
	return url
}

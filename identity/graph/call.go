package graph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/internal/jwt"
	"github.com/lakegate/sts/internal/outbound"
)

const (
	// maxGroups is how many Graph lists; of more it refuses to speak.
	maxGroups = 11_000
	// maxAnswer is room for that many, in bytes.
	maxAnswer = 1 << 20
	// A token for Graph is used for an hour at most, and no more in its last five minutes.
	maxTokenLife = time.Hour
	tokenReserve = 5 * time.Minute
)

// tenant holds our token for one tenant's Graph.
type tenant struct {
	turn  chan struct{} // whoever holds it reads and writes the rest
	token string
	until time.Time
}

// token is our own token for a tenant's Graph: by client credentials, at the tenant's own token endpoint.
func (d *directory) token(ctx context.Context, id string) (string, error) {
	t := d.tenant(id)
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", errors.New("the token endpoint is slow")
	}
	now := d.now()
	if rest := t.until.Sub(now); t.token != "" && rest > 0 && rest <= maxTokenLife {
		return t.token, nil
	}
	t.token = ""
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {d.ClientID}, "scope": {d.Endpoint + "/.default"}}
	if err := d.authenticate(form); err != nil {
		return "", fmt.Errorf("getting a token for it: %w", err)
	}
	answer, err := d.post(ctx, "token", d.Authority+"/"+id+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode(), "")
	if err != nil {
		return "", fmt.Errorf("getting a token for it: %w", err)
	}
	text, _ := answer["access_token"].(string)
	kind, _ := answer["token_type"].(string)
	life, ok := answer["expires_in"].(int64)
	if text == "" || !strings.EqualFold(kind, "Bearer") || !ok || life <= 0 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("getting a token for it: the answer holds no bearer token with its expires_in")
	}
	lasts := min(time.Duration(min(life, int64(maxTokenLife/time.Second)))*time.Second, maxTokenLife)
	t.token, t.until = text, now.Add(max(lasts-tokenReserve, lasts/2))
	return text, nil
}

// authenticate puts our credential into a form. An assertion is read each time, since it is replaced within the hour.
func (d *directory) authenticate(form url.Values) error {
	if d.AssertionFile == "" {
		form.Set("client_secret", d.ClientSecret.Reveal())
		return nil
	}
	assertion, err := identity.ReadToken(d.AssertionFile)
	if err != nil {
		return fmt.Errorf("reading client_assertion_file: %w", err)
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") // RFC 7523 §2.2
	form.Set("client_assertion", assertion)
	return nil
}

func (d *directory) tenant(id string) *tenant {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tenants[id]
	if t == nil { // a configured tenant's, so there are few
		t = &tenant{turn: make(chan struct{}, 1)}
		d.tenants[id] = t
	}
	return t
}

// drop forgets a token that Graph doesn't take, so that the next call gets another.
func (d *directory) drop(id, token string) {
	t := d.tenant(id)
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.token == token {
		t.token = ""
	}
}

// members asks which groups somebody is in, through other groups too. All kinds of groups are asked for: to leave some
// out could hide one that a deny rule names, and an allow rule names by its id what it means.
func (d *directory) members(ctx context.Context, who identity.Member, token string) ([]string, error) {
	kind := "users"
	if who.Application {
		kind = "servicePrincipals"
	}
	answer, err := d.post(ctx, "groups", d.Endpoint+"/v1.0/"+kind+"/"+who.Object+"/getMemberObjects", "application/json", `{"securityEnabledOnly":false}`, token)
	if err != nil {
		var refused *refusedError
		if errors.As(err, &refused) && refused.status == http.StatusUnauthorized {
			d.drop(who.Tenant, token)
		}
		return nil, fmt.Errorf("asking for groups: %w", err)
	}
	return readMembers(answer)
}

// readMembers wants a whole list of ids: a part of one would read a deny away.
func readMembers(answer map[string]any) ([]string, error) {
	list, ok := answer["value"].([]any)
	switch {
	case !ok:
		return nil, errors.New("asking for groups: the answer has no list of them")
	case answer["@odata.nextLink"] != nil || len(list) > maxGroups:
		return nil, errors.New("asking for groups: the answer is only a part of them")
	}
	names := make([]string, 0, len(list))
	for _, element := range list {
		name, _ := element.(string)
		if name = strings.ToLower(name); !identity.IsEntraID(name) {
			return nil, errors.New("asking for groups: the answer names one by what is no id")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// refusedError is an answer that is none. It holds codes, and no text of theirs.
type refusedError struct {
	host   string
	status int
	code   string
	number int64 // AADSTS
}

func (e *refusedError) Error() string {
	text := fmt.Sprintf("%s answered %d", e.host, e.status)
	if e.code != "" {
		text += " " + e.code
	}
	if e.number != 0 {
		text += fmt.Sprintf(" (AADSTS%d)", e.number)
	}
	return text
}

// post sends a request and reads the object that it is answered.
func (d *directory) post(ctx context.Context, operation, address, kind, body, token string) (answer map[string]any, err error) {
	result := "failed"
	defer func() { d.metrics.calls.WithLabelValues(d.Provider, operation, result).Inc() }()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, errors.New("its address is no URL")
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Accept", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request.URL.Host, outbound.Redact(err))
	}
	answer, err = jwt.ParseObject(string(text))
	if response.StatusCode != http.StatusOK {
		if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
			result = "throttled"
			d.wait(response.Header.Get("Retry-After"))
		}
		return nil, refusal(request.URL.Host, response.StatusCode, answer)
	}
	if err != nil {
		return nil, fmt.Errorf("the answer of %s %w", request.URL.Host, err)
	}
	result = "ok"
	return answer, nil
}

// code is what a code looks like; anything else is not repeated.
var code = regexp.MustCompile(`^[A-Za-z_]{1,64}$`)

// refusal reads the two forms of errors: OAuth's (RFC 6749 §5.2, with Entra's numbers), and Graph's.
func refusal(host string, status int, answer map[string]any) error {
	e := &refusedError{host: host, status: status}
	said, _ := answer["error"].(string)
	if object, is := answer["error"].(map[string]any); is {
		said, _ = object["code"].(string)
	}
	if code.MatchString(said) {
		e.code = said
	}
	if numbers, _ := answer["error_codes"].([]any); len(numbers) > 0 {
		e.number, _ = numbers[0].(int64)
	}
	return e
}

// wait holds back all calls for as long as Graph says, in seconds, and a second where it doesn't say.
func (d *directory) wait(header string) {
	seconds, err := strconv.Atoi(header)
	if err != nil {
		seconds = 1
	}
	pause := min(max(time.Duration(seconds)*time.Second, time.Second), maxPause)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pause = d.now().Add(pause)
}

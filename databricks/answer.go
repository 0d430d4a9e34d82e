package databricks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/outbound"
)

// answer is a good answer, checked against what was asked for.
type answer struct {
	token exchange.Secret
	// expiresIn is the rest of the token's life when Databricks answered, > 0.
	expiresIn time.Duration
}

const (
	// maxToken bounds a token in bytes: it has to fit into a header of the calls that it is for.
	maxToken = 16 << 10
	// maxExpiresIn is what no Databricks token lives longer than; more is a mistake in units.
	maxExpiresIn = 7 * 24 * time.Hour
)

// read makes an answer of the reply, or an error of the right kind.
func (r *reply) read(g *exchange.Grant, now time.Time) (answer, *exchange.Error) {
	switch {
	case errors.Is(r.err, outbound.ErrTooLarge), errors.Is(r.err, outbound.ErrRedirect):
		return answer{}, invalid(r.err)
	case r.err != nil:
		return answer{}, unreachable(r.err)
	case r.status != http.StatusOK:
		return answer{}, r.refusal(g.Method, now)
	}
	a, err := decodeAnswer(r.body, g.Scopes, g.Details)
	if err == nil && r.believed != a.token.Reveal() {
		err = errors.New("its content type is not JSON's, or it can be read in two ways")
	}
	if err != nil {
		return answer{}, invalid(err)
	}
	return a, nil
}

// decodeAnswer reads a token response (RFC 6749 §5.1, RFC 8693 §2.2.1, RFC 9396 §7), and checks it against what was
// asked for. Its errors name the member at fault, and never quote it.
func decodeAnswer(body []byte, scopes []string, details exchange.Details) (a answer, err error) {
	m, err := members(body)
	if err != nil {
		return a, err
	}
	token, _ := text(m, "access_token")
	if !isToken(token) {
		return a, errors.New("access_token is missing, empty or not a token")
	}
	if kind, _ := text(m, "token_type"); !strings.EqualFold(kind, "Bearer") {
		return a, errors.New("token_type is missing or not Bearer")
	}
	// We ask for no other type, and only RFC 8693's answers have it.
	if _, there := m["issued_token_type"]; there {
		if kind, _ := text(m, "issued_token_type"); kind != string(exchange.TypeAccessToken) {
			return a, errors.New("issued_token_type is not an access token's")
		}
	}
	if a.expiresIn, err = decodeExpiresIn(m["expires_in"]); err != nil {
		return a, err
	}
	if err := checkScope(m, scopes); err != nil {
		return a, err
	}
	if err := checkDetails(m["authorization_details"], details); err != nil {
		return a, err
	}
	a.token = exchange.Secret(token)
	return a, nil
}

// isToken reports whether s can stand behind "Bearer " (RFC 6750 §2.1, RFC 6749 §A.12).
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}

// decodeExpiresIn wants a JSON number of whole seconds. Without one, x/oauth2 takes the token to live for ever.
func decodeExpiresIn(raw json.RawMessage) (time.Duration, error) {
	seconds, err := strconv.ParseUint(string(raw), 10, 31)
	if err != nil || seconds == 0 || time.Duration(seconds)*time.Second > maxExpiresIn {
		return 0, errors.New("expires_in is missing, or not a JSON number of whole seconds between 1 and a week")
	}
	return time.Duration(seconds) * time.Second, nil
}

// checkScope wants the scopes that were asked for: fewer would be another token than policy granted, more a wider one.
// A missing scope means that they are the same (RFC 6749 §5.1).
func checkScope(m map[string]json.RawMessage, asked []string) error {
	if _, there := m["scope"]; !there {
		return nil
	}
	list, ok := text(m, "scope")
	if !ok {
		return errors.New("scope is not a string")
	}
	got, err := exchange.ParseScope(list)
	if err != nil {
		return errors.New("scope is malformed")
	}
	for _, scope := range got {
		if !slices.Contains(asked, scope) {
			return errors.New("scope is wider than what was asked for")
		}
	}
	for _, scope := range asked {
		if !slices.Contains(got, scope) {
			return errors.New("scope is narrower than what was asked for")
		}
	}
	return nil
}

// checkDetails wants the very details that were asked for: an authorization server that doesn't know them may ignore
// them, and would issue a token for everything.
func checkDetails(raw json.RawMessage, asked exchange.Details) error {
	if len(asked) == 0 {
		switch string(raw) {
		case "", "null", "[]":
			return nil
		}
		return errors.New("authorization_details are there though none were asked for")
	}
	if len(raw) == 0 {
		return errors.New("authorization_details that were asked for are missing")
	}
	got, err := exchange.ParseDetails(string(raw))
	if err != nil {
		return errors.New("authorization_details are malformed")
	}
	if got.JSON() != asked.JSON() {
		return errors.New("authorization_details differ from what was asked for")
	}
	return nil
}

// invalid is an answer that can't be believed.
func invalid(cause error) *exchange.Error {
	return exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamInvalid,
		"Databricks answered in a way that cannot be trusted, so nothing is given out; the log of the token service tells what was wrong with it").
		Because(fmt.Errorf("reading the answer of Databricks: %w", cause))
}

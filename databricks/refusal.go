package databricks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lakegate/sts/exchange"
)

// refusal is what may be told of a bad answer: a status, the OAuth error, a word of Databricks', and the id under
// which Databricks finds it. It is a cause in our log and an answer in a mint's record.
type refusal struct {
	status  int
	code    string // error, or error_code
	word    string // of error_description, only if it is one that we know
	errorID string
}

// Error implements error.
func (r *refusal) Error() string { return "Databricks answered " + r.Answer() }

// Answer is what a mint's record tells.
func (r *refusal) Answer() string {
	parts := []string{strconv.Itoa(r.status), r.code, r.word}
	if r.errorID != "" {
		parts = append(parts, "error_id="+r.errorID)
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// refusal classifies an answer that is not 200.
func (r *reply) refusal(method exchange.Method, now time.Time) *exchange.Error {
	said := decodeRefusal(r.status, r.body)
	switch {
	case r.status == http.StatusTooManyRequests, r.status == http.StatusRequestTimeout, r.status >= 500, said.isTemporary():
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable,
			"Databricks can't mint a token just now; ask again after the time that Retry-After says").
			After(retryAfter(r.header.Get("Retry-After"), now)).Because(said)
	case r.status >= 400:
		return exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "%s", said.mend(method)).Because(said)
	default:
		return invalid(said)
	}
}

// decodeRefusal reads both of Databricks' error formats, the OAuth one and that of its APIs, and keeps only what can't
// be somebody's secret: words in one case, a UUID, a word of our own list.
func decodeRefusal(status int, body []byte) *refusal {
	r := &refusal{status: status}
	m, err := members(body)
	if err != nil {
		return r
	}
	r.code = firstWord(m, "error", "error_code")
	if id, _ := text(m, "error_id"); len(id) == 36 && uuid.Validate(id) == nil {
		r.errorID = strings.ToLower(id)
	}
	description, _ := text(m, "error_description")
	for _, word := range knownWords {
		if strings.Contains(description, word) {
			r.word = word
			break
		}
	}
	return r
}

// Words that error_description holds.
const (
	wordAudience = "TOKEN_AUDIENCE_INVALID"
	wordInvalid  = "TOKEN_INVALID"
	wordExpired  = "TOKEN_EXPIRED"
)

var knownWords = []string{wordAudience, wordExpired, wordInvalid}

func firstWord(m map[string]json.RawMessage, names ...string) string {
	for _, name := range names {
		if word, _ := text(m, name); isWord(word) {
			return word
		}
	}
	return ""
}

// isWord reports whether s is letters of one case and underscores: what error codes are made of, and random secrets
// are not.
func isWord(s string) bool {
	return len(s) <= 64 && s != "" && (strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "")
}

// isTemporary knows errors that are temporary whatever their status.
func (r *refusal) isTemporary() bool {
	switch r.code {
	case "temporarily_unavailable", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "slow_down":
		return true
	}
	return false
}

// mend says what an operator has to mend, without naming the principal.
func (r *refusal) mend(method exchange.Method) string {
	federation := method == exchange.MethodFederation
	switch {
	case r.word == wordAudience:
		return "Databricks does not accept the audience of our assertion; set databricks.federation.audience to one that the federation policy of the service principal lists"
	case r.word == wordExpired:
		return "Databricks takes our assertion for expired; compare the clock of the token service with the true time"
	case r.code == "invalid_scope":
		return "Databricks does not grant these scopes to the service principal; correct its scopes in the policy"
	case r.code == "invalid_authorization_details":
		return "Databricks does not grant these authorization_details; give the service principal the permission that they name, such as CAN_QUERY on the endpoint"
	case r.status == http.StatusNotFound, r.code == "unsupported_grant_type":
		return "the workspace has no such token endpoint; check the host of the workspace in the policy"
	case federation && (r.word == wordInvalid || r.code == "invalid_grant"):
		return "Databricks does not accept our assertion; check that the federation policy of the service principal names our issuer, the application id as subject and our audience, and that it can fetch our keys"
	case federation:
		return "Databricks refused the service principal; check that its application id is right, and that it is active and assigned to the workspace"
	default:
		return "Databricks refused the client secret of the service principal; check that it is current, and that the service principal is active and has access to the workspace"
	}
}

// unreachable is no whole answer at all: no connection, a time-out, one cut off.
func unreachable(cause error) *exchange.Error {
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable,
		"Databricks can't be reached, or did not answer in time; ask again shortly").
		After(defaultRetry).Because(fmt.Errorf("asking Databricks for a token: %w", cause))
}

const (
	defaultRetry = time.Second
	maxRetry     = 5 * time.Minute
)

// retryAfter reads a Retry-After header (RFC 9110 §10.2.3), seconds or a date; between 1 s and 5 min, whatever it says.
func retryAfter(header string, now time.Time) time.Duration {
	wait := defaultRetry
	if seconds, err := strconv.ParseUint(header, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = maxRetry
		if seconds < uint64(maxRetry/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now).Round(time.Second)
	}
	return min(max(wait, defaultRetry), maxRetry)
}

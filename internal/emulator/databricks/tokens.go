package databricks

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

const (
	grantSecret     = "client_credentials"
	grantFederation = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantDataPlane  = "urn:ietf:params:oauth:grant-type:jwt-bearer"

	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// scopes are those that are known by name; the real one has some more.
var scopes = []string{
	"all-apis", "sql", "model-serving", "unity-catalog", "scim", "access-management", "genie", "jobs", "files",
	"openid", "profile", "email", "offline_access",
}

// formOf lists the form fields that each grant knows; any other is answered 501, so that a sloppy request shows.
var formOf = map[string][]string{
	grantSecret:     {"grant_type", "scope", "client_id", "authorization_details"},
	grantFederation: {"grant_type", "scope", "client_id", "authorization_details", "subject_token", "subject_token_type", "requested_token_type"},
	grantDataPlane:  {"grant_type", "assertion", "authorization_details"},
}

// grant is what one of the grants decided.
type grant struct {
	principal string
	scope     string
	details   details // nil: not narrowed
	expires   time.Time
	federated bool
}

// serveToken is the token endpoint.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	form, refused := readForm(r)
	if refused == nil {
		var g *grant
		switch form.Get("grant_type") {
		case grantSecret:
			g, refused = s.bySecret(r, form)
		case grantFederation:
			g, refused = s.byAssertion(r, form)
		case grantDataPlane:
			g, refused = s.byToken(r, form)
		}
		if refused == nil {
			s.answer(w, r, g)
			return
		}
	}
	if refused.status == http.StatusNotImplemented {
		refused.writeAPI(w, r)
		return
	}
	refused.writeOAuth(w, r)
}

// readForm reads a form of a known grant, each field once, none that the grant doesn't know.
func readForm(r *http.Request) (url.Values, *refusal) {
	bad := func(text string) *refusal { return &refusal{http.StatusBadRequest, "invalid_request", text, text} }
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return nil, bad("the body is not a form")
	}
	if r.URL.RawQuery != "" {
		return nil, bad("there are parameters in the query")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bad("the body could not be read")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, bad("the form is malformed")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, bad("the parameter " + name + " is repeated")
		}
	}
	known, ok := formOf[form.Get("grant_type")]
	if !ok {
		return nil, &refusal{http.StatusNotImplemented, "NOT_IMPLEMENTED", "the emulator does not know this grant type", "unknown grant type"}
	}
	for name := range form {
		if !slices.Contains(known, name) {
			text := "the emulator does not know the parameter " + name + " here"
			return nil, &refusal{http.StatusNotImplemented, "NOT_IMPLEMENTED", text, "unknown parameter " + name}
		}
	}
	return form, nil
}

// answer issues the token, with the expiry that a fault may stretch, and writes it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, g *grant) {
	expires, told := g.expires, g.expires
	if fault := emulator.FaultOf(r); fault != nil {
		expires = expires.Add(fault.OutliveBy)
		if !fault.Conceal {
			told = expires
		}
	}
	token := s.issue(g, expires)
	s.count(g.principal)
	emulator.Note(r, "principal", g.principal)
	emulator.Note(r, "token", emulator.Hash(token))
	body := map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(told.Sub(s.Now()) / time.Second), // rounded down
		"scope":        g.scope,
	}
	switches := s.currentSwitches()
	if g.details != nil && !switches.OmitDetails {
		body["authorization_details"] = json.RawMessage(g.details.text())
	}
	if g.federated && !switches.OmitIssuedTokenType {
		body["issued_token_type"] = typeAccessToken
	}
	w.Header().Set("Cache-Control", "no-store")
	emulator.WriteJSON(w, http.StatusOK, body)
}

func (s *Server) count(principal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.minted[principal]++
}

// scopeOf reads the scope parameter: known names, sorted, each once; all-apis if there is none.
func scopeOf(form url.Values) (string, *refusal) {
	asked := strings.Fields(form.Get("scope"))
	if len(asked) == 0 {
		return "all-apis", nil
	}
	for _, name := range asked {
		if !slices.Contains(scopes, name) {
			return "", &refusal{http.StatusBadRequest, "invalid_scope", "The requested scope is invalid.", "unknown scope"}
		}
	}
	slices.Sort(asked)
	return strings.Join(slices.Compact(asked), " "), nil
}

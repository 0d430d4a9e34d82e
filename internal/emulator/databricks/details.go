package databricks

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/lakegate/sts/internal/emulator"
)

// details are authorization_details that the workspace understands (RFC 9396).
type details []detail

type detail struct {
	Type       string   `json:"type"`
	ObjectType string   `json:"object_type"`
	ObjectPath string   `json:"object_path"`
	Actions    []string `json:"actions"`
}

const actionQuery = "query_inference_endpoint"

// detailsOf reads the authorization_details that the form asks for, nil if it doesn't, and checks that the principal
// may have them.
func (s *Server) detailsOf(form url.Values, p Principal) (details, *refusal) {
	if !form.Has("authorization_details") {
		return nil, nil
	}
	refuse := func(cause string) (details, *refusal) {
		return nil, &refusal{http.StatusBadRequest, "invalid_authorization_details", "The authorization_details are invalid.", cause}
	}
	var asked details
	if err := emulator.DecodeStrict(strings.NewReader(form.Get("authorization_details")), &asked); err != nil || len(asked) == 0 {
		return refuse("malformed authorization_details")
	}
	for _, d := range asked {
		if d.Type != "workspace_permission" || d.ObjectType != "serving-endpoints" {
			return refuse("unknown type of authorization_details")
		}
		if len(d.Actions) == 0 || slices.ContainsFunc(d.Actions, func(a string) bool { return a != actionQuery }) {
			return refuse("unknown action in authorization_details")
		}
		if !s.mayQuery(p, d.ObjectPath) {
			return refuse("principal may not query the endpoint in authorization_details")
		}
	}
	return asked, nil
}

func (s *Server) mayQuery(p Principal, path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.endpoints {
		if e.is(path) {
			return slices.Contains(p.Query, name) || s.switches.GrantUncoveredDetails
		}
	}
	return false
}

// cover reports whether the details allow querying the endpoint.
func (d details) cover(e Endpoint) bool {
	return slices.ContainsFunc(d, func(d detail) bool {
		return e.is(d.ObjectPath) && slices.Contains(d.Actions, actionQuery)
	})
}

func (d details) text() string {
	text, _ := json.Marshal(d) // strings and lists of strings always encode
	return string(text)
}

package databricks

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// bySecret is the client_credentials grant. The real one answers every cause of refusal alike.
func (s *Server) bySecret(r *http.Request, form url.Values) (*grant, *refusal) {
	switches := s.currentSwitches()
	refuse := func(cause string) (*grant, *refusal) {
		status := switches.BadClientStatus
		if status == 0 {
			status = http.StatusUnauthorized
		}
		return nil, &refusal{status, "invalid_client", "Client authentication failed", cause}
	}
	id, secret, ok := emulator.BasicCredentials(r)
	if !ok {
		return refuse("no HTTP Basic")
	}
	s.Remember(secret)
	if form.Has("client_id") && form.Get("client_id") != id {
		return refuse("another client_id in the form")
	}
	p, known := s.Principal(id)
	switch {
	case !known:
		return refuse("unknown principal")
	case !hasSecret(p, secret):
		return refuse("wrong secret")
	case p.Inactive && !switches.InactiveMints:
		return refuse("principal is inactive")
	case p.Unassigned && !switches.UnassignedSecret:
		return refuse("principal has no access to the workspace")
	}
	scope, refused := scopeOf(form)
	if refused != nil {
		return nil, refused
	}
	granted, refused := s.detailsOf(form, p)
	if refused != nil {
		return nil, refused
	}
	// One hour, and no parameter shortens it.
	return &grant{principal: id, scope: scope, details: granted, expires: s.Now().Add(time.Hour)}, nil
}

func hasSecret(p Principal, secret string) bool {
	got, found := sha256.Sum256([]byte(secret)), 0
	for _, want := range p.Secrets {
		sum := sha256.Sum256([]byte(want))
		found |= subtle.ConstantTimeCompare(got[:], sum[:])
	}
	return found == 1
}

package databricks

import (
	"errors"
	"net/http"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// Setup is what POST /_emulator/setup takes: principals, endpoints and volumes are added or replaced, switches, if given, are
// replaced as a whole.
type Setup struct {
	Principals []Principal `json:"principals"`
	Endpoints  []Endpoint  `json:"endpoints"`
	Volumes    []Volume    `json:"volumes"`
	Switches   *Switches   `json:"switches"`
}

// Apply puts a setup in; the first fault ends it.
func (s *Server) Apply(setup Setup) error {
	if setup.Switches != nil {
		if err := s.SetSwitches(*setup.Switches); err != nil {
			return err
		}
	}
	for _, e := range setup.Endpoints {
		if err := s.PutEndpoint(e); err != nil {
			return err
		}
	}
	for _, v := range setup.Volumes {
		if err := s.PutVolume(v); err != nil {
			return err
		}
	}
	for _, p := range setup.Principals {
		if err := s.PutPrincipal(p); err != nil {
			return err
		}
	}
	return nil
}

// Issue makes a live token for a principal past all checks; scope "" means all-apis. It doesn't count as a mint.
func (s *Server) Issue(applicationID, scope string, lifetime time.Duration) (string, error) {
	if _, known := s.Principal(applicationID); !known {
		return "", errors.New("databricks: no such principal")
	}
	if scope == "" {
		scope = "all-apis"
	}
	return s.issue(&grant{principal: applicationID, scope: scope}, s.Now().Add(lifetime)), nil
}

func (s *Server) postSetup(w http.ResponseWriter, r *http.Request) {
	var setup Setup
	if !emulator.DecodeJSON(w, r, &setup) {
		return
	}
	if err := s.Apply(setup); err != nil {
		emulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// postTokens issues a token past all checks: {"principal", "scope", "lifetime"}, an hour if there is none.
func (s *Server) postTokens(w http.ResponseWriter, r *http.Request) {
	in := struct {
		Principal string            `json:"principal"`
		Scope     string            `json:"scope"`
		Lifetime  emulator.Duration `json:"lifetime"`
	}{Lifetime: emulator.Duration(time.Hour)}
	if !emulator.DecodeJSON(w, r, &in) {
		return
	}
	token, err := s.Issue(in.Principal, in.Scope, time.Duration(in.Lifetime))
	if err != nil {
		emulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	emulator.WriteJSON(w, http.StatusOK, map[string]string{"token": token})
}

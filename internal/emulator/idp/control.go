package idp

import (
	"net/http"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// postTokens mints one token by the [Token] in the body (snake case, lifetime as a Go duration; numbers are copied as they
// are written) and answers {"token": …}, or, to callers that accept text/plain, the bare token.
func (s *Server) postTokens(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token
		Lifetime emulator.Duration `json:"lifetime"`
	}
	if !emulator.DecodeJSON(w, r, &in) {
		return
	}
	in.Token.Lifetime = time.Duration(in.Lifetime)
	token, err := s.Mint(in.Token)
	if err != nil {
		emulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	if r.Header.Get("Accept") == "text/plain" {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(token))
		return
	}
	emulator.WriteJSON(w, http.StatusOK, map[string]string{"token": token})
}

// postKeys does one thing to an issuer's keys: "rotate" or "add" one of an algorithm, "publish" or "withdraw" one by kid.
func (s *Server) postKeys(w http.ResponseWriter, r *http.Request) {
	var in struct{ Issuer, Action, Algorithm, Kid string }
	if !emulator.DecodeJSON(w, r, &in) {
		return
	}
	refuse := func(message string) {
		emulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"message": message})
	}
	issuer := s.Issuer(in.Issuer)
	if issuer == nil {
		refuse("no such issuer")
		return
	}
	var err error
	switch in.Action {
	case "rotate":
		in.Kid, err = issuer.Rotate(in.Algorithm)
	case "add":
		in.Kid, err = issuer.AddKey(in.Algorithm)
	case "publish":
		err = issuer.Publish(in.Kid)
	case "withdraw":
		err = issuer.Withdraw(in.Kid)
	default:
		refuse("action is rotate, add, publish or withdraw")
		return
	}
	if err != nil {
		refuse(err.Error())
		return
	}
	emulator.WriteJSON(w, http.StatusOK, map[string]string{"kid": in.Kid})
}

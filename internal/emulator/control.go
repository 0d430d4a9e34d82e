package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Duration is a time.Duration that JSON writes as Go does ("1m30s").
type Duration time.Duration

// UnmarshalText reads a Go duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText writes a Go duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Control adds a route to the control API, below /_emulator/. Calls of it are neither recorded nor struck by faults.
func (s *Server) Control(pattern string, h http.HandlerFunc) { s.control.HandleFunc(pattern, h) }

func (s *Server) addControl() {
	s.Control("POST /_emulator/faults", s.postFaults)
	s.Control("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	s.Control("POST /_emulator/clock", s.postClock)
	s.Control("POST /_emulator/reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	s.Control("GET /_emulator/calls", func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"calls": s.Calls(), "totals": s.Totals(), "routes": s.Routes()})
	})
}

// postFaults sets one fault: the members of [Fault] in snake case, durations as Go writes them.
func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Fault
		Delay     Duration `json:"delay"`
		OutliveBy Duration `json:"outlive_by"`
		Drip      Duration `json:"drip"`
	}
	if !DecodeJSON(w, r, &in) {
		return
	}
	f := in.Fault
	f.Delay, f.OutliveBy, f.Drip = time.Duration(in.Delay), time.Duration(in.OutliveBy), time.Duration(in.Drip)
	if _, err := s.addFault(f); err != nil {
		WriteJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// postClock sets the offset, or moves it on by "advance".
func (s *Server) postClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Offset  *Duration `json:"offset"`
		Advance Duration  `json:"advance"`
	}
	if !DecodeJSON(w, r, &in) {
		return
	}
	if in.Offset != nil {
		s.SetOffset(time.Duration(*in.Offset))
	}
	offset := s.offset.Add(int64(in.Advance))
	WriteJSON(w, http.StatusOK, map[string]any{"offset": Duration(offset), "now": s.Now()})
}

// WriteJSON answers with one JSON value.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// DecodeJSON reads one JSON value without unknown members into value, or answers 400 and reports false.
func DecodeJSON(w http.ResponseWriter, r *http.Request, value any) bool {
	err := DecodeStrict(http.MaxBytesReader(w, r.Body, maxBody), value)
	if err != nil {
		WriteJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
	}
	return err == nil
}

// DecodeStrict reads exactly one JSON value and refuses members that value doesn't have.
func DecodeStrict(from io.Reader, value any) error {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	decoder.UseNumber() // what lands in an any stays as it was written
	if err := decoder.Decode(value); err != nil {
		return fmt.Errorf("decoding JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decoding JSON: more follows the value")
	}
	return nil
}

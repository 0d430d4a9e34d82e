package emulator

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// inject answers one call under a fault.
func (s *Server) inject(f *activeFault, w http.ResponseWriter, r *http.Request) {
	if !f.wait(r) || f.Hangup {
		panic(http.ErrAbortHandler)
	}
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	if f.Status == 0 {
		s.mux.ServeHTTP(answer, r)
	} else {
		answer.status = f.Status
		if f.Status >= 400 && s.cfg.ErrorBody != nil {
			answer.header.Set("Content-Type", "application/json")
			answer.body.Write(s.cfg.ErrorBody(f.Status, f.Format))
		}
	}
	f.edit(answer)
	f.send(answer, w, r)
}

// wait holds and delays; it reports false if the caller left.
func (f *activeFault) wait(r *http.Request) bool {
	if f.Hold {
		select {
		case <-f.removed:
		case <-r.Context().Done():
			return false
		}
	}
	return pause(r, f.Delay)
}

func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// edit changes the answer: its body as a whole, members of it, its headers.
func (f *Fault) edit(a *answer) {
	if f.Body != "" {
		a.body.Reset()
		a.body.WriteString(f.Body)
	}
	if len(f.Set)+len(f.Drop) > 0 {
		a.editJSON(f.Set, f.Drop)
	}
	for name, value := range f.Headers {
		if value == "" {
			a.header.Del(name)
		} else {
			a.header.Set(name, value)
		}
	}
}

// send writes the answer: padded, dripping or cut in half.
func (f *Fault) send(a *answer, w http.ResponseWriter, r *http.Request) {
	maps.Copy(w.Header(), a.header)
	body := a.body.Bytes()
	if f.Pad == 0 && bodyAllowed(a.status) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body))) // so that a cut shows as one
	}
	w.WriteHeader(a.status)
	if f.Cut {
		body = body[:len(body)/2]
	}
	if !pad(w, f.Pad) {
		return
	}
	if f.Drip > 0 {
		drip(w, r, body, f.Drip)
	} else {
		_, _ = w.Write(body)
	}
	if f.Cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

func pad(w http.ResponseWriter, n int) bool {
	spaces := bytes.Repeat([]byte{' '}, min(n, 32<<10))
	for n > 0 {
		k := min(n, len(spaces))
		if _, err := w.Write(spaces[:k]); err != nil {
			return false
		}
		n -= k
	}
	return true
}

func drip(w http.ResponseWriter, r *http.Request, body []byte, every time.Duration) {
	flusher := http.NewResponseController(w)
	for i := range body {
		if _, err := w.Write(body[i : i+1]); err != nil {
			return
		}
		_ = flusher.Flush()
		if !pause(r, every) {
			return
		}
	}
}

// answer is a response that is kept in memory until it has been edited.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	sent   bool
}

// Header is what will be sent.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader keeps the first status.
func (a *answer) WriteHeader(status int) {
	if !a.sent {
		a.status, a.sent = status, true
	}
}

// Write keeps the body.
func (a *answer) Write(b []byte) (int, error) {
	a.sent = true
	return a.body.Write(b)
}

// editJSON changes members of the body if it is a JSON object, and leaves anything else alone.
func (a *answer) editJSON(set map[string]json.RawMessage, drop []string) {
	var object map[string]json.RawMessage
	if json.Unmarshal(a.body.Bytes(), &object) != nil || object == nil {
		return
	}
	maps.Copy(object, set)
	for _, name := range drop {
		delete(object, name)
	}
	// Encoded by hand: a raw value that is no JSON is a fault that someone may want.
	a.body.Reset()
	a.body.WriteByte('{')
	first := true
	for name, value := range object {
		if !first {
			a.body.WriteByte(',')
		}
		first = false
		quoted, _ := json.Marshal(name)
		a.body.Write(quoted)
		a.body.WriteByte(':')
		a.body.Write(value)
	}
	a.body.WriteByte('}')
}

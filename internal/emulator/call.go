package emulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxCalls bounds the list of calls; totals count on.
const maxCalls = 20_000

// Call is one request that the server saw, without its secrets: of every form field that isn't known to be harmless,
// and of every credential, only "sha256:" and the hash in hex.
type Call struct {
	Time   time.Time `json:"time"` // the server's
	Route  string    `json:"route"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	// Fields are the form's; a repeated one is joined by spaces. For HTTP Basic, client_id and client_secret are among
	// them.
	Fields  map[string]string `json:"fields,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Status is 0 until the answer begins, and stays 0 if there is none.
	Status int `json:"status"`
	// Faulted says that a fault was applied.
	Faulted bool `json:"faulted,omitempty"`
	// Notes are what the route says about the call: the cause of a refusal, the claims of an assertion.
	Notes map[string]any `json:"notes,omitempty"`
}

// Total counts a route's calls: all that arrived, and those whose answer began with 2xx.
type Total struct {
	Calls int `json:"calls"`
	OK    int `json:"ok"`
}

// Calls returns the newest 20,000 calls, oldest first, those under way included.
func (s *Server) Calls() []Call { return s.calls.list() }

// Totals returns the totals of each route that was called since the start or the last reset; what has no route counts
// under "/".
func (s *Server) Totals() map[string]Total { return s.calls.totalsCopy() }

// Sent is how many bytes of bodies the route's answers had, since the start or the last reset: as many as the machine took off
// our hands, of which the caller need not have read all.
func (s *Server) Sent(route string) int64 { return s.calls.sentBy(route) }

// WaitCalls returns when at least n calls of the route have arrived, under way or not.
func (s *Server) WaitCalls(ctx context.Context, route string, n int) error {
	for {
		total, changed := s.calls.watch(route)
		if total.Calls >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Note adds to the record of the call that this request is.
func Note(r *http.Request, key string, value any) {
	if c := callOf(r); c != nil {
		c.log.note(c.call, key, value)
	}
}

// FaultOf returns the fault that is set for this request, for routes that bear part of it themselves; nil if none is.
func FaultOf(r *http.Request) *Fault {
	if c := callOf(r); c != nil && c.fault != nil {
		return &c.fault.Fault
	}
	return nil
}

type callKey struct{}

type callContext struct {
	log   *callLog
	call  *Call
	fault *activeFault
}

func withCall(ctx context.Context, c *callContext) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(r *http.Request) *callContext {
	c, _ := r.Context().Value(callKey{}).(*callContext)
	return c
}

func (s *Server) newCall(r *http.Request, route string, fields map[string]string, fault *activeFault) Call {
	call := Call{
		Time: s.Now(), Route: route, Method: r.Method, Path: r.URL.Path, Faulted: fault != nil,
		Fields: make(map[string]string, len(fields)), Headers: make(map[string]string, len(r.Header)),
	}
	for name, value := range fields {
		if !slices.Contains(s.cfg.Plain, name) {
			value = Hash(value)
		}
		call.Fields[name] = value
	}
	for name, values := range r.Header {
		call.Headers[name] = strings.Join(values, ", ")
	}
	for _, name := range []string{"Authorization", "Cookie"} {
		scheme, credential, _ := strings.Cut(call.Headers[name], " ")
		if credential != "" {
			call.Headers[name] = scheme + " " + Hash(credential)
		} else if scheme != "" {
			call.Headers[name] = Hash(scheme)
		}
	}
	return call
}

// Hash is how secrets stand in the record of calls.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// formFields returns the fields of a form and of HTTP Basic, in the clear. Routes parse, and refuse, for themselves.
func formFields(r *http.Request, body []byte) map[string]string {
	fields := map[string]string{}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == "application/x-www-form-urlencoded" {
		form, _ := url.ParseQuery(string(body))
		for name, values := range form {
			fields[name] = strings.Join(values, " ")
		}
	}
	if id, secret, ok := BasicCredentials(r); ok {
		fields["client_id"], fields["client_secret"] = id, secret
	}
	return fields
}

// BasicCredentials reads HTTP Basic as OAuth wants it: each part form-encoded before base64 (RFC 6749 §2.3.1).
func BasicCredentials(r *http.Request) (id, secret string, ok bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err := url.QueryUnescape(user)
	if err != nil {
		return "", "", false
	}
	secret, err = url.QueryUnescape(password)
	return id, secret, err == nil
}

// callLog is the list of calls and the totals per route.
type callLog struct {
	mu      sync.Mutex
	calls   []*Call
	totals  map[string]Total
	bytes   map[string]int64 // of answers, by route
	changed chan struct{}    // closed at the next arrival
}

func (l *callLog) arrive(c Call) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) == maxCalls {
		l.calls = slices.Clone(l.calls[maxCalls/10:]) // in tenths, so that a full list doesn't copy itself at every call
	}
	l.calls = append(l.calls, &c)
	if l.totals == nil {
		l.totals = map[string]Total{}
	}
	total := l.totals[c.Route]
	total.Calls++
	l.totals[c.Route] = total
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return &c
}

func (l *callLog) answered(c *Call, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Status = status
	if total, known := l.totals[c.Route]; known && status/100 == 2 {
		total.OK++
		l.totals[c.Route] = total
	}
}

func (l *callLog) sent(c *Call, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes == nil {
		l.bytes = map[string]int64{}
	}
	l.bytes[c.Route] += int64(n)
}

func (l *callLog) sentBy(route string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes[route]
}

func (l *callLog) note(c *Call, key string, value any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Notes == nil {
		c.Notes = map[string]any{}
	}
	c.Notes[key] = value
}

func (l *callLog) list() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Call, len(l.calls))
	for i, c := range l.calls {
		out[i] = *c
		out[i].Notes = maps.Clone(c.Notes) // the only part that still changes
	}
	return out
}

func (l *callLog) totalsCopy() map[string]Total {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.totals)
}

func (l *callLog) watch(route string) (Total, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.totals[route], l.changed
}

func (l *callLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls, l.totals, l.bytes = nil, nil, nil
}

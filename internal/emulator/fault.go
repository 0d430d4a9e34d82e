package emulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one way of answering badly. Zero members do nothing; the others add up, in the order in which they stand
// here.
type Fault struct {
	// Route is the route's name ("POST /oidc/v1/token"); empty means every route.
	Route string `json:"route"`
	// Match narrows the fault to calls whose form fields have these values (client_id also from HTTP Basic).
	Match map[string]string `json:"match"`
	// Times is how many calls it strikes; 0 means until it is removed.
	Times int `json:"times"`

	// Hold keeps the call waiting until the fault is removed.
	Hold bool `json:"hold"`
	// Delay is how long the call waits, in the machine's time.
	Delay time.Duration `json:"-"`
	// Hangup closes the connection without an answer.
	Hangup bool `json:"hangup"`

	// Status answers in the route's stead, with Body or, for statuses from 400 up, the server's own error body.
	Status int `json:"status"`
	// Format names one of the server's error formats, for Status without Body.
	Format string `json:"format"`
	// Body replaces the answer's body; with Status 0 the route does its work first.
	Body string `json:"body"`
	// Set replaces members of the answer, a JSON object, by any JSON.
	Set map[string]json.RawMessage `json:"set"`
	// Drop removes members of the answer.
	Drop []string `json:"drop"`
	// Headers are set on the answer; an empty value removes one.
	Headers map[string]string `json:"headers"`

	// OutliveBy makes an issued token live longer than it should; Conceal keeps it out of expires_in. Only token
	// endpoints know these.
	OutliveBy time.Duration `json:"-"`
	Conceal   bool          `json:"conceal"`

	// Pad sends as many spaces first: valid JSON, however long.
	Pad int `json:"pad"`
	// Drip sends the body byte by byte with this pause between.
	Drip time.Duration `json:"-"`
	// Cut drops the connection halfway through the body.
	Cut bool `json:"cut"`
}

// activeFault is a fault that is set. Its mutable part belongs to the list's lock.
type activeFault struct {
	Fault
	removed chan struct{} // closed when it is removed
	left    int           // calls left to strike; -1: no end
}

// AddFault sets a fault and returns how to remove it. Of several that fit a call, the one that was set first strikes.
// It panics on a route that doesn't exist, since a misspelled fault makes a test that proves nothing.
func (s *Server) AddFault(f Fault) (remove func()) {
	remove, err := s.addFault(f)
	if err != nil {
		panic(err)
	}
	return remove
}

// ClearFaults removes every fault and lets go what they hold.
func (s *Server) ClearFaults() { s.faults.clear() }

func (s *Server) addFault(f Fault) (func(), error) {
	if routes := s.Routes(); f.Route != "" && !slices.Contains(routes, f.Route) {
		return nil, fmt.Errorf("emulator: no route %q; there are: %s", f.Route, strings.Join(routes, ", "))
	}
	if f.Times < 0 || f.Delay < 0 || f.Drip < 0 || f.Pad < 0 || f.Status < 0 || (f.Status > 0 && f.Status < 200) || f.Status > 999 {
		return nil, fmt.Errorf("emulator: a fault's numbers can't be negative, and its status is 200 to 999")
	}
	return s.faults.add(f), nil
}

type faultList struct {
	mu     sync.Mutex
	faults []*activeFault
}

func (l *faultList) add(f Fault) (remove func()) {
	a := &activeFault{Fault: f, removed: make(chan struct{}), left: f.Times}
	if f.Times == 0 {
		a.left = -1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, a)
	return sync.OnceFunc(func() { l.remove(a) })
}

// take returns the fault that strikes this call, and counts it. A fault that is used up stays in the list while it may
// hold calls: removing it is what lets them go.
func (l *faultList) take(route string, fields map[string]string) *activeFault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		if f.left == 0 || !f.fits(route, fields) {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return f
	}
	return nil
}

func (f *activeFault) fits(route string, fields map[string]string) bool {
	if f.Route != "" && f.Route != route {
		return false
	}
	for name, want := range f.Match {
		if got, present := fields[name]; !present || got != want {
			return false
		}
	}
	return true
}

func (l *faultList) remove(f *activeFault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.faults, f); i >= 0 {
		l.faults = slices.Delete(l.faults, i, i+1)
		close(f.removed)
	}
}

func (l *faultList) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		close(f.removed)
	}
	l.faults = nil
}

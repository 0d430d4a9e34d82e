package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// saveProfile writes a CPU profile of a round to $BENCH_PROFILE, where "go tool pprof" reads it. The service has the
// handler only when it is built with -tags pprof, as it is where that variable is set.
func (s *instance) saveProfile(ctx context.Context, length time.Duration) {
	if err := s.fetchProfile(ctx, length); err != nil {
		fmt.Fprintln(os.Stderr, "bench: no profile:", err)
	}
}

func (s *instance) fetchProfile(ctx context.Context, length time.Duration) error {
	socket := filepath.Join(s.dir, "pprof.sock")
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://sts/debug/pprof/profile?seconds=%d", length/time.Second), nil)
	if err != nil {
		return err
	}
	response, err := c.Do(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	return os.WriteFile(s.bench.profile, body, 0o600)
}

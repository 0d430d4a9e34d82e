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

// saveProfiles writes what a round costs in CPU and in allocations, and what is kept in memory, to
// $BENCH_PROFILE.NAME.cpu.n, .allocs.n and .heap.n; "go tool pprof" reads those of several rounds together. The service
// has the handlers only when it is built with -tags pprof, as it is where that variable is set.
func (s *instance) saveProfiles(ctx context.Context, name string, length time.Duration, n int) {
	if s.bench.profile == "" {
		return
	}
	seconds := fmt.Sprintf("?seconds=%d", length/time.Second)
	for kind, path := range map[string]string{"cpu": "profile" + seconds, "allocs": "allocs" + seconds, "heap": "heap?gc=1"} {
		go func() {
			err := s.saveProfile(ctx, path, fmt.Sprintf("%s.%s.%s.%d", s.bench.profile, name, kind, n))
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench: no profile:", err)
			}
		}()
	}
}

func (s *instance) saveProfile(ctx context.Context, path, file string) error {
	socket := filepath.Join(s.dir, "pprof.sock")
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sts/debug/pprof/"+path, nil)
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
	return os.WriteFile(file, body, 0o600)
}

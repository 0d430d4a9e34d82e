//go:build pprof

package main

import (
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" //nolint:gosec // only in programs built to be measured, and only on a Unix socket
	"os"
	"time"
)

// init serves Go's profiles on the Unix socket that $STS_PPROF names. Only programs built to be measured have it: a
// profile of memory holds secrets.
func init() {
	path := os.Getenv("STS_PPROF")
	if path == "" {
		return
	}
	_ = os.Remove(path) // of the process before
	listener, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second}
	go func() { slog.Error("profiles are no longer served", "error", server.Serve(listener)) }()
}

package store_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// stopping is a way to a Redis that lets so many requests through and then swallows what comes: the other side seems to
// hang, at a moment that the test chose.
type stopping struct {
	address string
	left    atomic.Int64
}

// used reports whether a request was swallowed.
func (s *stopping) used() bool { return s.left.Load() < 0 }

// stopAfter opens a way to address.
func stopAfter(t *testing.T, address string, requests int) *stopping {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stopping{address: listener.Addr().String()}
	s.left.Store(int64(requests))
	var mu sync.Mutex
	var open []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			open = append(open, client, server)
			mu.Unlock()
			running.Go(func() { s.forward(server, client) })
			running.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return s
}

// forward passes requests on: each is written in one piece, and read so at the loopback.
func (s *stopping) forward(server io.WriteCloser, client io.Reader) {
	defer func() { _ = server.Close() }()
	piece := make([]byte, 64<<10)
	for {
		n, err := client.Read(piece)
		if n > 0 && s.left.Add(-1) >= 0 {
			_, err = server.Write(piece[:n])
		}
		if err != nil {
			return
		}
	}
}

package server

import (
	"fmt"
	"net"
	"sync"
)

// checkPlaintext refuses to take credentials over the network in plaintext, unless somebody said so (RFC 6749 §3.2).
func checkPlaintext(key, address string, allowed bool) error {
	if allowed || isLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s %s is not a loopback address and has no certificate; set listen.tls, or listen.plaintext behind a mesh", key, address)
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// limitListener accepts a bounded number of connections at a time. Who comes later waits in the kernel's queue.
type limitListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, connections int) *limitListener {
	return &limitListener{Listener: l, slots: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, free: func() { <-l.slots }}, nil
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once sync.Once
	free func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.once.Do(c.free)
	return c.Conn.Close()
}

package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

var (
	// ErrTooLarge is what reading more of a body than Config.MaxBytes ends with.
	ErrTooLarge = errors.New("the response is larger than is accepted")
	// ErrRedirect is the answer to a redirect: it would carry a credential to an address that nobody configured.
	ErrRedirect = errors.New("the server answered with a redirect, which is not followed")
	// ErrTimeout is a call that took longer than Config.Timeout. It is not context.DeadlineExceeded: that one is the
	// caller's own deadline, and nobody's fault but his.
	ErrTimeout error = timeoutError{}
)

// timeoutError is a net.Error, which is what libraries ask about.
type timeoutError struct{}

func (timeoutError) Error() string   { return "the server took longer than the call's timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// transport bounds each call of base.
type transport struct {
	base      *http.Transport
	timeout   time.Duration
	maxBytes  int64
	userAgent string
}

var _ http.RoundTripper = (*transport)(nil)

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.timeout, ErrTimeout)
	bounded := req.Clone(ctx)
	if bounded.Header.Get("User-Agent") == "" {
		bounded.Header.Set("User-Agent", t.userAgent)
	}
	resp, err := t.base.RoundTrip(bounded)
	if err != nil {
		err = blame(req.Context(), ctx, err)
		cancel()
		return nil, err
	}
	if err := t.refuse(resp); err != nil {
		_ = resp.Body.Close()
		cancel()
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, left: t.maxBytes, cancel: cancel, blame: func(err error) error {
		return blame(req.Context(), ctx, err)
	}}
	return resp, nil
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

func (t *transport) refuse(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return fmt.Errorf("%w (status %d)", ErrRedirect, resp.StatusCode)
	}
	if resp.ContentLength > t.maxBytes {
		return fmt.Errorf("%w (%d bytes)", ErrTooLarge, t.maxBytes)
	}
	return nil
}

// blame gives our own timeout its own name, whichever of the transport's clocks ran out first. What ends with the
// caller's context is the caller's.
func blame(callers, ctx context.Context, err error) error {
	if callers.Err() != nil {
		return err
	}
	var timeout net.Error
	if errors.Is(context.Cause(ctx), ErrTimeout) || (errors.As(err, &timeout) && timeout.Timeout()) {
		return ErrTimeout
	}
	return err
}

// body ends a response at its bounds.
type body struct {
	io.ReadCloser
	left   int64
	cancel context.CancelFunc
	blame  func(error) error
}

// Read implements io.Reader. One byte more than is allowed is read, to tell a body that ends at the bound from one
// that goes on.
func (b *body) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.blame(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

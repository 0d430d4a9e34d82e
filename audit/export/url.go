package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lakegate/sts/exchange"
)

// Doer is a bounded HTTP client; internal/outbound makes them.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// URL posts each batch as JSON lines. 2xx takes it. 429, 408 and 5xx are tried again, after what Retry-After asks; any other
// answer holds the export until somebody has mended something. A batch that comes again has the same Idempotency-Key and
// the same lines.
type URL struct {
	URL    string
	Client Doer
	// Authorization returns the value of that header; nil for none. It is asked for each batch, so that a new one needs no
	// restart.
	Authorization func() (exchange.Secret, error)
	Now           func() time.Time // for a Retry-After that is a date; time.Now if it is left out
}

var _ Destination = (*URL)(nil)

// Limits implements Destination.
func (*URL) Limits() Limits {
	return Limits{Records: 1000, Bytes: 1 << 20, Timeout: 30 * time.Second}
}

// maxReply is how much of an answer is read, so that the connection can be used again.
const maxReply = 64 << 10

// Send implements Destination.
func (u *URL) Send(ctx context.Context, b *Batch) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.URL, bytes.NewReader(b.Body()))
	if err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", b.ID)
	req.Header.Set("STS-Audit-Origin", b.Origin)
	req.Header.Set("STS-Audit-Range", fmt.Sprintf("%d-%d", b.From, b.To))
	if u.Authorization != nil {
		value, err := u.Authorization()
		if err != nil {
			return &Failure{Class: ClassRefused, Err: fmt.Errorf("reading the value of the Authorization header: %w", err)}
		}
		req.Header.Set("Authorization", value.Reveal())
	}
	resp, err := u.Client.Do(req)
	if err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxReply)) // what it says is nobody's
	status := resp.StatusCode
	f := &Failure{Class: ClassRefused, Err: fmt.Errorf("posting a batch: the far end answers %d", status)}
	switch {
	case status/100 == 2:
		return nil
	case status/100 == 5, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		f.Class, f.After = ClassUnavailable, u.retryAfter(resp.Header.Get("Retry-After"))
	}
	return f
}

// retryAfter reads RFC 9110 §10.2.3: seconds, or a date.
func (u *URL) retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		now := time.Now
		if u.Now != nil {
			now = u.Now
		}
		return max(0, at.Sub(now()))
	}
	return 0
}

package inbound

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/exchange"
)

const (
	// MaxBody bounds a token request. Its largest parts are two tokens of 16 KiB each.
	MaxBody = 256 << 10
	// shortBody is what nearly every request fits in; such are bounded by their number alone.
	shortBody = 16 << 10
	// maxLongBodies bounds all longer ones that are under way together, in bytes: nobody has authenticated yet.
	maxLongBodies = 64 << 20
)

// Bodies reads the bodies of requests.
type Bodies struct {
	buffers sync.Pool    // of *[shortBody]byte
	long    atomic.Int64 // bytes reserved for long bodies
}

// NewBodies makes a reader of bodies.
func NewBodies() *Bodies {
	return &Bodies{buffers: sync.Pool{New: func() any { return new([shortBody]byte) }}}
}

// Read reads a whole body of at most limit bytes, or refuses it without reading it to its end. release is called when the
// body is no longer needed.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request, limit int64) (body string, release func(), err *exchange.Error) {
	switch n := r.ContentLength; {
	case n > limit:
		return "", nil, tooLarge(w, limit)
	case n >= 0 && n <= shortBody:
		body, err = b.readShort(r)
		return body, func() {}, err
	default:
		return b.readLong(w, r, limit)
	}
}

func (b *Bodies) readShort(r *http.Request) (string, *exchange.Error) {
	buffer := b.buffers.Get().(*[shortBody]byte)
	content := buffer[:r.ContentLength]
	defer func() {
		clear(content) // it held a token
		b.buffers.Put(buffer)
	}()
	if _, err := io.ReadFull(r.Body, content); err != nil {
		return "", cutOff(err)
	}
	return string(content), nil
}

func (b *Bodies) readLong(w http.ResponseWriter, r *http.Request, limit int64) (string, func(), *exchange.Error) {
	reserved := r.ContentLength
	if reserved < 0 {
		reserved = limit // its length is not announced
	}
	release, refused := b.Reserve(reserved)
	if refused != nil {
		return "", nil, refused
	}
	var body strings.Builder
	if r.ContentLength > 0 {
		body.Grow(int(reserved))
	}
	_, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		release()
		return "", nil, tooLarge(w, limit)
	case err != nil:
		release()
		return "", nil, cutOff(err)
	}
	return body.String(), release, nil
}

// Reserve takes a place for a body of size bytes that is read elsewhere, or refuses it. release gives the place back.
func (b *Bodies) Reserve(size int64) (release func(), err *exchange.Error) {
	if size <= shortBody {
		return func() {}, nil
	}
	release = func() { b.long.Add(-size) }
	if b.long.Add(size) > maxLongBodies {
		release()
		return nil, exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded,
			"too many large requests are under way; ask again shortly").After(time.Second)
	}
	return release, nil
}

func cutOff(err error) *exchange.Error {
	return Malformed("the body ended early; send all of it, and in time").Because(err)
}

func tooLarge(w http.ResponseWriter, limit int64) *exchange.Error {
	// Otherwise the server would read on for the sake of the connection.
	w.Header().Set("Connection", "close")
	return exchange.Refuse(exchange.CodeTooLarge, exchange.ReasonRequestMalformed, "the body is larger than %d bytes", limit)
}

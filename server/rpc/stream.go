package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/lakegate/sts/exchange"
)

const (
	// streamTime is how long a stream may last. Then its caller asks again: no connection is for ever, and a balancer gets
	// to choose anew.
	streamTime = time.Hour
	// stallTime is how long a message may wait for its reader.
	stallTime = 30 * time.Second
	// attendEvery is how often a stream is looked after.
	attendEvery = time.Second
	// lastWords is how long the end of a stream that is cut off may take to be read.
	lastWords = time.Second
	// maxLasting is how many streams of the API there may be at once. They are people who watch, and programs that forward.
	maxLasting = 100
	// endedWait is when to call again after a stream that has ended by no fault of anybody's.
	endedWait = time.Second
)

// lastings are the streams of the API that are under way, whichever way they came.
type lastings struct {
	most  int64
	under atomic.Int64
	// ending ends them all.
	ending context.Context
	end    context.CancelFunc
}

func newLastings(most int64) *lastings {
	if most == 0 {
		most = maxLasting
	}
	l := &lastings{most: most}
	l.ending, l.end = context.WithCancel(context.Background())
	return l
}

func (l *lastings) enter() (leave func(), err *exchange.Error) {
	if l.ending.Err() != nil {
		return nil, errStopping()
	}
	if l.under.Add(1) > l.most {
		l.under.Add(-1)
		return nil, exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited,
			"there are %d streams at once, the most that this replica has; ask again when another has ended", l.most).After(time.Minute)
	}
	return func() { l.under.Add(-1) }, nil
}

// lasting is one stream. Its handler works in a goroutine of its own: whatever that waits for, a reader that takes nothing
// included, the stream can be ended.
type lasting struct {
	grpc.ServerStream
	ctx    context.Context
	cancel context.CancelFunc
	now    func() time.Time

	// wants is closed when the first message is to go out, may when it may, and ended has how the handler ended.
	wants, may chan struct{}
	first      sync.Once
	ended      chan error
	// since is when the message began to wait that waits for its reader, in Unix nanoseconds; 0 where none does.
	since atomic.Int64
}

// begin starts a handler and waits until its first message is to go out. leave is called when the handler has ended.
func (b *bearers) begin(s grpc.ServerStream, next func(grpc.ServerStream) error, leave func()) (*lasting, *exchange.Error) {
	l := &lasting{
		ServerStream: s, now: b.refusals.now, wants: make(chan struct{}), may: make(chan struct{}), ended: make(chan error, 1),
	}
	ctx, cancel := context.WithCancel(s.Context())
	forget := context.AfterFunc(b.lasting.ending, cancel)
	l.ctx, l.cancel = ctx, func() { forget(); cancel() }
	go func() {
		defer leave()
		l.ended <- l.handle(next)
	}()
	late := time.NewTimer(b.callTime)
	defer late.Stop()
	var err error
	select {
	case <-l.wants:
		return l, nil
	case err = <-l.ended:
		if err == nil { // it had nothing to say
			l.ended <- nil
			return l, nil
		}
	case <-l.ctx.Done():
	case <-late.C:
		err = context.DeadlineExceeded
	}
	refused := b.over(l)
	if refused == nil {
		refused = exchange.AsError(err)
	}
	l.cancel()
	return nil, refused
}

// over says that a stream has ended whatever its handler does or says: the server stops, or the caller is gone, and the
// handler fails because of it.
func (b *bearers) over(l *lasting) *exchange.Error {
	switch {
	case b.lasting.ending.Err() != nil:
		return errStopping()
	case l.ctx.Err() != nil:
		return exchange.AsError(l.ctx.Err())
	}
	return nil
}

// handle works until the handler ends. A panic is a failure like any.
func (l *lasting) handle(next func(grpc.ServerStream) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return next(l)
}

// Context implements grpc.ServerStream.
func (l *lasting) Context() context.Context { return l.ctx }

// SendMsg implements grpc.ServerStream.
func (l *lasting) SendMsg(m any) error {
	l.first.Do(func() { close(l.wants) })
	select {
	case <-l.may:
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
	l.since.Store(l.now().UnixNano())
	defer l.since.Store(0)
	return l.ServerStream.SendMsg(m)
}

// attend lets the messages go, and ends the stream when it is time: its handler has ended, its caller is gone, may no
// longer, or reads nothing; it has lasted long enough, or the server stops.
func (b *bearers) attend(l *lasting, c *caller, still func(context.Context) *exchange.Error) *exchange.Error {
	defer l.cancel()
	defer c.hangUp() // whatever ended it: the reader may have stopped long before
	close(l.may)
	began := l.now()
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	for {
		var err *exchange.Error
		select {
		case failed := <-l.ended:
			if err = b.over(l); err == nil {
				return exchange.AsError(failed)
			}
		case <-l.ctx.Done():
			err = b.over(l)
		case <-tick.C:
			if err = l.overdue(began); err != nil {
				break
			}
			if err = still(l.ctx); err != nil && b.over(l) != nil {
				err = b.over(l)
			}
		}
		if err != nil {
			return err
		}
	}
}

// overdue says why a stream must end by the clock. One that was set back makes it end at once, and not never.
func (l *lasting) overdue(began time.Time) *exchange.Error {
	now := l.now()
	if since := l.since.Load(); since != 0 && now.Sub(time.Unix(0, since)) >= stallTime {
		return exchange.Refuse(exchange.CodeDeadline, exchange.ReasonDeadlineExceeded,
			"the stream was not read for %d s; read faster, or ask for less, and call again with the last cursor", int(stallTime/time.Second)).After(endedWait)
	}
	if lasted := now.Sub(began); lasted >= streamTime || lasted < 0 {
		return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded,
			"a stream lasts an hour at most; call again with the last cursor").After(endedWait)
	}
	return nil
}

func errStopping() *exchange.Error {
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonOverloaded,
		"this replica stops; call again with the last cursor, and another takes over").After(endedWait)
}

package export

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/lakegate/sts/exchange"
)

// Destination takes batches. Its consumer is one export, which calls it from one goroutine at a time. One that is an
// io.Closer is closed at the end.
type Destination interface {
	// Limits says how batches are cut.
	Limits() Limits
	// Send returns nil when the batch is taken for good. The same batch, with the same id and content, comes again where
	// that was not learnt; the destination sees to it, or has the far end see to it, that each record is there once. An
	// error that is a *Failure says how to go on; any other is as one that is ClassUnavailable.
	Send(ctx context.Context, b *Batch) error
}

// Marker is a destination that must know where it stood before a batch.
type Marker interface {
	// Mark returns that place. It is kept with the intent, before the batch is sent the first time, and stands in it.
	Mark(ctx context.Context) (Mark, error)
}

// Mark is a place at a destination.
type Mark struct {
	// Of says where it is a place, and nowhere else: an export's destination may change while a batch is under way, and another
	// replica may finish it.
	Of string `json:"of"`
	At int64  `json:"at"`
}

// Limits bound a batch. It is sent as soon as it is full, or its oldest record is older than Wait.
type Limits struct {
	Records int           // > 0
	Bytes   int           // > 0, of lines; a single record may be longer
	Wait    time.Duration // 0 sends what there is
	Timeout time.Duration // > 0, of one try
}

// Class says what kind a failure is of, in a metric and for the pause before the next try.
type Class string

// The classes.
const (
	ClassUnavailable Class = "unavailable" // the far end is away, slow, or has no room: try again soon
	ClassRefused     Class = "refused"     // the far end doesn't take it as it is: somebody has to mend something
	ClassLedger      Class = "ledger"      // the cursor can't be kept
	ClassLog         Class = "log"         // the log can't be read
)

// Failure is why a batch was not taken.
type Failure struct {
	Class Class
	// After is how long the far end asks to be left alone.
	After time.Duration
	Err   error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// RejectedError says that a batch was taken but for some records, which the far end won't take a second time either.
type RejectedError struct{ Records int }

func (e *RejectedError) Error() string { return fmt.Sprintf("%d records were rejected", e.Records) }

// failureOf finds the class of an error, and takes out of it what must not be told: a URL may hold a credential.
func failureOf(err error) *Failure {
	var f *Failure
	var core *exchange.Error
	var at *url.Error
	switch {
	case errors.As(err, &f):
	case errors.As(err, &core):
		f = &Failure{Class: ClassRefused, After: core.RetryAfter, Err: err}
		if core.Code == exchange.CodeUnavailable || core.Code == exchange.CodeDeadline {
			f.Class = ClassUnavailable
		}
	default:
		f = &Failure{Class: ClassUnavailable, Err: err}
	}
	if errors.As(f.Err, &at) {
		return &Failure{Class: f.Class, After: f.After, Err: fmt.Errorf("the request failed: %w", at.Err)}
	}
	return f
}

package index

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Reading is what [Index] answers, for whoever shows it.
type Reading interface {
	// Search returns a page of what q asks for, the newest first. Pages don't shift: what comes in meanwhile, even if it is
	// late, is on none that follow, and nothing is on two. A page may have fewer events than were asked for, or none, where
	// looking for them took long: its Next goes on. ErrCursor is of a q.Page that is none of this query.
	Search(ctx context.Context, q Query) (Page, error)
	// Find returns the event of an id. ErrNotFound where there is none, or it is past its retention.
	Find(ctx context.Context, id string) (*Event, error)
	// Tail goes through the events that q asks for as they come, those of one log in its order, from a Step's cursor on,
	// or "" for from now on. q's PageSize and Page mean nothing. A Step without an event comes after each few hundred events
	// that were looked at, after all that are there, and then five times a second. It ends with an error: the context's, ErrCursor, or the database's.
	Tail(ctx context.Context, q Query, cursor string) iter.Seq2[Step, error]
	// Token returns what is known of a token by its SHA-256 in lower-case hex: at most limit exchanges.
	Token(ctx context.Context, sha256 string, limit int) (Token, error)
	// Statistics counts exchanges by the hour, sorted by hour and then by what they are split by.
	Statistics(ctx context.Context, q StatisticsQuery) ([]HourCount, error)
}

var _ Reading = (*Index)(nil)

// Errors of asking.
var (
	ErrNotFound = errors.New("there is no event of that id")
	ErrCursor   = errors.New("the cursor is not of this query")
	// ErrUncovered is of a receipt that can't be made yet.
	ErrUncovered = errors.New("no checkpoint covers the event yet")
)

// Step is one event of a tail, or none.
type Step struct {
	Event *Event
	// Cursor goes on after it, whatever the query.
	Cursor string
}

// Token is what is known of a token. All is zero of one that isn't known.
type Token struct {
	// Mint obtained it, if it is one that was handed out; its TrueExpiresAt is when it ends.
	Mint *Event
	// Subject is the newest that tells of whom it speaks, if it is one that was presented and verified; its ExpiresAt is
	// when it ends. (Subject.Subject is the record.)
	Subject *Event
	// Events are the exchanges that handed it out or were asked with it, the newest first. A token may be known by others
	// alone, such as an admin record's.
	Events []Event
	// More says that there are more of them.
	More bool
	// Known says that there is any event of it.
	Known bool
}

// StatisticsQuery says which exchanges are counted. What is "" or nil lets everything pass.
type StatisticsQuery struct {
	// From is any moment of the first hour, To the first moment of the hour that is not wanted any more. UTC's hours.
	From, To time.Time
	// By is by what the count is split: any of FieldPrincipal, FieldRule, FieldOutcome.
	By []Field

	Principal, Rule, Outcome string
}

// HourCount is one count; by what it is not split is "".
type HourCount struct {
	Hour                     time.Time
	Principal, Rule, Outcome string
	Count                    int64
}

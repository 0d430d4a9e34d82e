package index

import (
	"github.com/lakegate/sts/audit"
)

// Event is a record in its place in a log.
type Event struct {
	// Record is as it stands in the log, but for a repeat: of that, Exchange is the whole exchange that it tells of, too.
	audit.Record
	// Origin names the log, and Place is the record's in it, from 0.
	Origin string
	Place  uint64
}

// Page is a part of what a query finds, the newest first.
type Page struct {
	Events []Event
	// Next asks for what comes behind; "" where there is nothing more.
	Next string
}

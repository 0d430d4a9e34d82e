package search

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
)

func eventMessages(events []index.Event) ([]*stsv1.Event, error) {
	messages := make([]*stsv1.Event, len(events))
	for i := range events {
		var err error
		if messages[i], err = eventMessage(&events[i]); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// eventMessage is a record in the words of the API. The members of both have the same names, so the record's text is what
// the message is read from. What a message has no field for is left out: of a segment's record, that is what is about the
// log's files.
func eventMessage(e *index.Event) (*stsv1.Event, error) {
	text, err := textOf(e)
	if err != nil {
		return nil, err
	}
	m := &stsv1.Event{}
	read := protojson.UnmarshalOptions{DiscardUnknown: true}
	if err := read.Unmarshal(text, m); err != nil {
		if err = read.Unmarshal(bounded(text), m); err != nil {
			return nil, fmt.Errorf("record %d of %s as an event: %w", e.Place, e.Origin, err)
		}
	}
	m.Origin = e.Origin
	if e.Repeat != nil {
		m.RepeatOf = e.Repeat.Of
	}
	if e.Subject != nil {
		m.GroupsUnknown = e.Subject.Groups == nil
	}
	return m, nil
}

// textOf is a record's text; of a repeat that of the exchange that it is.
func textOf(e *index.Event) ([]byte, error) {
	if e.Repeat == nil {
		return e.Raw, nil
	}
	whole := e.Exchange
	if whole == nil { // the exchange that it went like is past its retention
		whole = e.Repeat.In(&audit.ExchangeRecord{})
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("record %d of %s as an exchange: %w", e.Place, e.Origin, err)
	}
	return text, nil
}

// bounded is a record whose counts fit into an int32, which those of the API are since JSON's numbers are safe no further:
// a clock that was set may have made a duration of hours.
func bounded(text []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return text
	}
	bound := func(of map[string]json.RawMessage, name string) {
		if n, err := strconv.ParseInt(string(of[name]), 10, 64); err == nil {
			of[name] = strconv.AppendInt(nil, min(max(n, math.MinInt32), math.MaxInt32), 10)
		}
	}
	bound(members, "duration_us")
	bound(members, "count")
	var reasons map[string]json.RawMessage
	if json.Unmarshal(members["reasons"], &reasons) == nil {
		for name := range reasons {
			bound(reasons, name)
		}
		members["reasons"], _ = json.Marshal(reasons) // numbers, as they were read
	}
	safe, err := json.Marshal(members)
	if err != nil {
		return text
	}
	return safe
}

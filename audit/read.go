package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/compact"
)

// Header is what all records have in common.
type Header struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Replica string    `json:"replica"`
}

// Record is one line of a log: its header, and exactly one of the pointers, as its type says.
type Record struct {
	Header

	Exchange *ExchangeRecord
	Mint     *MintRecord
	Subject  *SubjectRecord
	Admin    *AdminRecord
	Failures *FailuresRecord
	Repeat   *RepeatRecord
	Segment  *SegmentRecord

	// File and Line (from 1) are where it stands; Raw is the line without its end.
	File string
	Line int
	Raw  json.RawMessage
}

// Reference names an identity and its subject record, which is in the same segment.
type Reference struct {
	ID      string `json:"id"`
	Issuer  string `json:"issuer"`
	Subject string `json:"sub"`
	// Of an actor without a record of his own: From says where he is known from, "act" for that claim of the subject token,
	// and Provider whose he is, "" where that isn't known.
	Provider string `json:"provider"`
	From     string `json:"from"`
}

// Told says that the reference is to an actor who is known by the subject token's word alone.
func (r *Reference) Told() bool { return r.From == fromAct }

// ExchangeRecord is one attempt; the record's id is the decision id.
type ExchangeRecord struct {
	Header

	Entrance string     `json:"entrance"`
	Client   string     `json:"client"`
	Peer     string     `json:"peer"`
	Claimed  *Claimed   `json:"claimed"`
	Subject  *Reference `json:"subject"`
	// Actors are who acts for the subject, the current actor first, then who acted before him.
	Actors        []Reference `json:"actors"`
	Target        *Target     `json:"target"`
	Outcome       string      `json:"outcome"`
	Reason        string      `json:"reason"`
	Rule          string      `json:"rule"`
	Policy        string      `json:"policy"`
	Principal     string      `json:"principal"`
	ApplicationID string      `json:"application_id"`
	Workspace     string      `json:"workspace"`
	Scopes        []string    `json:"scopes"`
	Details       []Detail    `json:"authorization_details"`
	ExpiresAt     time.Time   `json:"expires_at,omitzero"`
	TrueExpiresAt time.Time   `json:"true_expires_at,omitzero"`
	Bound         string      `json:"bound"`
	Mint          string      `json:"mint"`
	Cache         string      `json:"cache"`
	TokenSHA256   string      `json:"token_sha256"`
	SubjectToken  *Presented  `json:"subject_token"`
	ActorToken    *Presented  `json:"actor_token"`
	Duration      int64       `json:"duration_us"`
}

// Claimed is a client's word on its own caller.
type Claimed struct {
	Source    string `json:"source"`
	Route     string `json:"route"`
	RequestID string `json:"request_id"`
}

// Target is what the request named.
type Target struct {
	Workspace string `json:"workspace"`
	Principal string `json:"principal"`
	Resource  string `json:"resource"`
}

// Detail is one authorization detail (RFC 9396).
type Detail struct {
	Type       string   `json:"type"`
	ObjectType string   `json:"object_type"`
	ObjectPath string   `json:"object_path"`
	Actions    []string `json:"actions"`
}

// Presented is a subject or actor token as it came in.
type Presented struct {
	// Type is the short name of the type that it was declared as: access_token, id_token, jwt.
	Type   string `json:"type"`
	ID     string `json:"jti"`
	SHA256 string `json:"sha256"`
}

// MintRecord is one attempt to obtain a token; the record's id is the mint id.
type MintRecord struct {
	Header

	Cause          string    `json:"cause"`
	Method         string    `json:"method"`
	AssertionID    string    `json:"assertion_jti"`
	Principal      string    `json:"principal"`
	ApplicationID  string    `json:"application_id"`
	Workspace      string    `json:"workspace"`
	Scopes         []string  `json:"scopes"`
	Details        []Detail  `json:"authorization_details"`
	AskedExpiresAt time.Time `json:"asked_expires_at"`
	Outcome        string    `json:"outcome"`
	Reason         string    `json:"reason"`
	Answer         string    `json:"answer"`
	TrueExpiresAt  time.Time `json:"true_expires_at"`
	Bound          string    `json:"bound"`
	TokenSHA256    string    `json:"token_sha256"`
	Duration       int64     `json:"duration_us"`
}

// SubjectRecord is who a verified token speaks of, as one policy reads it.
type SubjectRecord struct {
	Header

	Provider string `json:"provider"`
	Issuer   string `json:"issuer"`
	Subject  string `json:"sub"`
	// Groups is nil where they are unknown.
	Groups        []string       `json:"groups"`
	GroupsOverage bool           `json:"groups_overage"`
	Claims        map[string]any `json:"claims"`
	Party         string         `json:"party"`
	TokenType     string         `json:"token_type"`
	TokenID       string         `json:"jti"`
	SHA256        string         `json:"sha256"`
	IssuedAt      time.Time      `json:"issued_at"`
	ExpiresAt     time.Time      `json:"expires_at"`
}

// AdminRecord is a change of the service itself, or a use of our own API.
type AdminRecord struct {
	Header

	Action string `json:"action"`
	Object string `json:"object"`
	Detail string `json:"detail"`
	// TrueExpiresAt is until when Databricks accepts a token that was given up.
	TrueExpiresAt time.Time `json:"true_expires_at"`

	// Of a use of our own API: one of Client and Caller, and the door.
	Entrance string   `json:"entrance"`
	Client   string   `json:"client"`
	Caller   *Bearer  `json:"caller"`
	Peer     string   `json:"peer"`
	Claimed  *Claimed `json:"claimed"`
	Outcome  string   `json:"outcome"`
	Reason   string   `json:"reason"`
}

// Bearer is whom the bearer token of a use of our own API speaks of.
type Bearer struct {
	Provider string `json:"provider"`
	Issuer   string `json:"issuer"`
	Subject  string `json:"sub"`
	TokenID  string `json:"jti"`
	SHA256   string `json:"sha256"`
}

// FailuresRecord sums up requests that failed before their client was known.
type FailuresRecord struct {
	Header

	Source    string           `json:"source"`
	Overflow  bool             `json:"overflow"`
	Count     int64            `json:"count"`
	Reasons   map[string]int64 `json:"reasons"`
	Entrances []string         `json:"entrances"`
	Until     time.Time        `json:"until"`
}

// RepeatRecord is an exchange that went as one before it: the same client, by the same way, with the same tokens, decided
// and answered alike. The record's id is the decision id.
type RepeatRecord struct {
	Header

	// Of is the id of that exchange's record.
	Of        string `json:"of"`
	RequestID string `json:"request_id"`
	// ExpiresAt is zero where it is as in that record.
	ExpiresAt time.Time `json:"expires_at"`
	Cache     string    `json:"cache"`
	Duration  int64     `json:"duration_us"`
}

// In returns the repeat as the exchange that it was, with what the record that it is of says.
func (r *RepeatRecord) In(full *ExchangeRecord) *ExchangeRecord {
	e := *full
	e.Header, e.Cache, e.Duration = r.Header, r.Cache, r.Duration
	e.Type = typeExchange
	if !r.ExpiresAt.IsZero() {
		e.ExpiresAt = r.ExpiresAt
	}
	var claimed Claimed
	if full.Claimed != nil {
		claimed = *full.Claimed
	}
	claimed.RequestID = r.RequestID
	if e.Claimed = nil; claimed != (Claimed{}) {
		e.Claimed = &claimed
	}
	return &e
}

// SegmentRecord is the first record of each segment.
type SegmentRecord struct {
	Header

	// Origin is the name of the log, as in its checkpoints.
	Origin string `json:"origin"`
	// Number is the segment's, as in its file's name.
	Number uint64 `json:"number"`
	// First counts the records before this one, over all segments; so it is this record's place in the tree.
	First uint64 `json:"first"`
	// Range is the compact range of the records before it.
	Range []Hash `json:"range"`
}

// before is the range of the records before the segment.
func (s *SegmentRecord) before() (*compact.Range, error) { return makeRange(0, s.First, s.Range) }

// Read goes through the records of all replicas in a directory, replica by replica in the order they were written. A
// line without its end is one that is being written, or that nobody was promised: it is passed over. Everything else
// that is not a record is an error, behind which the next line follows.
func Read(directory string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		names, err := listSegments(directory)
		if err != nil {
			yield(Record{}, fmt.Errorf("reading the audit log: %w", err))
			return
		}
		for _, n := range names {
			if !readSegment(n.path, yield) {
				return
			}
		}
	}
}

func readSegment(path string, yield func(Record, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		return yield(Record{}, fmt.Errorf("reading the audit log: %w", err))
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewReaderSize(f, 64<<10)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return yield(Record{}, fmt.Errorf("reading the audit log: %w", err))
		}
		r, err := Decode(bytes.TrimSuffix(line, []byte{'\n'}))
		if err != nil {
			err = fmt.Errorf("%s:%d: %w", filepath.Base(path), number, err)
		}
		r.File, r.Line = path, number
		if !yield(r, err) {
			return false
		}
	}
}

// Decode reads one line, strictly: it knows every field of every type.
func Decode(line []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r.Header); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	r.Raw = line
	var err error
	switch r.Type {
	case typeExchange:
		r.Exchange, err = decodeAs[ExchangeRecord](line)
	case typeMint:
		r.Mint, err = decodeAs[MintRecord](line)
	case typeSubject:
		r.Subject, err = decodeAs[SubjectRecord](line)
	case typeAdmin:
		r.Admin, err = decodeAs[AdminRecord](line)
	case typeFailures:
		r.Failures, err = decodeAs[FailuresRecord](line)
	case typeRepeat:
		r.Repeat, err = decodeAs[RepeatRecord](line)
	case typeSegment:
		r.Segment, err = decodeAs[SegmentRecord](line)
	default:
		err = fmt.Errorf("a record of unknown type %q", r.Type)
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

func decodeAs[T any](line []byte) (*T, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	body := new(T)
	if err := dec.Decode(body); err != nil {
		return nil, err
	}
	return body, nil
}

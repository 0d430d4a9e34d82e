package export

import (
	"bytes"
	"encoding/json"
)

// ocsfVersion is that of the schema (https://schema.ocsf.io/1.3.0) whose classes and attributes are used.
const ocsfVersion = "1.3.0"

type ocsfFormat struct{}

func (ocsfFormat) NeedsSubjects() bool { return true }

// Line writes a record as an event of the class that fits it best:
//
//	exchange, failures   Authentication (3002), Logon
//	mint, admin          API Activity (6003)
//	subject, segment, …  Base Event (0): of those only metadata and unmapped say something
//
// What the schema has no place for stands under unmapped, as in the record.
func (ocsfFormat) Line(w *Whole) ([]byte, error) {
	e := &ocsfEvent{
		Time:     w.Time.UnixMilli(),
		Metadata: ocsfMetadata{Version: ocsfVersion, UID: w.ID, EventCode: w.Type, LogName: "audit", LogProvider: w.Replica, Product: ocsfProduct{"sts", "Lakegate"}},
	}
	switch {
	case w.Exchange != nil:
		e.exchange(w)
	case w.Repeat != nil:
		e.class(classAuthentication, activityLogon)
		e.User, e.Service = unknownUser(), &ocsfNamed{Name: "sts"}
	case w.Failures != nil:
		e.failures(w.Failures)
	case w.Mint != nil:
		e.mint(w.Mint)
	case w.Admin != nil:
		e.admin(w.Admin)
	default:
		e.class(classBase, activityOther)
	}
	e.end(outcomeOf(&w.Record))
	if w.Gap != nil {
		e.SeverityID, e.Severity, e.Message = 4, "High", "Records of the audit log could not be exported"
		var err error
		e.Unmapped, err = json.Marshal(w.Gap)
		if err != nil {
			return nil, err
		}
		return e.text()
	}
	rest, err := parseObject(w.Raw)
	if err != nil {
		return nil, err
	}
	for _, name := range e.mapped() {
		rest = rest.with(name, nil, "")
	}
	if len(rest) > 0 {
		e.Unmapped = rest.text()
	}
	return e.text()
}

func (e *ocsfEvent) text() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // nobody shows it in a page
	err := enc.Encode(e)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// mapped are the members of a record whose whole content the event has elsewhere.
func (e *ocsfEvent) mapped() []string {
	mapped := []string{"type", "id", "time", "replica", "outcome", "reason"}
	if e.ClassUID != classBase.uid {
		mapped = append(mapped, "client", "peer")
	}
	return mapped
}

// ocsfEvent is an event of any of the classes.
type ocsfEvent struct {
	ActivityID   int    `json:"activity_id"`
	ActivityName string `json:"activity_name"`
	CategoryUID  int    `json:"category_uid"`
	CategoryName string `json:"category_name"`
	ClassUID     int    `json:"class_uid"`
	ClassName    string `json:"class_name"`
	TypeUID      int    `json:"type_uid"` // class_uid × 100 + activity_id
	TypeName     string `json:"type_name"`
	Time         int64  `json:"time"` // milliseconds since 1970
	StartTime    int64  `json:"start_time,omitempty"`
	EndTime      int64  `json:"end_time,omitempty"`
	Count        int64  `json:"count,omitempty"`
	SeverityID   int    `json:"severity_id"`
	Severity     string `json:"severity"`
	StatusID     int    `json:"status_id,omitempty"`
	Status       string `json:"status,omitempty"`
	StatusCode   string `json:"status_code,omitempty"`
	Message      string `json:"message,omitempty"`

	Metadata ocsfMetadata `json:"metadata"`

	User        *ocsfUser       `json:"user,omitempty"`
	Actor       *ocsfActor      `json:"actor,omitempty"`
	SrcEndpoint *ocsfEndpoint   `json:"src_endpoint,omitempty"`
	DstEndpoint *ocsfEndpoint   `json:"dst_endpoint,omitempty"`
	Service     *ocsfNamed      `json:"service,omitempty"`
	Session     *ocsfSession    `json:"session,omitempty"`
	API         *ocsfAPI        `json:"api,omitempty"`
	Resources   []ocsfResource  `json:"resources,omitempty"`
	ProtocolID  int             `json:"auth_protocol_id,omitempty"`
	Protocol    string          `json:"auth_protocol,omitempty"`
	IsRemote    bool            `json:"is_remote,omitempty"`
	Unmapped    json.RawMessage `json:"unmapped,omitempty"`
}

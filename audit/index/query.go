package index

import "time"

// Field is what a record can be found by.
type Field string

// The fields. A record may have several values of one.
const (
	// FieldType is the record's type, as in the log: exchange, mint, admin, failures, subject. A repeat is an exchange.
	FieldType Field = "type"
	// FieldSubject and FieldIssuer are the sub and the issuer of who became somebody; of an admin record, of who asked.
	FieldSubject Field = "subject"
	FieldIssuer  Field = "issuer"
	// FieldActor is the sub of each who acted for the subject.
	FieldActor  Field = "actor"
	FieldClient Field = "client"
	// FieldPrincipal is a principal's name, and its application id.
	FieldPrincipal Field = "principal"
	FieldWorkspace Field = "workspace"
	FieldRule      Field = "rule"
	FieldOutcome   Field = "outcome"
	FieldReason    Field = "reason"
	// FieldToken is the SHA-256, in lower-case hex, of a token: the one that was handed out, the subject token, a
	// bearer's.
	FieldToken Field = "token"
	// FieldMint is the id of a mint, of its own record and of those who got its token.
	FieldMint Field = "mint"
	// FieldSource is the peer's address, and the source that a client claims.
	FieldSource Field = "source"
	// FieldAction and FieldObject are those of an admin record.
	FieldAction Field = "action"
	FieldObject Field = "object"
)

// Term is a value of a field, matched as a whole.
type Term struct {
	Field Field
	Value string
}

// Query says which records are wanted: those for which all that is set holds.
type Query struct {
	// From and To bound their times: [From, To), in the whole milliseconds that an id tells. Zero is no bound.
	From, To time.Time
	// ID is that of one event; of an exchange the decision id.
	ID string
	// Terms must all hold. Two of one field must both hold, too.
	Terms []Term
	// PageSize is the most events on a page: 1 to MaxPage.
	PageSize int
	// Page is a Page's Next, for the same query.
	Page string
}

// MaxPage is the most events on a page.
const MaxPage = 1000

// span is the ids that the times allow: [low, high).
func (q *Query) span() (low, high id) {
	high = greatestID
	if !q.From.IsZero() {
		low = idAt(q.From)
	}
	if !q.To.IsZero() {
		high = idAt(q.To)
	}
	return low, high
}

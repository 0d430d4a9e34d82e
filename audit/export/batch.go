package export

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Record is one record, written for the far end.
type Record struct {
	ID      string
	Type    string
	Outcome string // of an exchange, a mint, an admin record; else ""
	Time    time.Time
	Line    []byte // one JSON object, without the end of the line
}

// Batch is a stretch of one log: the records [From, To), or, where Records is one of type gap, word of them.
type Batch struct {
	// ID is a UUID, the same whenever this stretch is sent by this export.
	ID      string
	Export  string
	Origin  string
	From    uint64
	To      uint64
	Records []Record
	// Mark is where a Marker stood before it.
	Mark Mark
}

func newBatch(export, origin string, from, to uint64) *Batch {
	return &Batch{ID: batchID(export, origin, from, to), Export: export, Origin: origin, From: from, To: to}
}

// batchID names a stretch of a log for good: a UUIDv8 (RFC 9562 §5.8) of what it is.
func batchID(export, origin string, from, to uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "lakegate audit export\x00%s\x00%s\x00%d\x00%d", export, origin, from, to))
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// Body is all lines, each with its end.
func (b *Batch) Body() []byte {
	size := 0
	for i := range b.Records {
		size += len(b.Records[i].Line) + 1
	}
	body := make([]byte, 0, size)
	for i := range b.Records {
		body = append(append(body, b.Records[i].Line...), '\n')
	}
	return body
}

// Name is the batch's name among those of all replicas: the last parts of its origin, and the stretch. Names of one log
// sort like its records.
func (b *Batch) Name() string {
	parts := strings.Split(b.Origin, "/")
	log := strings.Join(parts[max(0, len(parts)-2):], ".")
	return fmt.Sprintf("%s.%012d-%012d", log, b.From, b.To)
}

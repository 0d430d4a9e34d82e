package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lakegate/sts/exchange"
)

// cursor is what the ledger keeps of one export and one log.
type cursor struct {
	// Next is the place of the first record that is not known to be taken.
	Next uint64 `json:"next"`
	// Intent is the batch that may have been sent; nil where none was.
	Intent *intent `json:"intent,omitempty"`
}

// intent is a batch [Next, To): nothing of it is chosen anew when it is sent again.
type intent struct {
	To   uint64 `json:"to"`
	Mark Mark   `json:"mark,omitzero"`
	// Gap says that these records can't be sent.
	Gap *gap `json:"gap,omitempty"`
}

// gap is why records are not sent.
type gap struct {
	Cause string    `json:"cause"`
	Time  time.Time `json:"time"` // when that was found
}

// The causes of gaps.
const (
	gapRetention = "retention" // dropped before they were exported
	gapDamaged   = "damaged"   // a line that is no record
	gapMissing   = "missing"   // not in the directory
)

// kept is a cursor with its version in the ledger.
type kept struct {
	cursor
	version uint64
	key     string
	ledger  exchange.Ledger
}

// cursorKey is the ledger's key. Origins are as long as an issuer's host, a replica's name and a dozen characters.
func cursorKey(export, origin string) string { return "audit/export/" + export + "/" + origin }

// load reads the cursor; found is false where there is none.
func (k *kept) load(ctx context.Context) (found bool, err error) {
	text, version, err := k.ledger.Get(ctx, k.key)
	if err != nil {
		return false, fmt.Errorf("reading an export's cursor: %w", err)
	}
	k.cursor, k.version = cursor{}, version
	if version == 0 {
		return false, nil
	}
	if err := json.Unmarshal(text, &k.cursor); err != nil {
		return false, fmt.Errorf("the ledger's entry %s is damaged: %w", k.key, err)
	}
	return true, nil
}

// put replaces the cursor, if nobody else has. After an error nobody knows which one stands: load it.
func (k *kept) put(ctx context.Context, c cursor) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := k.ledger.Put(ctx, k.key, text, k.version, time.Time{}); err != nil {
		return fmt.Errorf("keeping an export's cursor: %w", err)
	}
	stands, version, err := k.ledger.Get(ctx, k.key) // for its version
	if err == nil && !bytes.Equal(stands, text) {
		err = exchange.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("reading an export's cursor: %w", err)
	}
	k.cursor, k.version = c, version
	return nil
}

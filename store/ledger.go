package store

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lakegate/sts/exchange"
)

// maxLedgerKey is the longest key of the ledger, in bytes: PostgreSQL can't index one of more than some 2,700.
const maxLedgerKey = 512

// checkKey refuses what not every backend can keep as a key: PostgreSQL takes neither NUL nor what isn't UTF-8.
func checkKey(key string) error {
	if key == "" || len(key) > maxLedgerKey || !utf8.ValidString(key) || strings.Contains(key, "\x00") {
		return fmt.Errorf("the ledger's keys are 1 to %d bytes of UTF-8 without NUL, and not %.40q", maxLedgerKey, key)
	}
	return nil
}

// ledgerAway is what a caller of the service may learn of the ledger's trouble.
func ledgerAway(doing string, cause error) error {
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable,
		"the ledger is not available; ask again shortly").After(time.Second).Because(fmt.Errorf("%s the ledger: %w", doing, cause))
}

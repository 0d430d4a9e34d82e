package exchange_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/lakegate/sts/exchange"
)

func TestNewIDIsAUUIDv7OfItsTime(t *testing.T) {
	now := time.UnixMilli(1_795_000_000_123)
	text, err := exchange.NewID(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := uuid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		t.Errorf("%s is version %v, variant %v", text, id.Version(), id.Variant())
	}
	if sec, nsec := id.Time().UnixTime(); !time.Unix(sec, nsec).Equal(now) {
		t.Errorf("%s holds %v, want %v", text, time.Unix(sec, nsec), now)
	}
	later, err := exchange.NewID(now.Add(time.Millisecond), bytes.NewReader(make([]byte, 10)))
	if err != nil {
		t.Fatal(err)
	}
	if later <= text {
		t.Errorf("a later id %s sorts before %s", later, text)
	}
}

func TestNewIDWithoutRandomnessFails(t *testing.T) {
	broken := errors.New("no entropy")
	if _, err := exchange.NewID(time.Now(), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

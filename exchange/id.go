package exchange

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// NewID returns a UUIDv7 (RFC 9562 §5.7) of now, in milliseconds, and 74 random bits. It takes the clock from its
// caller, so that the ids of a record sort like its times also where a test moves the clock.
func NewID(now time.Time, random io.Reader) (string, error) {
	var u [16]byte
	if _, err := io.ReadFull(random, u[6:]); err != nil {
		return "", fmt.Errorf("reading randomness for an id: %w", err)
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(u[:6], ms[2:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80

	var text [36]byte
	hex.Encode(text[0:8], u[0:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:36], u[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:]), nil
}

// time is when the mint began, in milliseconds, as its id tells (RFC 9562 §5.7).
func (id MintID) time() (t time.Time, ok bool) {
	ms, err := strconv.ParseInt(strings.Replace(string(id[:min(len(id), 13)]), "-", "", 1), 16, 64)
	if err != nil || len(id) != 36 || id[14] != '7' {
		return t, false
	}
	return time.UnixMilli(ms).UTC(), true
}

package clients

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/lakegate/sts/exchange"
)

// NewSecret makes a client secret of 256 random bits, in characters that no encoding touches, and the hash of it in
// lower-case hex, as secret_sha256 wants it.
func NewSecret(random io.Reader) (secret exchange.Secret, sha256hex string, err error) {
	var bits [32]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return "", "", fmt.Errorf("reading randomness for a client secret: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(bits[:])
	sum := sha256.Sum256([]byte(text))
	return exchange.Secret(text), hex.EncodeToString(sum[:]), nil
}

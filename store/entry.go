package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
)

// A token is kept as bytes sealed under its key, in memory too, so that the same bytes may lie in a shared cache: what
// was moved to another key does not open. Inside, in this order: true expiry (8 bytes, Unix seconds), the bound (1), the
// token's SHA-256, the mint id behind its length (1), the text. Scopes and details are in the key, so the grant that
// finds the token has them.
const entryHead = 8 + 1 + sha256.Size + 1

func boundMark(b exchange.Bound) byte {
	if b == exchange.BoundToken {
		return 't'
	}
	return 's'
}

// boundOf is what bounds the tokens of a method.
func boundOf(m exchange.Method) exchange.Bound {
	if m == exchange.MethodFederation {
		return exchange.BoundToken
	}
	return exchange.BoundServed
}

// seal makes the bytes that are kept under k.
func seal(aead tink.AEAD, k *key, t *exchange.Token) ([]byte, error) {
	if len(t.Mint) > 255 {
		return nil, errors.New("the mint id is too long to be kept")
	}
	plain := make([]byte, 0, entryHead+len(t.Mint)+len(t.Text))
	plain = binary.BigEndian.AppendUint64(plain, uint64(t.TrueExpiry.Unix())) //nolint:gosec // after 1970
	plain = append(plain, boundMark(t.Bound))
	plain = append(plain, t.SHA256[:]...)
	plain = append(plain, byte(len(t.Mint))) //nolint:gosec // checked above
	plain = append(plain, t.Mint...)
	plain = append(plain, t.Text.Reveal()...)
	return aead.Encrypt(plain, k[:])
}

// open reads what seal made under the same key for the same grant.
func open(aead tink.AEAD, k *key, box []byte, g *exchange.Grant) (t exchange.Token, err error) {
	plain, err := aead.Decrypt(box, k[:])
	if err != nil {
		return t, fmt.Errorf("opening a cached token: %w", err)
	}
	if len(plain) < entryHead || len(plain) <= entryHead+int(plain[entryHead-1]) {
		return t, errors.New("a cached token is cut short")
	}
	t.TrueExpiry = time.Unix(int64(binary.BigEndian.Uint64(plain)), 0).UTC() //nolint:gosec // as sealed
	if t.Bound = boundOf(g.Method); plain[8] != boundMark(t.Bound) {
		return exchange.Token{}, errors.New("a cached token is not bounded the way its method bounds")
	}
	copy(t.SHA256[:], plain[9:])
	text, cut := string(plain[entryHead:]), int(plain[entryHead-1])
	t.Mint, t.Text = exchange.MintID(text[:cut]), exchange.Secret(text[cut:])
	t.Scopes, t.Details = g.Scopes, g.Details
	return t, nil
}

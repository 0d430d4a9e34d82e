package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"github.com/lakegate/sts/exchange"
)

// Key signs checkpoints. It is one for all replicas: an auditor needs one public key, whatever the number of logs.
type Key struct {
	signer note.Signer
	text   exchange.Secret
	public PublicKey
}

// PublicKey verifies checkpoints.
type PublicKey struct {
	verifier note.Verifier
	text     string
}

// NewSigningKey makes an Ed25519 key that signs checkpoints of logs whose origins begin with name, and the key that
// verifies them, both in the text form of signed notes (C2SP signed-note). random is crypto/rand's.
func NewSigningKey(random io.Reader, name string) (signer, verifier string, err error) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r == '+' || r > unicode.MaxASCII || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	}) {
		return "", "", fmt.Errorf("%q is no name of a log; write one like sts.example.com/audit, without spaces and plus signs", name)
	}
	if signer, verifier, err = note.GenerateKey(random, name); err != nil {
		return "", "", fmt.Errorf("making a signing key: %w", err)
	}
	return signer, verifier, nil
}

// NewKey is NewSigningKey's key, opened.
func NewKey(random io.Reader, name string) (Key, error) {
	private, _, err := NewSigningKey(random, name)
	if err != nil {
		return Key{}, err
	}
	return ParseKey(private)
}

// ParseKey reads a signer key as golang.org/x/mod/sumdb/note writes it: "PRIVATE+KEY+<name>+<hash>+<data>". Its errors
// quote nothing of it.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	signer, err := note.NewSigner(text)
	if err != nil {
		return Key{}, errors.New("not a signer key of the note format (PRIVATE+KEY+name+hash+data); `sts keys new audit` makes one")
	}
	// The data are an algorithm, which is known now to be Ed25519, and the seed.
	data, err := base64.StdEncoding.DecodeString(text[strings.LastIndex(text, "+"+hashText(signer))+10:])
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return Key{}, errors.New("not an Ed25519 signer key")
	}
	private := ed25519.NewKeyFromSeed(data[1:])
	public, err := note.NewEd25519VerifierKey(signer.Name(), ed25519.PublicKey(private[ed25519.SeedSize:]))
	if err != nil {
		return Key{}, err
	}
	p, err := ParsePublicKey(public)
	return Key{signer: signer, text: exchange.Secret(text), public: p}, err
}

func hashText(s note.Signer) string { return fmt.Sprintf("%08x+", s.KeyHash()) }

// ParsePublicKey reads a verifier key: "<name>+<hash>+<data>".
func ParsePublicKey(text string) (PublicKey, error) {
	text = strings.TrimSpace(text)
	v, err := note.NewVerifier(text)
	if err != nil {
		return PublicKey{}, errors.New("not a verifier key of the note format (name+hash+data); `sts audit key` prints ours")
	}
	return PublicKey{verifier: v, text: text}, nil
}

// Name is the key's name.
func (k Key) Name() string { return k.signer.Name() }

// Public is the half that verifies.
func (k Key) Public() PublicKey { return k.public }

// Private is the key's text, for a file.
func (k Key) Private() exchange.Secret { return k.text }

// String names the key and does not tell it.
func (k Key) String() string { return k.public.text }

// Format implements fmt.Formatter, since %+v and %#v would otherwise pass String by.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// String returns the verifier key's text.
func (p PublicKey) String() string { return p.text }

// Name is the key's name.
func (p PublicKey) Name() string { return p.verifier.Name() }

// PublicKeys verify checkpoints where a key was replaced and logs of the one before are still there.
type PublicKeys []PublicKey

// Open reads a checkpoint that one of the keys has signed.
func (p PublicKeys) Open(text []byte) (Checkpoint, error) { return tryEach(p, text, PublicKey.Open) }

// OpenReceipt reads a receipt and verifies it, with the key that it is of.
func (p PublicKeys) OpenReceipt(text []byte) (*Receipt, error) {
	return tryEach(p, text, PublicKey.OpenReceipt)
}

// tryEach returns what the first key that can opens, or the error of the first key.
func tryEach[T any](keys PublicKeys, text []byte, open func(PublicKey, []byte) (T, error)) (opened T, err error) {
	err = errors.New("there is no key to verify it with")
	for i, k := range keys {
		o, e := open(k, text)
		if e == nil {
			return o, nil
		}
		if i == 0 {
			err = e
		}
	}
	return opened, err
}

// Sealer is an AEAD, as tink has it: it seals the key that the ledger keeps.
type Sealer interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

const keyEntry = "audit/key"

// sealedAs binds a sealed key to its purpose.
var sealedAs = []byte("sts audit key 1")

// LedgerKey returns the key that the ledger keeps, sealed, and makes it if there is none. All replicas get the same one.
func LedgerKey(ctx context.Context, ledger exchange.Ledger, sealer Sealer, random io.Reader, name string) (Key, error) {
	for {
		k, found, err := FindLedgerKey(ctx, ledger, sealer)
		if found || err != nil {
			return k, err
		}
		if k, err = NewKey(random, name); err != nil {
			return Key{}, err
		}
		sealed, err := sealer.Encrypt([]byte(k.text.Reveal()), sealedAs)
		if err != nil {
			return Key{}, fmt.Errorf("sealing the audit log's key: %w", err)
		}
		err = ledger.Put(ctx, keyEntry, sealed, 0, time.Time{})
		if err == nil {
			return k, nil
		}
		if !errors.Is(err, exchange.ErrConflict) {
			return Key{}, fmt.Errorf("keeping the audit log's key: %w", err)
		}
	}
}

// FindLedgerKey returns the key that the ledger keeps; found is false where there is none.
func FindLedgerKey(ctx context.Context, ledger exchange.Ledger, sealer Sealer) (k Key, found bool, err error) {
	sealed, version, err := ledger.Get(ctx, keyEntry)
	if err != nil {
		return Key{}, false, fmt.Errorf("reading the audit log's key: %w", err)
	}
	if version == 0 {
		return Key{}, false, nil
	}
	text, err := sealer.Decrypt(sealed, sealedAs)
	if err != nil {
		return Key{}, false, errors.New("the audit log's key in the ledger does not open: it was sealed under another keyset than store.keyset_file names; restore that keyset")
	}
	defer clear(text)
	k, err = ParseKey(string(bytes.TrimSpace(text)))
	return k, err == nil, err
}

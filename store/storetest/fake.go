package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
)

// Grant is minted by federation and lives an hour at most.
func Grant() exchange.Grant {
	return exchange.Grant{
		Workspace: "prod", Principal: "ml", Account: "aws", Host: "https://dbc.cloud.databricks.com",
		ApplicationID: "11111111-2222-3333-4444-555555555555", Method: exchange.MethodFederation,
		Scopes: []string{"model-serving", "sql"}, Lifetime: time.Hour, MinLifetime: time.Minute,
	}
}

// Lasting is Grant with another lifetime.
func Lasting(lifetime time.Duration) exchange.Grant {
	g := Grant()
	g.Lifetime = lifetime
	return g
}

// BySecret is minted by client secret: it lives an hour, whatever is asked.
func BySecret(lifetime time.Duration) exchange.Grant {
	g := Lasting(lifetime)
	g.Method, g.Credential = exchange.MethodClientSecret, "1"
	return g
}

// Detailed is Grant for one endpoint.
func Detailed(path string, actions ...string) exchange.Grant {
	g := Grant()
	var err error
	g.Details, err = exchange.MakeDetails([]exchange.Detail{{
		Type: exchange.DetailTypeWorkspacePermission, ObjectType: "serving-endpoints", ObjectPath: path, Actions: append(actions, "query_inference_endpoint"),
	}})
	if err != nil {
		panic(err)
	}
	return g
}

// Minter answers like Databricks, until it is told otherwise.
type Minter struct {
	Now func() time.Time

	mu     sync.Mutex
	asked  int
	answer func(ctx context.Context, token exchange.Token) (exchange.Token, error)
}

// Mint implements exchange.Minter.
func (m *Minter) Mint(ctx context.Context, id exchange.MintID, g exchange.Grant, until time.Time) (exchange.Token, error) {
	m.mu.Lock()
	m.asked++
	answer := m.answer
	m.mu.Unlock()
	token := exchange.Token{
		Text: exchange.Secret("token of " + id), Scopes: g.Scopes, Details: g.Details, TrueExpiry: until, Bound: exchange.BoundToken, Mint: id,
	}
	if g.Method == exchange.MethodClientSecret {
		token.Bound, token.TrueExpiry = exchange.BoundServed, m.Now().Add(time.Hour).Truncate(time.Second)
	}
	token.SHA256 = sha256.Sum256([]byte(token.Text.Reveal()))
	if answer != nil {
		return answer(ctx, token)
	}
	return token, nil
}

// Count is how often it was asked.
func (m *Minter) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// Will says what every later mint answers; nil is the usual.
func (m *Minter) Will(answer func(ctx context.Context, token exchange.Token) (exchange.Token, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

// Fail makes every later mint fail.
func (m *Minter) Fail(err error) {
	m.Will(func(context.Context, exchange.Token) (exchange.Token, error) { return exchange.Token{}, err })
}

// The errors of a Databricks that is down, and of one that refuses.
var (
	ErrDown     = exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonUpstreamUnavailable, "down").After(time.Second)
	ErrRejected = exchange.Refuse(exchange.CodeUpstream, exchange.ReasonUpstreamRejected, "refused")
)

// Recorder keeps what was recorded, and can be full.
type Recorder struct {
	mu     sync.Mutex
	events []exchange.Event
	full   bool
}

// Record implements exchange.Recorder.
func (r *Recorder) Record(ctx context.Context, e *exchange.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, *e)
	if r.full || ctx.Err() != nil {
		return errors.New("no space left")
	}
	return nil
}

// RecordFailure implements exchange.Recorder.
func (*Recorder) RecordFailure(exchange.Failure) string { return "" }

// SetFull says whether it refuses.
func (r *Recorder) SetFull(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

// All are the events so far.
func (r *Recorder) All() []exchange.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]exchange.Event(nil), r.events...)
}

// NewAEAD seals by a key of its own.
func NewAEAD(t testing.TB) tink.AEAD {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Spoiler is an AEAD that changes what it seals, given what it sealed before.
type Spoiler struct {
	tink.AEAD
	Spoil func(box, before []byte) []byte
	Fails bool
	// Last is the box that was sealed last.
	Last []byte
}

// Encrypt implements tink.AEAD.
func (s *Spoiler) Encrypt(plain, ad []byte) ([]byte, error) {
	if s.Fails {
		return nil, errors.New("the key is gone")
	}
	box, err := s.AEAD.Encrypt(plain, ad)
	if s.Spoil != nil {
		box = s.Spoil(box, s.Last)
	}
	s.Last = box
	return box, err
}

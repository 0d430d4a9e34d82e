package issuer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lakegate/sts/exchange"
)

// Config is what an Issuer is made of. Ledger, AEAD, Recorder and Log are needed.
type Config struct {
	Ledger   exchange.Ledger
	Recorder exchange.Recorder
	// AEAD seals the keys; store.OpenKeyset gives it.
	AEAD tink.AEAD
	Log  *slog.Logger

	// PublishAhead is how long a key is published before it signs; longer than anybody caches our JWKS. [24 h]
	PublishAhead time.Duration
	// Rotation is how long a key signs; longer than PublishAhead. [720 h]
	Rotation time.Duration

	// Now is the clock. [time.Now]
	Now func() time.Time
	// Random makes keys and ids. [crypto/rand]
	Random io.Reader
}

// Issuer holds our signing keys and signs with them.
type Issuer struct {
	ledger   exchange.Ledger
	recorder exchange.Recorder
	aead     tink.AEAD
	log      *slog.Logger
	ahead    time.Duration
	rotation time.Duration
	now      func() time.Time
	random   io.Reader

	advancing sync.Mutex
	state     atomic.Pointer[state]
	fault     atomic.Pointer[error]
}

// New reads the keys, and makes the first if there are none. Without its ledger, or with keys that don't open, it fails.
// Run it.
func New(ctx context.Context, c Config) (*Issuer, error) {
	for _, need := range []struct {
		name    string
		missing bool
	}{{"Ledger", c.Ledger == nil}, {"Recorder", c.Recorder == nil}, {"AEAD", c.AEAD == nil}, {"Log", c.Log == nil}} {
		if need.missing {
			return nil, fmt.Errorf("issuer.Config.%s is missing", need.name)
		}
	}
	i := &Issuer{
		ledger: c.Ledger, recorder: c.Recorder, aead: c.AEAD, log: c.Log,
		ahead: c.PublishAhead, rotation: c.Rotation, now: c.Now, random: c.Random,
	}
	if i.ahead == 0 {
		i.ahead = 24 * time.Hour
	}
	if i.rotation == 0 {
		i.rotation = 720 * time.Hour
	}
	if i.ahead < 0 || i.rotation <= i.ahead {
		return nil, fmt.Errorf("databricks.federation: key_rotation (%v) must be longer than publish_ahead (%v)", i.rotation, i.ahead)
	}
	if i.now == nil {
		i.now = time.Now
	}
	if i.random == nil {
		i.random = rand.Reader
	}
	if err := i.Advance(ctx); err != nil {
		return nil, fmt.Errorf("starting the issuer: %w", err)
	}
	return i, nil
}

// Run does what is due until ctx ends. It looks once a second, so that nothing hangs on a long timer.
func (i *Issuer) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wasWell := i.Health() == nil
		switch err := i.Advance(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil && wasWell:
			i.log.ErrorContext(ctx, "the signing keys can't be looked after; those that are known stay in use", "error", err)
		case err == nil && !wasWell:
			i.log.InfoContext(ctx, "the signing keys are looked after again")
		}
	}
}

// Health is why the last look after the keys failed, nil if it did not.
func (i *Issuer) Health() error {
	if fault := i.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// maxSteps bounds the changes of one Advance, and the races that it may lose.
const maxSteps = 20

// Advance reads the keys and does what is due: makes, activates and retires keys, and records it. Run calls it.
func (i *Issuer) Advance(ctx context.Context) error {
	i.advancing.Lock()
	defer i.advancing.Unlock()
	var err error
	for again, n := true, 0; again && n < maxSteps; n++ {
		again, err = i.step(ctx)
		if errors.Is(err, exchange.ErrConflict) {
			again = true // somebody else was first: read what they did
		}
	}
	if err != nil {
		i.fault.Store(&err)
		return err
	}
	i.fault.Store(nil)
	return nil
}

// step makes at most one change of the ledger's entry: first what is due, then striking out what has been recorded.
func (i *Issuer) step(ctx context.Context) (again bool, err error) {
	const entry = "issuer/keys"
	now := i.now()
	text, version, err := i.ledger.Get(ctx, entry)
	if err != nil {
		return false, fmt.Errorf("reading the signing keys: %w", err)
	}
	var d document
	switch {
	case version == 0 && i.state.Load() != nil:
		// A new first key would sign at once, and nobody who has cached our JWKS would know it.
		return false, errors.New("the ledger has lost the signing keys; restore it, or restart to begin anew with a new key")
	case version != 0:
		if err := json.Unmarshal(text, &d); err != nil || len(d.Keys) == 0 {
			return false, errors.New("the ledger's entry of signing keys is damaged; restore the ledger")
		}
		if err := i.install(d, now); err != nil {
			return false, err
		}
	}
	changed, err := i.due(&d, now)
	if err != nil {
		return false, err
	}
	if !changed {
		if len(d.Owed) == 0 {
			return false, nil
		}
		for _, o := range d.Owed {
			if err := i.recorder.Record(ctx, o.event()); err != nil {
				return false, fmt.Errorf("recording what became of the signing key %s: %w", o.Key, err)
			}
		}
		d.Owed = nil
	}
	if text, err = json.Marshal(d); err != nil {
		return false, fmt.Errorf("encoding the signing keys: %w", err)
	}
	if err := i.ledger.Put(ctx, entry, text, version, time.Time{}); err != nil {
		return false, fmt.Errorf("writing the signing keys: %w", err)
	}
	return true, nil
}

// install puts what was read into use. What is due is never used before the ledger has it.
func (i *Issuer) install(d document, read time.Time) error {
	old := i.state.Load()
	keys := make(map[string]*key, len(d.Keys))
	for _, r := range d.Keys {
		if old != nil && old.keys[r.ID] != nil {
			keys[r.ID] = old.keys[r.ID]
			continue
		}
		var err error
		if keys[r.ID], err = i.openKey(r); err != nil {
			return err
		}
	}
	// due will change the list that it was given.
	s, err := newState(document{Keys: slices.Clone(d.Keys)}, keys, read)
	if err != nil {
		return err
	}
	i.state.Store(s)
	return nil
}

package issuer

import (
	"fmt"
	"time"

	"github.com/lakegate/sts/exchange"
)

// MaxLifetime bounds every assertion, and so how long a key stays published after its successor took over. It is no
// setting: the end of a key must be the same whatever the configuration said when it signed, and noting down each
// assertion's end would make the ledger a part of every mint.
const MaxLifetime = 24 * time.Hour

// slack is kept beyond MaxLifetime for replicas whose clocks differ.
const slack = 5 * time.Minute

// document is the ledger's entry: the keys, oldest first, and the events that are still to be recorded.
type document struct {
	Keys []keyRecord `json:"keys"`
	Owed []owed      `json:"owed,omitempty"`
}

// keyRecord is one key as the ledger keeps it. Its private half is sealed.
type keyRecord struct {
	ID        string    `json:"kid"`
	Algorithm string    `json:"alg"`
	Sealed    []byte    `json:"sealed"`
	Created   time.Time `json:"created"`
	Activates time.Time `json:"activates"`
	// Active says that its activation was taken note of. It signs from Activates on, noted or not.
	Active bool `json:"active,omitempty"`
}

// owed is an event that belongs to a change of the document and is written with it, so that a crash between the two
// loses none. Recorded twice, it has the same id.
type owed struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Key    string    `json:"kid"`
	Detail string    `json:"detail,omitempty"`
}

func (o owed) event() *exchange.Event {
	return &exchange.Event{ID: o.ID, Time: o.Time, Admin: &exchange.Admin{Action: o.Action, Object: o.Key, Detail: o.Detail}}
}

// current is the index of the key that signs at now: the youngest that is active. A clock before the first key's time
// can't be right; then the first signs.
func (d *document) current(now time.Time) int {
	for i := len(d.Keys) - 1; i > 0; i-- {
		if !now.Before(d.Keys[i].Activates) {
			return i
		}
	}
	return 0
}

// due does to d what is due at now, and reports whether anything was.
func (i *Issuer) due(d *document, now time.Time) (changed bool, err error) {
	if activates, needed := i.nextActivation(d, now); needed {
		record, err := i.makeKey(now, activates)
		if err != nil {
			return false, err
		}
		d.Keys = append(d.Keys, record)
		detail := fmt.Sprintf("%s, published now, signs from %s", record.Algorithm, activates.UTC().Format(time.RFC3339))
		if err := i.owe(d, now, "key.create", record.ID, detail); err != nil {
			return false, err
		}
		changed = true
	}
	for n := range d.Keys {
		if k := &d.Keys[n]; !k.Active && !now.Before(k.Activates) {
			k.Active, changed = true, true
			if err := i.owe(d, k.Activates, "key.activate", k.ID, ""); err != nil {
				return false, err
			}
		}
	}
	for len(d.Keys) > 1 && now.After(d.Keys[1].Activates.Add(MaxLifetime+slack)) {
		changed = true
		if err := i.owe(d, now, "key.retire", d.Keys[0].ID, "no assertion that it signed is still valid"); err != nil {
			return false, err
		}
		d.Keys = d.Keys[1:]
	}
	return changed, nil
}

// nextActivation says whether a key is to be made at now, and when it will sign. The first signs at once: Databricks
// can have cached no JWKS without it. A successor never signs before it has been published for publish_ahead, however
// late it is made.
func (i *Issuer) nextActivation(d *document, now time.Time) (activates time.Time, needed bool) {
	if len(d.Keys) == 0 {
		return now, true
	}
	last := d.Keys[len(d.Keys)-1].Activates
	planned, earliest := last.Add(i.rotation), now.Add(i.ahead)
	if now.Before(last) || earliest.Before(planned) {
		return time.Time{}, false // a successor waits already, or it is too early for one
	}
	return earliest, true
}

func (i *Issuer) owe(d *document, at time.Time, action, key, detail string) error {
	id, err := exchange.NewID(at, i.random)
	if err != nil {
		return err
	}
	d.Owed = append(d.Owed, owed{ID: id, Time: at.UTC(), Action: action, Key: key, Detail: detail})
	return nil
}

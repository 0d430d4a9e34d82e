package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"github.com/lakegate/sts/exchange"
)

// Retirement is the signed word of somebody who may use the log's key: that a log is gone for good, with the disk that it was
// on, and that this is in order. It takes nothing off the list of logs, and can't be taken back.
type Retirement struct {
	Origin string    `json:"origin"`
	At     time.Time `json:"at"`
	// By is the account and host that said so, by its own word.
	By     string `json:"by"`
	Reason string `json:"reason"`
	// Size and Root are those of the log's last checkpoint. If there ever was one of more records, the retirement is void.
	Size uint64 `json:"records"`
	Root Hash   `json:"root"`
}

// retirementStart is the first line of the signed text. No checkpoint begins so: an origin begins with its key's name.
const retirementStart = "sts audit retirement 1"

const (
	retiredEntry     = "audit/retired/"
	maxRetiredReason = 500 // bytes
)

// ErrRetired says that a log was retired before.
var ErrRetired = errors.New("the log has been retired already")

// sign makes the note.
func (r *Retirement) sign(k Key) ([]byte, error) {
	return note.Sign(&note.Note{Text: strings.Join([]string{
		retirementStart, r.Origin, r.At.UTC().Format(time.RFC3339), r.By, r.Reason, strconv.FormatUint(r.Size, 10), r.Root.String(), "",
	}, "\n")}, k.signer)
}

// openRetirement reads a note that k has signed.
func (p PublicKey) openRetirement(text []byte) (r Retirement, err error) {
	n, err := note.Open(text, note.VerifierList(p.verifier))
	if err != nil {
		return r, fmt.Errorf("not signed by %s", p.Name())
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 8 || lines[0] != retirementStart || lines[7] != "" {
		return r, errors.New("not a retirement")
	}
	r = Retirement{Origin: lines[1], By: lines[3], Reason: lines[4]}
	at, err1 := time.Parse(time.RFC3339, lines[2])
	size, err2 := parseCount(lines[5])
	if err := errors.Join(err1, err2, r.Root.UnmarshalText([]byte(lines[6]))); err != nil {
		return r, fmt.Errorf("not a retirement: %w", err)
	}
	r.At, r.Size = at, size
	return r, nil
}

// Retirement returns what would retire a log now, and an error if it can't be: ErrRetired if it has been.
func (w *LedgerWitness) Retirement(ctx context.Context, origin, by, reason string, at time.Time) (Retirement, error) {
	switch kept, ok, err := w.Newest(ctx, origin); {
	case err != nil:
		return Retirement{}, err
	case !ok:
		return Retirement{}, fmt.Errorf("there never was a log %q; `sts audit verify --all` names those that are missing", origin)
	case strings.TrimSpace(reason) == "" || len(reason) > maxRetiredReason || strings.ContainsFunc(reason, unicode.IsControl):
		return Retirement{}, fmt.Errorf("the reason must be one line of 1 to %d bytes", maxRetiredReason)
	default:
		r := Retirement{Origin: origin, At: at.UTC().Truncate(time.Second), By: by, Reason: reason, Size: kept.Size, Root: kept.Root}
		if _, retired, err := w.retired(ctx, origin); err != nil || retired {
			return r, cmp.Or(err, ErrRetired)
		}
		return r, nil
	}
}

// Retire keeps a retirement, signed by k, for ever.
func (w *LedgerWitness) Retire(ctx context.Context, k Key, r Retirement) error {
	text, err := r.sign(k)
	if err != nil {
		return fmt.Errorf("retiring a log: %w", err)
	}
	if _, err := k.Public().openRetirement(text); err != nil { // a line too many in what was put in
		return fmt.Errorf("retiring a log: %w", err)
	}
	err = w.ledger.Put(ctx, retiredEntry+r.Origin, text, 0, time.Time{})
	if errors.Is(err, exchange.ErrConflict) {
		return ErrRetired
	}
	return err
}

// Retired returns the retirements of all logs that were retired.
func (w *LedgerWitness) Retired(ctx context.Context) ([]Retirement, error) {
	origins, _, err := w.origins(ctx)
	if err != nil {
		return nil, err
	}
	var all []Retirement
	for _, origin := range origins {
		r, found, err := w.retired(ctx, origin)
		if err != nil {
			return nil, err
		}
		if found {
			all = append(all, r)
		}
	}
	return all, nil
}

func (w *LedgerWitness) retired(ctx context.Context, origin string) (r Retirement, found bool, err error) {
	text, version, err := w.ledger.Get(ctx, retiredEntry+origin)
	if err != nil {
		return r, false, fmt.Errorf("reading a retirement from the ledger: %w", err)
	}
	if version == 0 {
		return r, false, nil
	}
	if r, err = tryEach(w.keys, text, PublicKey.openRetirement); err == nil && r.Origin != origin {
		err = errors.New("of another log")
	}
	if err != nil {
		return r, false, fmt.Errorf("the ledger's retirement of %s is %w", origin, err)
	}
	return r, true, nil
}

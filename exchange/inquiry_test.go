package exchange_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
)

const asked = "a.token.text"

var askedSHA256 = hex.EncodeToString(func() []byte { sum := sha256.Sum256([]byte(asked)); return sum[:] }())

func inquiry() *exchange.Inquiry {
	return &exchange.Inquiry{
		Entrance: "grpc", Client: &exchange.Client{ID: "kong"}, Source: exchange.Source{Peer: netip.MustParseAddr("192.0.2.1")}, Token: asked,
	}
}

func lasting(rest time.Duration) *exchange.Handout {
	return &exchange.Handout{Expiry: noon.Truncate(time.Second).Add(rest), Scopes: []string{"sql"}}
}

// TestInquiries holds what each standing of a token answers to introspection and to revocation, and how both are recorded.
func TestInquiries(t *testing.T) {
	down := exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "down")
	for _, tc := range []struct {
		name string
		bend func(*world, *exchange.Inquiry)
		// What introspection answers, and what revocation does: "" is nothing, and no error.
		active                bool
		introspected, revoked exchange.Reason
		detail, ends          string
	}{
		{"K05 live", func(w *world, _ *exchange.Inquiry) { w.handout = lasting(time.Minute) }, true, "", "", "active", "2026-11-24T12:01:00Z"},
		{"K04 unknown", func(*world, *exchange.Inquiry) {}, false, "", "", "not known", ""},
		{"K04 expired", func(w *world, _ *exchange.Inquiry) { w.handout = lasting(0) }, false, "", "", "expired", ""},
		{"K04 K07 another client's", func(w *world, _ *exchange.Inquiry) { w.others = true }, false, "", exchange.ReasonClientNotAllowed, "handed out to others", ""},
		{"revoked", func(w *world, _ *exchange.Inquiry) {
			w.handout, w.ended = lasting(time.Minute), map[string]bool{"kong " + askedSHA256: true}
		}, false, "", "", "given up by this client", ""},
		{"revoked, and nobody can tell more", func(w *world, _ *exchange.Inquiry) {
			w.find, w.ended = down, map[string]bool{"kong " + askedSHA256: true}
		}, false, "", "", "given up by this client", ""},
		{"revoked by another", func(w *world, _ *exchange.Inquiry) {
			w.handout, w.ended = lasting(time.Minute), map[string]bool{"other " + askedSHA256: true}
		}, true, "", "", "active", "2026-11-24T12:01:00Z"},
		{"nobody can tell", func(w *world, _ *exchange.Inquiry) { w.find = down }, false, exchange.ReasonLedgerUnavailable, exchange.ReasonLedgerUnavailable, "", ""},
		{"a foreign error is ours", func(w *world, _ *exchange.Inquiry) { w.find = errors.New("odd") }, false, exchange.ReasonInternal, exchange.ReasonInternal, "", ""},
		{"no token", func(_ *world, q *exchange.Inquiry) { q.Token = "" }, false, exchange.ReasonRequestMalformed, exchange.ReasonRequestMalformed, "", ""},
		{"limited", func(w *world, _ *exchange.Inquiry) {
			w.enter = exchange.Refuse(exchange.CodeRateLimited, exchange.ReasonRateLimited, "slow")
		}, false, exchange.ReasonRateLimited, exchange.ReasonRateLimited, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, q := newWorld(), inquiry()
			tc.bend(w, q)
			got, err := w.service(t).Introspect(t.Context(), q)
			want := exchange.Introspection{}
			if tc.active {
				want = exchange.Introspection{Active: true, Client: "kong", Handout: *w.handout}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			w.wantRecord(t, "token.introspect", tc.introspected, err, tc.detail, q)

			w, q = newWorld(), inquiry()
			tc.bend(w, q)
			err = w.service(t).Revoke(t.Context(), q)
			detail := tc.detail
			if detail == "active" {
				detail = "given up by this client"
			}
			w.wantRecord(t, "token.revoke", tc.revoked, err, detail, q)
			ends, recorded := "", ""
			for _, step := range w.steps {
				if until, ended := strings.CutPrefix(step, "end until "); ended {
					ends = until
				}
			}
			if until := w.events[0].Admin.TrueExpiry; !until.IsZero() {
				recorded = until.Format(time.RFC3339)
			}
			if ends != tc.ends || recorded != tc.ends {
				t.Errorf("ended until %q, recorded until %q, want %q", ends, recorded, tc.ends)
			}
		})
	}
}

// wantRecord holds that an inquiry left one record, and that its error names it.
func (w *world) wantRecord(t *testing.T, action string, reason exchange.Reason, err error, detail string, q *exchange.Inquiry) {
	t.Helper()
	if len(w.events) != 1 || w.events[0].Admin == nil {
		t.Fatalf("recorded %+v", w.events)
	}
	record := w.events[0].Admin
	object := askedSHA256
	if q.Token == "" || w.enter != nil {
		object = ""
	}
	if record.Action != action || record.Object != object || record.Detail != detail || strings.Contains(record.Detail, asked) {
		t.Errorf("recorded %+v", record)
	}
	by := exchange.Caller{Entrance: "grpc", Client: "kong", Source: q.Source}
	if diff := cmp.Diff(by, *record.By, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	var failed *exchange.Error
	errors.As(err, &failed)
	switch {
	case reason == "":
		if err != nil || record.Err != nil {
			t.Errorf("%v, recorded as %v", err, record.Err)
		}
	case failed == nil || failed.Reason != reason || failed.DecisionID != w.events[0].ID || record.Err == nil || record.Err.Reason != reason:
		t.Errorf("%v, recorded as %v, want %s", err, record.Err, reason)
	}
}

// TestRevokeThatIsNotStored holds that what can't be stored is refused and recorded as not done.
func TestRevokeThatIsNotStored(t *testing.T) {
	w := newWorld()
	w.handout, w.end = lasting(time.Minute), exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonLedgerUnavailable, "down")
	w.wantRecord(t, "token.revoke", exchange.ReasonLedgerUnavailable, w.service(t).Revoke(t.Context(), inquiry()), "active", inquiry())
	if !w.events[0].Admin.TrueExpiry.IsZero() {
		t.Error("it is recorded as done")
	}
}

// TestInquiryWithoutRecord holds: no record, no answer.
func TestInquiryWithoutRecord(t *testing.T) {
	w := newWorld()
	w.handout, w.record = lasting(time.Minute), errors.New("disk full")
	got, err := w.service(t).Introspect(t.Context(), inquiry())
	if exchange.AsError(err).Reason != exchange.ReasonAuditUnavailable || got.Active {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := w.service(t).Revoke(t.Context(), inquiry()); exchange.AsError(err).Reason != exchange.ReasonAuditUnavailable {
		t.Errorf("got %v", err)
	}
}

// TestInquiryPanics holds that a panic is a failure of ours, with a record.
func TestInquiryPanics(t *testing.T) {
	w, q := newWorld(), inquiry()
	q.Client = &exchange.Client{ID: "panic"}
	if _, err := w.service(t).Introspect(t.Context(), q); exchange.AsError(err).Reason != exchange.ReasonInternal || len(w.events) != 1 {
		t.Errorf("%v, %d records", err, len(w.events))
	}
}

// TestHandoutOf holds that a token speaks of its subject only where it is that subject's alone.
func TestHandoutOf(t *testing.T) {
	minted := time.Date(2026, 11, 24, 11, 59, 59, 700_000_000, time.UTC)
	id, err := exchange.NewID(minted, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &exchange.Attempt{
		Subject: &exchange.Identity{Issuer: "https://idp.example", Subject: "ada"},
		Actor:   &exchange.Identity{Issuer: "https://idp.example", Subject: "agent"},
		Token:   exchange.Token{TrueExpiry: noon, Scopes: []string{"sql"}, Mint: exchange.MintID(id)},
	}
	want := exchange.Handout{Expiry: noon, IssuedAt: minted.Truncate(time.Second), Scopes: []string{"sql"}}
	if diff := cmp.Diff(want, exchange.HandoutOf(a)); diff != "" {
		t.Error(diff)
	}
	a.Decision.Grant.Personal = true
	want.Subject = &exchange.Party{Issuer: "https://idp.example", Subject: "ada"}
	want.Actor = &exchange.Party{Issuer: "https://idp.example", Subject: "agent"}
	if diff := cmp.Diff(want, exchange.HandoutOf(a)); diff != "" {
		t.Error(diff)
	}
	a.Actor, want.Actor = nil, nil
	for _, odd := range []exchange.MintID{"", "x", "0192000000000000000000000000000000000", exchange.MintID(strings.Repeat("z", 36))} {
		a.Token.Mint, want.IssuedAt = odd, time.Time{}
		if diff := cmp.Diff(want, exchange.HandoutOf(a)); diff != "" {
			t.Errorf("%q: %s", odd, diff)
		}
	}
}

// TestTheClientOfAGrant holds that tokens are obtained for the client that asks.
func TestTheClientOfAGrant(t *testing.T) {
	w := newWorld()
	if _, err := w.service(t).Exchange(t.Context(), newCall()); err != nil {
		t.Fatal(err)
	}
	if w.grant.Client != "kong" {
		t.Errorf("obtained for %q", w.grant.Client)
	}
}

package audit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
)

// An exchange is a repeat only of one from which it differs in nothing but what a repeat says for itself.
func TestRepeats(t *testing.T) {
	who, other := alice(), alice()
	tests := []struct {
		name   string
		change func(a *exchange.Attempt)
		want   string
	}{
		{"nothing", func(*exchange.Attempt) {}, "repeat"},
		{"time and id", func(a *exchange.Attempt) { a.Time, a.ID = a.Time.Add(time.Second), "another" }, "repeat"},
		{"request id", func(a *exchange.Attempt) { a.Call.Source.Claimed.RequestID = "req-2" }, "repeat"},
		{"cache", func(a *exchange.Attempt) { a.Token.Cache = exchange.CacheMemory }, "repeat"},
		{"end", func(a *exchange.Attempt) { a.ExpiresAt = a.ExpiresAt.Add(time.Second) }, "repeat"},
		{"duration", func(a *exchange.Attempt) { a.Duration++ }, "repeat"},
		{"client", func(a *exchange.Attempt) { a.Call.Client = &exchange.Client{ID: "other"} }, "exchange"},
		{"entrance", func(a *exchange.Attempt) { a.Call.Entrance = "grpc" }, "exchange"},
		{"peer", func(a *exchange.Attempt) { a.Call.Source.Peer = netip.MustParseAddr("10.0.0.8") }, "exchange"},
		{"peer, written otherwise", func(a *exchange.Attempt) { a.Call.Source.Peer = netip.AddrFrom16(a.Call.Source.Peer.As16()) }, "exchange"},
		{"source", func(a *exchange.Attempt) { a.Call.Source.Claimed.Source = "203.0.113.10" }, "exchange"},
		{"route", func(a *exchange.Attempt) { a.Call.Source.Claimed.Route = "other" }, "exchange"},
		{"subject token", func(a *exchange.Attempt) {
			w := alice()
			w.TokenSHA256[0]++
			a.Subject = w
		}, "exchange"},
		{"verified anew", func(a *exchange.Attempt) { a.Subject = other }, "exchange"},
		{"declared type", func(a *exchange.Attempt) { a.Request.Subject.Type = exchange.TypeJWT }, "exchange"},
		{"actor", func(a *exchange.Attempt) { a.Actor = other }, "exchange"},
		{"actor token", func(a *exchange.Attempt) {
			a.Request.Actor = &exchange.Presented{Token: "another", Type: exchange.TypeJWT}
		}, "exchange"},
		{"target", func(a *exchange.Attempt) { a.Request.Target.Principal = "" }, "exchange"},
		{"rule", func(a *exchange.Attempt) { a.Decision.Rule = "other" }, "exchange"},
		{"policy", func(a *exchange.Attempt) { a.Decision.Policy = "other" }, "exchange"},
		{"principal", func(a *exchange.Attempt) { a.Decision.Grant.Principal = "other" }, "exchange"},
		{"scopes", func(a *exchange.Attempt) { a.Decision.Grant.Scopes = []string{"sql"} }, "exchange"},
		{"details", func(a *exchange.Attempt) { a.Decision.Grant.Details = nil }, "exchange"},
		{"outcome", func(a *exchange.Attempt) {
			a.Err = exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonRevoked, "revoked")
		}, "exchange"},
		{"token", func(a *exchange.Attempt) { a.Token.SHA256[0]++ }, "exchange"},
		{"mint", func(a *exchange.Attempt) { a.Token.Mint = "other" }, "exchange"},
		{"the token's end", func(a *exchange.Attempt) { a.Token.TrueExpiry = a.Token.TrueExpiry.Add(time.Second) }, "exchange"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l, _ := open(t, dir, nil)
			mustRecord(t, l, exchangeEvent(granted(who, "t")))
			a := granted(who, "t")
			a.ID = "second"
			test.change(a)
			mustRecord(t, l, exchangeEvent(a))
			mustClose(t, l)
			records := read(t, dir)
			if got := records[len(records)-1]; got.Type != test.want {
				t.Errorf("a change of %s makes %s", test.name, got.Type)
			}
			if test.want != "repeat" {
				return
			}

			// Read as the exchange that it was, it is as its full record would have been.
			alone := t.TempDir()
			l, _ = open(t, alone, nil)
			mustRecord(t, l, exchangeEvent(a))
			mustClose(t, l)
			full := read(t, alone)
			want := full[len(full)-1].Exchange
			first := records[len(records)-2]
			repeat := records[len(records)-1].Repeat
			if repeat.Of != first.ID {
				t.Errorf("of %s, not of %s", repeat.Of, first.ID)
			}
			if diff := cmp.Diff(want, repeat.In(first.Exchange)); diff != "" {
				t.Errorf("-as it was +as it is read:\n%s", diff)
			}
		})
	}
}

// A denial that comes again and again is compact, too; what was not even read never is.
func TestRepeatedDenials(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	for range 2 {
		mustRecord(t, l, exchangeEvent(denied(exchange.CodeNotGranted, exchange.ReasonNoMatchingRule)))
		mustRecord(t, l, exchangeEvent(unverified()))
		mustRecord(t, l, exchangeEvent(unread()))
	}
	mustClose(t, l)
	want := []string{"subject", "exchange", "exchange", "exchange", "subject", "exchange", "repeat", "exchange"}
	if diff := cmp.Diff(want, types(read(t, dir))); diff != "" {
		t.Error(diff)
	}
}

// A repeat is a quarter of what it repeats.
func TestRepeatIsCompact(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, nil)
	who := alice()
	mustRecord(t, l, exchangeEvent(granted(who, "t")))
	mustRecord(t, l, exchangeEvent(granted(who, "t")))
	mustClose(t, l)
	records := read(t, dir)
	first, again := records[1], records[2]
	if again.Repeat == nil || len(again.Raw)*4 > len(first.Raw) {
		t.Errorf("%d bytes after %d", len(again.Raw), len(first.Raw))
	}
	if len(segments(t, dir)) != 1 || first.File != again.File {
		t.Error("not in one segment")
	}
}

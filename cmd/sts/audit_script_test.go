package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// auditlog is a command of the scripts: auditlog DIR KEYFILE writes a log of what happened on one morning. It sets the
// variables GRANTED, DENIED and MINT to the ids of its events, TOKEN and HASH to the token that was handed out.
func auditlog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: auditlog DIR KEYFILE")
	}
	key, err := audit.ParseKey(ts.ReadFile(args[1]))
	ts.Check(err)
	begin := time.Date(2026, 11, 24, 10, 15, 0, 0, time.UTC)
	var passed atomic.Int64 // the log reads its clock by itself
	now := func() time.Time { return begin.Add(time.Duration(passed.Load())) }
	l, err := audit.Open(audit.Config{
		Directory: ts.MkAbs(args[0]), Replica: "sts-0", Key: key, Retention: 100 * 365 * 24 * time.Hour, Now: now, Log: slog.New(slog.DiscardHandler),
	})
	ts.Check(err)
	record := func(variable string, e *exchange.Event) string {
		passed.Add(int64(time.Second))
		e.Time = now()
		e.ID, err = exchange.NewID(e.Time, bytes.NewReader(make([]byte, 64)))
		ts.Check(err)
		if e.Exchange != nil {
			e.Exchange.ID, e.Exchange.Time = e.ID, e.Time
		}
		ts.Check(l.Record(context.Background(), e))
		if variable != "" {
			ts.Setenv(variable, e.ID)
		}
		return e.ID
	}
	const token = "dapi-handed-out"
	sum := sha256.Sum256([]byte(token))
	ts.Setenv("TOKEN", token)
	ts.Setenv("HASH", hex.EncodeToString(sum[:]))
	end := begin.Add(10 * time.Minute)
	grant := exchange.Grant{Principal: "ml-inference", ApplicationID: "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11", Workspace: "prod", Method: exchange.MethodFederation}
	person := func(sub string, groups ...string) *exchange.Identity {
		return &exchange.Identity{
			Provider: "okta", Issuer: "https://okta.example", Subject: sub, Groups: exchange.Groups{Known: true, Names: groups},
			TokenSHA256: sha256.Sum256([]byte(sub)), Expiry: begin.Add(time.Hour),
		}
	}
	call := &exchange.Call{Entrance: "form", Client: &exchange.Client{ID: "kong"}, Source: exchange.Source{Peer: netip.MustParseAddr("10.0.0.7")}}
	asked := &exchange.Request{Target: exchange.Target{Workspace: "prod"}}

	record("", &exchange.Event{Admin: &exchange.Admin{Action: "policy.load", Object: "355ef6e5"}})
	handed := exchange.Token{Text: token, SHA256: sum, TrueExpiry: end, Bound: exchange.BoundToken, Cache: exchange.CacheMinted}
	handed.Mint = exchange.MintID(record("MINT", &exchange.Event{Mint: &exchange.Mint{Cause: exchange.CauseMiss, Grant: grant, Asked: end, Token: handed}}))
	record("GRANTED", &exchange.Event{Exchange: &exchange.Attempt{
		Call: call, Request: asked, Subject: person("ada", "data-science", "everyone"), Decision: exchange.Decision{Grant: grant, Rule: "scientists"}, Token: handed, ExpiresAt: end,
	}})
	record("DENIED", &exchange.Event{Exchange: &exchange.Attempt{
		Call: call, Request: asked, Subject: person("eve\x1b[31m", "contractors"), Decision: exchange.Decision{Rule: "no-contractors", Denial: exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonDeniedByRule, "no")},
		Err: exchange.Refuse(exchange.CodeNotGranted, exchange.ReasonDeniedByRule, "no"),
	}})
	ts.Check(l.Close(context.Background()))
}

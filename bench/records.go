package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping/mappingtest"
)

// records measures the audit log by itself, with as many callers as the exchanges have.
func (b *bench) records(ctx context.Context) error {
	length := min(b.length, 2*time.Second)
	shown := map[audit.Sync]measure{}
	for _, sync := range []audit.Sync{audit.SyncWritten, audit.SyncMint, audit.SyncAlways} {
		m, err := b.recordAll(ctx, sync, length)
		if err != nil {
			return fmt.Errorf("%s: %w", sync, err)
		}
		shown[sync] = m
	}
	written := shown[audit.SyncWritten]
	for _, sync := range []audit.Sync{audit.SyncWritten, audit.SyncMint} {
		b.table.add(row{
			what: "audit records, sync: " + string(sync), measured: rate(shown[sync].perSecond), against: "written " + rate(written.perSecond),
			ratio: fmt.Sprintf("%.2f", shown[sync].perSecond/written.perSecond),
		})
	}
	always := shown[audit.SyncAlways]
	b.table.add(row{
		what: "audit records, sync: always", measured: rate(always.perSecond), against: "written " + rate(written.perSecond),
		ratio: fmt.Sprintf("%.2f", always.perSecond/written.perSecond), budget: ">= 10000/s", verdict: verdict(always.perSecond >= 10_000),
	})
	added := always.p99 - written.p99
	b.table.add(row{
		what: "  p99 that it adds", measured: fmt.Sprintf("%.1f ms", float64(added.Microseconds())/1000), budget: "<= 25 ms", verdict: verdict(added <= 25*time.Millisecond),
	})
	return nil
}

// recordAll records granted exchanges under load. One record in a hundred is of a token that its subject gets for the
// first time, which is what sync: mint puts on disk before the answer.
func (b *bench) recordAll(ctx context.Context, sync_ audit.Sync, length time.Duration) (measure, error) {
	key, err := audit.NewKey(rand.Reader, "sts.example/audit")
	if err != nil {
		return measure{}, err
	}
	log, err := audit.Open(audit.Config{
		Directory: filepath.Join(b.dir, "records-"+string(sync_)), Replica: "bench", Key: key, Sync: sync_, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return measure{}, err
	}
	m, failed := recordBy(ctx, log, length)
	if err := log.Close(ctx); err != nil {
		return measure{}, err
	}
	return m, failed
}

// recordBy has as many callers as there are connections record into a log.
func recordBy(ctx context.Context, log *audit.Log, length time.Duration) (measure, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var took []time.Duration
	var failed error
	began := time.Now()
	for caller := range connections {
		wg.Go(func() {
			mine, err := record(ctx, log, caller, began.Add(length))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if failed != nil || len(took) == 0 {
		return measure{}, void("%d records, then %v", len(took), failed)
	}
	slices.Sort(took)
	return measure{
		requests: len(took), perSecond: float64(len(took)) / elapsed.Seconds(), p50: took[len(took)/2], p99: took[len(took)*99/100],
	}, nil
}

// record is one caller, until a time. It returns how long each record took.
func record(ctx context.Context, log *audit.Log, caller int, until time.Time) (took []time.Duration, err error) {
	shape := mappingtest.Shape{}
	subjects := make([]*exchange.Identity, 100)
	for i := range subjects {
		subjects[i] = mappingtest.Identity(shape, caller*len(subjects)+i)
	}
	a := mappingtest.Attempt(shape, 0, time.Now())
	a.Call.Entrance, a.Call.Source.Peer = "form", netip.MustParseAddr("127.0.0.1")
	a.Decision = exchange.Decision{
		Rule: "team-p0", Policy: fmt.Sprintf("%x", sha256.Sum256(nil)), ReadsClaims: []string{"amr"},
		Grant: exchange.Grant{
			Workspace: "prod", Principal: "p0", Host: "https://prod.example", ApplicationID: applicationID(0), Method: exchange.MethodFederation,
			Scopes: []string{"model-serving"}, Lifetime: time.Hour,
		},
	}
	a.Token = exchange.Token{
		Scopes: a.Decision.Grant.Scopes, TrueExpiry: time.Now().Add(time.Hour).Truncate(time.Second), Bound: exchange.BoundToken,
		Mint: "01999999-0000-7000-8000-000000000000", Cache: exchange.CacheMemory,
	}
	a.ExpiresAt, a.Duration = a.Token.TrueExpiry, 40*time.Microsecond
	usual := sha256.Sum256([]byte(strconv.Itoa(caller)))
	for i := 0; ; i++ {
		now := time.Now()
		if now.After(until) {
			return took, nil
		}
		id, err := exchange.NewID(now, rand.Reader)
		if err != nil {
			return took, err
		}
		a.ID, a.Time, a.Subject = id, now, subjects[i%len(subjects)]
		if a.Token.SHA256 = usual; i%100 == 0 {
			a.Token.SHA256 = sha256.Sum256([]byte(id))
		}
		if err := log.Record(ctx, &exchange.Event{ID: a.ID, Time: a.Time, Exchange: a}); err != nil {
			return took, err
		}
		took = append(took, time.Since(now))
	}
}

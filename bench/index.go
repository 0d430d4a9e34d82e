package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
)

// indexes measures the audit index on both databases: how fast it is fed, and how soon a search answers among so many
// events (index_events.go), cold and while more come (index_search.go).
func (b *bench) indexes(ctx context.Context) error {
	events, err := strconv.Atoi(env("BENCH_EVENTS", "5000000"))
	if err != nil || events < 0 {
		return fmt.Errorf("BENCH_EVENTS is %q; write a number, 0 for no search", os.Getenv("BENCH_EVENTS"))
	}
	for _, open := range []func() (shelf, error){b.newSQLite, b.newPostgres} {
		if err := b.indexOn(ctx, open, events); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) indexOn(ctx context.Context, open func() (shelf, error), events int) error {
	s, err := open()
	if err != nil {
		return err
	}
	defer s.close()
	if err := b.feeding(ctx, s); err != nil {
		return fmt.Errorf("feeding %s: %w", s.name(), err)
	}
	if events == 0 {
		return nil
	}
	if err := s.empty(ctx); err != nil {
		return err
	}
	a := newArchive()
	if err := b.fill(ctx, s, a, events); err != nil {
		return fmt.Errorf("filling %s: %w", s.name(), err)
	}
	return b.searching(ctx, s, a, events)
}

// feeding measures how fast the index takes in what a log has.
func (b *bench) feeding(ctx context.Context, s shelf) error {
	key, err := audit.NewKey(rand.Reader, "sts.example/audit")
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "fed-"+s.name())
	logger := slog.New(slog.DiscardHandler)
	log, err := audit.Open(audit.Config{Directory: dir, Replica: "bench", Key: key, Sync: audit.SyncMint, Log: logger})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close(ctx) }()
	made, err := recordBy(ctx, log, 2*time.Second)
	if err != nil {
		return err
	}
	due := uint64(made.requests) //nolint:gosec // not below 0
	for deadline := time.Now().Add(30 * time.Second); log.Checkpoint().Size < due; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return void("the log has no checkpoint of %d records", made.requests)
		}
	}
	i, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = i.Close() }()
	feeder, err := index.NewFeeder(index.FeederConfig{Index: i, Directory: dir, Log: log, Keys: audit.PublicKeys{key.Public()}, Logger: logger})
	if err != nil {
		return err
	}
	size, began := log.Checkpoint().Size, time.Now()
	if err := feeder.Own(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	if next, err := i.Next(ctx, log.Checkpoint().Origin); err != nil || next < size {
		return void("the index has %d of %d records: %v", next, size, err)
	}
	fed := float64(size) / took.Seconds()
	b.table.add(row{
		what: "audit index fed, " + s.name(), measured: rate(fed), against: "log, sync: mint " + rate(made.perSecond), ratio: fmt.Sprintf("%.2f", fed/made.perSecond),
	})
	return nil
}

// fill brings in an archive, a partition at a time, so that each is written in the order of its terms.
func (b *bench) fill(ctx context.Context, s shelf, a *archive, events int) error {
	i, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = i.Close() }()
	began := time.Now()
	// The next stretch is made while the one before is brought in.
	type stretch struct {
		index.Batch
		err error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stretches := make(chan stretch)
	go func() {
		defer close(stretches)
		for made := 0; made < events; made += stretchEvents {
			batch, err := a.stretch(min(stretchEvents, events-made))
			select {
			case stretches <- stretch{batch, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for s := range stretches {
		if s.err != nil {
			return s.err
		}
		if _, err := i.Add(ctx, s.Batch); err != nil {
			return err
		}
	}
	took := time.Since(began)
	b.table.add(row{what: fmt.Sprintf("  %d events in bulk", events), measured: rate(float64(events) / took.Seconds()), against: took.Round(time.Second).String()})
	return nil
}

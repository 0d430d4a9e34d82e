package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/internal/testservice"
	"github.com/lakegate/sts/store"
)

// fromRedis is the metric of tokens that came from Redis.
const fromRedis = `sts_tokens_hits_total{tier="redis"}`

// redisTimeout is what a call may take on a machine that is busy. A call that fails would be a mint.
const redisTimeout = time.Second

// redis measures exchanges whose token lies in Redis alone, against a bare handler that makes one GET. The service is
// built with a memory tier that holds nothing (cmd/sts/tier_none.go), so that every request is what the first one of a
// grant is on a replica. Subject tokens are known.
func (b *bench) redis(ctx context.Context) error {
	shared, err := testservice.StartRedis(false)
	if err != nil {
		return err
	}
	defer shared.Close()
	s, err := b.newInstance("redis", audit.SyncMint)
	if err != nil {
		return err
	}
	if s.program, err = b.build(ctx, "sts-redis", "notier"); err != nil {
		return err
	}
	keyset := filepath.Join(s.dir, "store.keyset.json")
	if err := store.MakeKeyset(keyset); err != nil {
		return err
	}
	s.store = object{"keyset_file": keyset, "redis": object{
		"addresses": list{shared.Address}, "username": shared.Username, "password_file": filepath.Join(shared.Folder, "password"),
		"timeout": redisTimeout.String(),
	}}
	tokens, err := b.mint(subjects, subjects, "ES256")
	if err != nil {
		return err
	}
	requests, file := b.requests(tokens), filepath.Join(b.dir, "redis.requests")
	if err := writeRequests(file, requests); err != nil {
		return err
	}
	_, sample, err := s.warm(ctx, requests)
	if err != nil {
		return err
	}
	options, err := putEntry(ctx, shared, sample)
	if err != nil {
		return err
	}
	optionsFile := filepath.Join(b.dir, "redis.json")
	if err := os.WriteFile(optionsFile, options, 0o600); err != nil {
		return err
	}
	bare, err := b.launchBare(ctx, sample, "-redis", optionsFile)
	if err != nil {
		return err
	}
	before, err := s.metric(ctx, fromRedis)
	if err != nil {
		return err
	}
	theirs := &side{process: bare, requests: file, length: b.length}
	ours := &side{process: s.process, requests: file, length: b.length}
	if err := b.alternate(ctx, theirs, ours); err != nil {
		return err
	}
	after, err := s.metric(ctx, fromRedis)
	if err != nil {
		return err
	}
	if found := int(after - before); found < ours.total() {
		return void("%d answers, and only %d tokens came from redis", ours.total(), found)
	}
	if err := s.complete(len(requests) + ours.total()); err != nil {
		return err
	}
	s.stop()
	bare.stop()
	b.tell("warm exchange, tokens in redis alone", "bare + GET", ours, theirs, 0, "")
	return nil
}

// redisEntry is what the bare handler reads, and how.
type redisEntry struct{ Address, Username, Password, Key string }

// putEntry puts something as long as a token's entry where the bare handler finds it.
func putEntry(ctx context.Context, shared *testservice.Redis, entry string) (options []byte, err error) {
	o := redisEntry{Address: shared.Address, Username: shared.Username, Password: shared.Password, Key: "sts:1:bench"}
	client := o.client()
	defer func() { _ = client.Close() }()
	if err := client.Set(ctx, o.Key, entry, time.Hour).Err(); err != nil {
		return nil, err
	}
	return json.Marshal(o) //nolint:gosec // for a process of ours, of a Redis that ends with the run
}

// client is one with the settings of package store's own.
func (o *redisEntry) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: o.Address, Username: o.Username, Password: o.Password,
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout, PoolTimeout: redisTimeout,
		ContextTimeoutEnabled: true, MaxRetries: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// getter makes one GET.
func getter(optionsFile string) (func(string) error, error) {
	text, err := os.ReadFile(optionsFile)
	if err != nil {
		return nil, err
	}
	var o redisEntry
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	client := o.client()
	return func(string) error {
		ctx, cancel := context.WithTimeout(context.Background(), redisTimeout)
		defer cancel()
		_, err := client.Get(ctx, o.Key).Bytes()
		return err
	}, nil
}

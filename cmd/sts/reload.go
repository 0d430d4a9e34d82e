package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"

	"github.com/lakegate/sts/config"
	"github.com/lakegate/sts/databricks"
	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
	"github.com/lakegate/sts/server/clients"
)

// reloader puts changed files in force: policy, identity providers, clients, Databricks. All of them prepare before any
// commits, so that a fault in one leaves everything as it was. A policy file that is bad in itself holds nothing else up:
// then the policy in force stays, under the new configuration.
type reloader struct {
	path      string
	cfg       *config.Config // in force
	policy    *mapping.Engine
	verifiers *verifiers
	clients   *clients.Registry
	minter    *databricks.Minter
	recorder  exchange.Recorder
	log       *slog.Logger

	files  watcher
	again  bool  // the last attempt failed for a reason that is not in the files
	unread error // why the configuration can't be loaded, nil if it can

	mu    sync.Mutex
	fault error // why the configuration in force is not that of the file
}

// run looks at the files once a second until ctx ends. The first time it reloads whatever it sees: they may have changed
// between their reading at the start and now.
func (r *reloader) run(ctx context.Context) {
	r.again = true
	everySecond(ctx, func() {
		if r.files.changed(filesOf(r.path, r.cfg)) || r.again || r.loadsOtherwise() {
			r.again = r.reload(ctx) != nil
		}
		r.policy.Remember(ctx)
	})
}

// loadsOtherwise reports whether a configuration that couldn't be loaded has another fate now, though its file is the
// same: it may name a secret, a certificate or a key set that has come only later, and that nobody could know to watch.
func (r *reloader) loadsOtherwise() bool {
	if r.unread == nil {
		return false
	}
	_, err := config.Load(r.path)
	return err == nil || err.Error() != r.unread.Error()
}

// health is why the configuration in force is not that of the file.
func (r *reloader) health() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

func (r *reloader) setFault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = err
}

// reload puts in force what is good of the files. Its error is one that may go away by itself.
func (r *reloader) reload(ctx context.Context) error {
	next, err := config.Load(r.path)
	if r.unread = err; err != nil {
		r.refuseConfig(ctx, err)
		return r.reloadPolicy(ctx)
	}
	waiting := restartFault(r.cfg, next)
	r.cfg.KeepFixed(next)
	if sameSettings(r.cfg, next) {
		r.setFault(waiting)
		return r.reloadPolicy(ctx)
	}
	n, err := r.prepare(ctx, next)
	if err != nil {
		r.refuseConfig(ctx, err)
		return r.reloadPolicy(ctx)
	}
	n.waiting = waiting
	return n.commit(ctx, r)
}

// sameSettings reports whether nothing that is reloaded differs.
func sameSettings(a, b *config.Config) bool {
	return reflect.DeepEqual(a.IdentityProviders, b.IdentityProviders) && reflect.DeepEqual(a.Clients, b.Clients) &&
		reflect.DeepEqual(a.Databricks, b.Databricks)
}

// restartFault names the keys whose change waits for a restart, nil where there are none.
func restartFault(running, next *config.Config) error {
	keys := running.RestartNeeded(next)
	if len(keys) == 0 {
		return nil
	}
	return fmt.Errorf("these keys have changed and take effect at a restart: %s", strings.Join(keys, ", "))
}

// prepared is a configuration whose every part has said that it is good.
type prepared struct {
	cfg       *config.Config
	waiting   error // what of its file waits for a restart
	providers func()
	clients   *clients.Snapshot
	minting   func()
	policy    *mapping.Policy

	// badFiles are files whose policy was refused for faultyPolicy; policy is then the one in force.
	badFiles     []mapping.File
	faultyPolicy error
}

func (r *reloader) prepare(ctx context.Context, cfg *config.Config) (*prepared, error) {
	n := &prepared{cfg: cfg}
	var err error
	if n.providers, err = r.verifiers.prepare(cfg); err != nil {
		return nil, err
	}
	if n.clients, err = clients.Prepare(registrationsOf(cfg)); err != nil {
		return nil, err
	}
	if n.minting, err = r.minter.Prepare(mintingOf(cfg)); err != nil {
		return nil, err
	}
	env := environmentOf(cfg)
	if n.badFiles, n.faultyPolicy = readPolicy(r.cfg.Policy.Files); n.faultyPolicy == nil {
		if n.policy, n.faultyPolicy = r.policy.Prepare(n.badFiles, env); n.faultyPolicy == nil {
			n.badFiles = nil
			return n, nil
		}
	}
	inForce, err := r.policy.Content(ctx, r.policy.Policy().Digest())
	if err != nil {
		return nil, err
	}
	if n.policy, err = r.policy.Prepare(inForce, env); err != nil {
		return nil, fmt.Errorf("the policy in force doesn't fit the new configuration: %w", err)
	}
	return n, nil
}

// commit puts everything in force. A new client secret comes before the policy that names its generation; the policy can
// still fail, where its record can't be written, and then is tried again.
func (n *prepared) commit(ctx context.Context, r *reloader) error {
	n.minting()
	if err := r.policy.Commit(ctx, n.policy); err != nil {
		r.log.Error("a new policy could not be put in force; it is tried again", "error", err)
		return err
	}
	if n.faultyPolicy != nil {
		r.policy.Refuse(ctx, n.badFiles, n.faultyPolicy)
	}
	n.providers()
	r.clients.Commit(n.clients)

	r.setFault(n.waiting)
	// What needs a restart stays compared with what this process was started with.
	r.cfg.IdentityProviders, r.cfg.Clients, r.cfg.Databricks = n.cfg.IdentityProviders, n.cfg.Clients, n.cfg.Databricks
	r.record(ctx, "config.load", "")
	return nil
}

// reloadPolicy puts the policy's files in force under the configuration that stays.
func (r *reloader) reloadPolicy(ctx context.Context) error {
	files, err := readPolicy(r.cfg.Policy.Files)
	if err == nil {
		var policy *mapping.Policy
		if policy, err = r.policy.Prepare(files, environmentOf(r.cfg)); err == nil {
			return r.policy.Commit(ctx, policy)
		}
	}
	r.policy.Refuse(ctx, files, err)
	return nil
}

// refuseConfig tells of a configuration that is not put in force.
func (r *reloader) refuseConfig(ctx context.Context, reason error) {
	r.setFault(fmt.Errorf("%s is refused, the configuration before it stays: %w", r.path, reason))
	r.log.Error("the changed configuration is refused; the one before it stays", "file", r.path, "error", reason)
	r.record(ctx, "config.refuse", reason.Error())
}

func (r *reloader) record(ctx context.Context, action, detail string) {
	at := now()
	id, err := exchange.NewID(at, rand.Reader)
	if err == nil {
		err = r.recorder.Record(ctx, &exchange.Event{ID: id, Time: at, Admin: &exchange.Admin{Action: action, Object: r.path, Detail: detail}})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		r.log.Error("a change of the configuration could not be recorded", "action", action, "error", err)
	}
}

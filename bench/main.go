package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lakegate/sts/server/clients"
)

func main() {
	if len(os.Args) > 1 {
		if err := helper(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// helper is what this program does in processes of its own.
func helper(name string, args []string) error {
	switch name {
	case "bare":
		return serveBare(args)
	case "load":
		return loadGRPC(args)
	}
	return fmt.Errorf("there is nothing to do under the name %q; run it without arguments", name)
}

// bench is one run.
type bench struct {
	length  time.Duration
	steps   []string // those to take; all if it is empty
	profile string   // where profiles of the rounds go, "" for none

	gogc, memoryLimit string // of both sides; those of the service by default (cmd/sts/memory.go)

	dir      string // everything that is written
	program  string // the service
	script   string // load.lua
	world    *world
	clients  []client
	children []*process
	table    table
}

// step is one part of a run.
type step struct {
	name string
	take func(context.Context) error
}

func run(ctx context.Context) (err error) {
	b := &bench{gogc: env("GOGC", "300"), memoryLimit: env("GOMEMLIMIT", "448MiB"), profile: os.Getenv("BENCH_PROFILE")}
	if b.length, err = time.ParseDuration(env("BENCH_ROUND", "5s")); err != nil || b.length < 2*time.Second {
		return fmt.Errorf("BENCH_ROUND is %q; write whole seconds, at least 2s", os.Getenv("BENCH_ROUND"))
	}
	if only := os.Getenv("BENCH_STEPS"); only != "" {
		b.steps = strings.Split(only, ",")
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	before, err := elsewhere()
	if err != nil {
		return err
	}
	began := time.Now()
	for _, s := range []step{
		{"warm", b.warm}, {"grpc", b.grpc}, {"redis", b.redis}, {"cold", b.cold}, {"misses", b.misses}, {"decide", b.decide}, {"records", b.records},
		{"index", b.indexes},
	} {
		if len(b.steps) > 0 && !slices.Contains(b.steps, s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%-8s %s\n", s.name, time.Now().Format(time.TimeOnly))
		if err := s.take(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	busy, err := elsewhere()
	if err != nil {
		return err
	}
	took := time.Since(began)
	noise := 100 * (busy - before).Seconds() / (took.Seconds() * float64(runtime.NumCPU()))
	fmt.Printf("%s; %s %s/%s, %d processors, GOGC=%s GOMEMLIMIT=%s on both sides; rounds of %s, took %s;\nother processes took %.0f %% of the machine meanwhile: the figures are worth something below 5 %%\n\n",
		time.Now().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.gogc, b.memoryLimit,
		b.length, took.Round(time.Second), noise)
	return b.table.print(os.Stdout)
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// prepare builds the service, starts the emulators and registers the clients.
func (b *bench) prepare(ctx context.Context) (err error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("%w; it is the Debian package wrk, which make bench installs", err)
	}
	if b.dir, err = os.MkdirTemp("", "sts-bench-"); err != nil {
		return err
	}
	b.script = filepath.Join(b.dir, "load.lua")
	if err := os.WriteFile(b.script, script, 0o600); err != nil {
		return err
	}
	tags := []string(nil)
	if b.profile != "" {
		tags = append(tags, "pprof")
	}
	if b.program, err = b.build(ctx, "sts", tags...); err != nil {
		return err
	}
	if b.world, err = startWorld(); err != nil {
		return err
	}
	for _, id := range clientIDs {
		secret, digest, err := clients.NewSecret(rand.Reader)
		if err != nil {
			return err
		}
		b.clients = append(b.clients, client{id, secret.Reveal(), digest})
	}
	return nil
}

// build makes the program as "make build" does: plain, without the race detector or a test's clock.
func (b *bench) build(ctx context.Context, name string, tags ...string) (program string, err error) {
	program = filepath.Join(b.dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", strings.Join(tags, ","), "-o", program, "github.com/lakegate/sts/cmd/sts") //nolint:gosec // our own arguments
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the service: %w\n%s", err, out)
	}
	return program, nil
}

// close ends what was started and removes what was written.
func (b *bench) close() error {
	for _, p := range b.children {
		p.stop()
	}
	if b.world != nil {
		b.world.close()
	}
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

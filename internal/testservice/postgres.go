package testservice

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a cluster of its own, in a folder of its own, on a free port of the loopback. It speaks TLS.
type Postgres struct {
	// Folder holds the cluster, and what its users need: "ca.crt" and "passfile".
	Folder string
	// Password is that of all roles.
	Password string

	port    int
	binary  string
	as      *syscall.Credential // nil for ourselves
	running *postmaster
	made    int // databases
	mu      sync.Mutex
}

// postmaster is one run of the server.
type postmaster struct {
	process *os.Process
	done    chan struct{}
	log     string // its file
}

// patience is how long PostgreSQL may take to start or to stop, on a machine that is busy.
const patience = 30 * time.Second

// StartPostgres makes a cluster and starts it. Close it.
func StartPostgres() (*Postgres, error) {
	p := &Postgres{Password: rand.Text()}
	err := p.find()
	if err == nil {
		err = p.make()
	}
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	return p, nil
}

// find finds Debian's binaries, which are not in the path, and the user to run as.
func (p *Postgres) find() error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return errors.New("initdb is missing: install Debian's package postgresql")
	}
	slices.Sort(found)
	p.binary = filepath.Dir(found[len(found)-1])
	if os.Geteuid() != 0 {
		return nil
	}
	// initdb refuses root.
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("root can't run it: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return errors.Join(err1, err2)
}

// make makes the folder and the cluster in it.
func (p *Postgres) make() (err error) {
	if p.Folder, err = os.MkdirTemp("", "sts-postgres-"); err != nil {
		return err
	}
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"ca.crt": certificate.pem, "server.key": certificate.keyPEM, "password": p.Password,
		"passfile": "*:*:*:*:" + p.Password + "\n",
	} {
		if err := os.WriteFile(filepath.Join(p.Folder, name), []byte(text), 0o600); err != nil {
			return err
		}
		if p.as != nil {
			if err := os.Chown(filepath.Join(p.Folder, name), int(p.as.Uid), int(p.as.Gid)); err != nil {
				return err
			}
		}
	}
	if p.as != nil {
		if err := os.Chown(p.Folder, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return err
		}
	}
	initdb := exec.Command(filepath.Join(p.binary, "initdb"), "--pgdata", p.data(), "--username", "postgres", "--pwfile", filepath.Join(p.Folder, "password"), // #nosec G204 -- for tests only
		"--auth-host", "scram-sha-256", "--auth-local", "reject", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = p.Folder, &syscall.SysProcAttr{Credential: p.as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) data() string { return filepath.Join(p.Folder, "data") }

// Start starts the cluster, again on the port that it had, and returns once it answers.
func (p *Postgres) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	for range 3 { // somebody else may take a free port first
		if p.port == 0 {
			if p.port, err = freePort(); err != nil {
				return err
			}
		}
		if err = p.start(); err == nil {
			return nil
		}
		if p.made == 0 {
			p.port = 0
		}
	}
	return err
}

func (p *Postgres) start() error {
	run := &postmaster{done: make(chan struct{}), log: filepath.Join(p.Folder, "log")}
	log, err := os.OpenFile(run.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join(p.binary, "postgres"), "-D", p.data(), "-p", strconv.Itoa(p.port), // #nosec G204 -- for tests only
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=60",
		"-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(p.Folder, "ca.crt"), "-c", "ssl_key_file="+filepath.Join(p.Folder, "server.key"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Folder, log, log
	// It ends with us, however we end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Pdeathsig: syscall.SIGQUIT}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is for the death of the thread that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(run.done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	run.process = cmd.Process
	p.running = run
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := p.ping()
		if err == nil {
			return nil
		}
		select {
		case <-run.done:
			said, _ := os.ReadFile(run.log)
			return fmt.Errorf("it has ended:\n%s", said)
		default:
		}
		if time.Now().After(deadline) {
			_ = run.process.Kill()
			<-run.done
			return err
		}
	}
}

func (p *Postgres) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url("postgres", "postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Stop stops the cluster at once, as "fast" does: connections are cut, what is committed stays.
func (p *Postgres) Stop() { p.end(syscall.SIGINT) }

// Crash stops the cluster as a crash would.
func (p *Postgres) Crash() { p.end(syscall.SIGQUIT) }

func (p *Postgres) end(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return
	}
	_ = p.running.process.Signal(signal)
	select {
	case <-p.running.done:
	case <-time.After(patience):
		_ = p.running.process.Kill()
		<-p.running.done
	}
	p.running = nil
}

// Hang stops every process of the cluster where it stands: connections stay, and nothing answers. Resume ends it.
func (p *Postgres) Hang() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a hung cluster go on.
func (p *Postgres) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Postgres) signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.running.process.Signal(signal); err != nil { // first, so that it starts no more children
		return err
	}
	children, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range children {
		text, err := os.ReadFile(stat)
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if err != nil || !ok || len(fields) < 2 || fields[1] != strconv.Itoa(p.running.process.Pid) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
			_ = syscall.Kill(pid, signal)
		}
	}
	return err
}

// Close stops the cluster and removes its folder.
func (p *Postgres) Close() {
	p.end(syscall.SIGINT)
	if p.Folder != "" {
		_ = os.RemoveAll(p.Folder)
	}
}

func (p *Postgres) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=verify-full&sslrootcert=%s/ca.crt&passfile=%s/passfile", role, p.port, database, p.Folder, p.Folder)
}

// Database is a fresh database, and the role of the same name that owns it.
type Database struct {
	Name string
	// URL is the owner's, without a password.
	URL     string
	cluster *Postgres
}

// NewDatabase makes a database. It lives as long as the cluster.
func (p *Postgres) NewDatabase(t testing.TB) *Database {
	t.Helper()
	p.mu.Lock()
	p.made++
	name := fmt.Sprintf("ledger_%d", p.made)
	p.mu.Unlock()
	d := &Database{Name: name, URL: p.url(name, name), cluster: p}
	admin := (&Database{Name: "postgres", cluster: p}).Admin(t)
	for _, statement := range []string{"CREATE ROLE " + name + " LOGIN PASSWORD '" + p.Password + "'", "CREATE DATABASE " + name + " OWNER " + name} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// As is the URL of another role.
func (d *Database) As(role string) string { return d.cluster.url(role, d.Name) }

// Folder is that of the cluster.
func (d *Database) Folder() string { return d.cluster.Folder }

// Password is that of all roles.
func (d *Database) Password() string { return d.cluster.Password }

// Admin is a connection of the superuser, until the test ends.
func (d *Database) Admin(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.As("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("a TCP listener at %v", l.Addr())
	}
	return address.Port, nil
}

// SharedPostgres is one cluster for all tests of a binary, started for the first that asks. Close it after the last.
type SharedPostgres struct {
	once    sync.Once
	cluster *Postgres
	err     error
}

// NewDatabase makes a database of its own for a test.
func (s *SharedPostgres) NewDatabase(t testing.TB) *Database {
	t.Helper()
	s.once.Do(func() { s.cluster, s.err = StartPostgres() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cluster.NewDatabase(t)
}

// Close stops the cluster, if there is one.
func (s *SharedPostgres) Close() {
	if s.cluster != nil {
		s.cluster.Close()
	}
}

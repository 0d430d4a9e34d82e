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
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a cluster of its own, in a folder of its own, on a free port of the loopback. It speaks TLS.
type Postgres struct {
	// Folder holds the cluster, and what its users need: "ca.crt" and "passfile".
	Folder string
	// Password is that of all roles.
	Password string

	settings []string
	port     int
	binary   string
	as       *syscall.Credential // nil for ourselves
	running  *postmaster
	made     int // databases
	mu       sync.Mutex
}

// postmaster is one run of the server.
type postmaster struct {
	process *os.Process
	done    chan struct{}
	log     string // its file
}

// patience is how long PostgreSQL may take to start or to stop, on a machine that is busy.
const patience = 30 * time.Second

// StartPostgres makes a cluster and starts it, with settings ("fsync=on") that differ from those for tests. Close it.
func StartPostgres(settings ...string) (*Postgres, error) {
	p := &Postgres{Password: rand.Text(), settings: settings}
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
		"--auth-host", "scram-sha-256", "--auth-local", "reject", "--encoding", "UTF8", "--locale", "C", "--wal-segsize", "1", "--no-sync", "--no-instructions")
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
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=60",
		// What is committed outlives the processes, and need not outlive the machine.
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off", "-c", "shared_buffers=16MB",
		"-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(p.Folder, "ca.crt"), "-c", "ssl_key_file="+filepath.Join(p.Folder, "server.key"))
	for _, s := range p.settings {
		cmd.Args = append(cmd.Args, "-c", s) // the last one counts
	}
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
func (p *Postgres) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return
	}
	_ = p.running.process.Signal(syscall.SIGINT)
	select {
	case <-p.running.done:
	case <-time.After(patience):
		_ = p.running.process.Kill()
		<-p.running.done
	}
	p.running = nil
}

// Crash kills every process of the cluster.
func (p *Postgres) Crash() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	children, err := p.signal(syscall.SIGSTOP, syscall.SIGKILL)
	if err != nil {
		return err
	}
	_ = p.running.process.Kill()
	<-p.running.done
	p.running = nil
	// A process that is still about holds the memory that the next start wants for itself.
	for deadline := time.Now().Add(patience); slices.ContainsFunc(children, isAlive); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("a process of PostgreSQL outlives its kill")
		}
	}
	return nil
}

// Hang stops every process of the cluster where it stands: connections stay, and nothing answers. Resume ends it.
func (p *Postgres) Hang() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.signal(syscall.SIGSTOP, syscall.SIGSTOP)
	return err
}

// Resume lets a hung cluster go on.
func (p *Postgres) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.signal(syscall.SIGCONT, syscall.SIGCONT)
	return err
}

// signal signals the cluster's first process, then its children, which are found by it; a first one that was stopped
// starts no more.
func (p *Postgres) signal(first, others syscall.Signal) (children []int, err error) {
	if p.running == nil {
		return nil, nil
	}
	if err := p.running.process.Signal(first); err != nil {
		return nil, err
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		pid, _ := strconv.Atoi(filepath.Base(folder))
		if _, parent := processState(pid); parent == p.running.process.Pid {
			children = append(children, pid)
			_ = syscall.Kill(pid, others)
		}
	}
	return children, err
}

func isAlive(pid int) bool {
	state, _ := processState(pid)
	return state != "" && state != "Z"
}

// processState is a process's state and parent, "" and 0 where there is none.
func processState(pid int) (state string, parent int) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if err != nil || !ok || len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// Close stops the cluster and removes its folder.
func (p *Postgres) Close() {
	_ = p.Resume() // a test may have left it hung
	p.Stop()
	if p.Folder != "" {
		_ = os.RemoveAll(p.Folder)
	}
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

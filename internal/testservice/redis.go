package testservice

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisRights are the least rights that the service needs, as an ACL rule; docs/redis.md says the same.
const RedisRights = "resetkeys ~sts:1:* resetchannels -@all +hello +auth +get +getrange +set +del +pexpire +eval +evalsha +info"

// Redis is a server of its own, on a free port of the loopback. It keeps nothing on disk.
type Redis struct {
	// Folder holds what its users need: "password", and "ca.crt" where it speaks TLS.
	Folder string
	// Address is host:port, the same after every start.
	Address string
	// Username and Password are those of a user with RedisRights.
	Username, Password string
	// TLS is for clients; nil in the clear.
	TLS *tls.Config

	admin   string // the default user's password
	mu      sync.Mutex
	process *os.Process
	done    chan struct{}
}

// StartRedis starts a server, with TLS if secure. Close it.
func StartRedis(secure bool) (*Redis, error) {
	r := &Redis{Username: "sts", Password: rand.Text(), admin: rand.Text()}
	var err error
	if r.Folder, err = os.MkdirTemp("", "sts-redis-"); err != nil {
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	for range 3 { // somebody else may take a free port first
		var port int
		if port, err = freePort(); err == nil {
			r.Address = "127.0.0.1:" + strconv.Itoa(port)
			if err = r.configure(port, secure); err == nil {
				if err = r.Start(); err == nil {
					return r, nil
				}
			}
		}
	}
	r.Close()
	return nil, fmt.Errorf("starting Redis: %w", err)
}

func (r *Redis) configure(port int, secure bool) error {
	lines := []string{
		"bind 127.0.0.1", "save \"\"", "appendonly no", "dir " + r.Folder, "daemonize no", "maxmemory-policy noeviction",
		"user default on >" + r.admin + " ~* &* +@all",
		"user " + r.Username + " on >" + r.Password + " " + RedisRights,
	}
	files := map[string]string{"password": r.Password + "\n"}
	if secure {
		certificate, err := newCertificate()
		if err != nil {
			return err
		}
		files["ca.crt"], files["server.key"] = certificate.pem, certificate.keyPEM
		lines = append(lines, "port 0", "tls-port "+strconv.Itoa(port), "tls-auth-clients no", "tls-cert-file "+r.file("ca.crt"), "tls-key-file "+r.file("server.key"))
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(certificate.pem))
		r.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	} else {
		lines = append(lines, "port "+strconv.Itoa(port))
	}
	files["redis.conf"] = strings.Join(lines, "\n") + "\n"
	for name, text := range files {
		if err := os.WriteFile(r.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) file(name string) string { return filepath.Join(r.Folder, name) }

// Start starts the server, empty, and returns once it answers.
func (r *Redis) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	log, err := os.OpenFile(r.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("redis-server", r.file("redis.conf")) // #nosec G204 -- for tests only
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with us, however we end
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is for the death of the thread that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%w: is Debian's package redis-server installed?", err)
	}
	r.process, r.done = cmd.Process, done
	admin := r.Admin()
	defer func() { _ = admin.Close() }()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := admin.Ping(context.Background()).Err()
		if err == nil {
			return nil
		}
		select {
		case <-done:
			said, _ := os.ReadFile(r.file("log"))
			return fmt.Errorf("it has ended:\n%s", said)
		default:
		}
		if time.Now().After(deadline) {
			return errors.Join(err, errors.New("it does not answer"))
		}
	}
}

// Admin is a client with every right. Close it.
func (r *Redis) Admin() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Address, Password: r.admin, TLSConfig: r.TLS, MaxRetries: -1, Protocol: 2})
}

// Flush empties it.
func (r *Redis) Flush() error {
	admin := r.Admin()
	defer func() { _ = admin.Close() }()
	return admin.FlushAll(context.Background()).Err()
}

// Kill ends the server as a crash would: what it held is gone. Start starts it again.
func (r *Redis) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		_ = r.process.Kill()
		<-r.done
		r.process = nil
	}
}

// Hang stops the server where it stands: connections stay, and nothing answers. Resume ends it.
func (r *Redis) Hang() error { return r.signal(syscall.SIGSTOP) }

// Resume lets a hung server go on.
func (r *Redis) Resume() error { return r.signal(syscall.SIGCONT) }

func (r *Redis) signal(signal syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process.Signal(signal)
}

// Close ends the server and removes its folder.
func (r *Redis) Close() {
	r.Kill()
	_ = os.RemoveAll(r.Folder)
}

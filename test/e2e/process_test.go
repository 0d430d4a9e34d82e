package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a process may take for what it should do at once, on a machine that is busy with other tests.
const patience = 30 * time.Second

// process is one running program.
type process struct {
	cmd   *exec.Cmd
	http  string // "127.0.0.1:port"
	grpc  string // likewise
	admin string
	done  chan struct{} // closed when it has ended and its log is whole

	mu  sync.Mutex
	log bytes.Buffer
}

// startProcess starts the service and waits until it listens.
func startProcess(t *testing.T, cmd *exec.Cmd, dir, clockFile string) *process {
	t.Helper()
	p, listening := launchCommand(t, cmd, dir, clockFile)
	select {
	case <-listening:
	case <-p.done:
		t.Fatalf("the service ended before it listened:\n%s", p.Log())
	case <-time.After(patience):
		t.Fatalf("the service does not listen:\n%s", p.Log())
	}
	return p
}

// serve is the command that starts the service.
func serve() *exec.Cmd { return exec.Command(program, "serve", "--config", "sts.yaml") }

// launch starts the service; the channel is closed when it listens.
func launch(t *testing.T, dir, clockFile string) (*process, <-chan struct{}) {
	t.Helper()
	return launchCommand(t, serve(), dir, clockFile)
}

func launchCommand(t *testing.T, cmd *exec.Cmd, dir, clockFile string) (*process, <-chan struct{}) {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "STS_CLOCK_FILE="+clockFile)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(p.done)
		lines := bufio.NewReader(stderr)
		for announced := false; ; {
			line, err := lines.ReadBytes('\n')
			p.mu.Lock()
			p.log.Write(line)
			p.mu.Unlock()
			var said struct{ Msg, HTTP, GRPC, Admin string }
			if !announced && json.Unmarshal(line, &said) == nil && said.Msg == "listening" {
				p.http, p.grpc, p.admin = said.HTTP, said.GRPC, said.Admin
				announced = true
				close(listening)
			}
			if err != nil {
				break
			}
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the service's log:\n%s", tail(p.Log(), 60))
		}
		if strings.Contains(p.Log(), "DATA RACE") {
			t.Errorf("the service has a data race:\n%s", p.Log())
		}
	})
	return p, listening
}

// Log is what the service wrote to stderr so far.
func (p *process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Stop asks the service to end and returns its exit code.
func (p *process) Stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("the service does not end:\n%s", p.Log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Kill ends the service at once, as a crash would.
func (p *process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

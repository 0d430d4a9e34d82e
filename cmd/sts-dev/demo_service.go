package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"
)

//go:embed demo
var demoTemplates embed.FS

// demoFiles is what the demo's configuration and policy are filled in with.
type demoFiles struct {
	Issuer, Workspace, AccountID, ApplicationID, SecretSHA256 string
}

func writeDemoFiles(dir string, values demoFiles) error {
	templates, err := template.ParseFS(demoTemplates, "demo/*.yaml")
	if err != nil {
		return fmt.Errorf("reading the demo's files: %w", err)
	}
	for _, t := range templates.Templates() {
		var text strings.Builder
		if err := t.Execute(&text, values); err != nil {
			return fmt.Errorf("filling in %s: %w", t.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(dir, t.Name()), []byte(text.String()), 0o600); err != nil {
			return fmt.Errorf("writing the demo's files: %w", err)
		}
	}
	return nil
}

// startTime is how long the service may take until it listens, on a machine that is busy.
const startTime = 30 * time.Second

// service is the program under demonstration, as a child process.
type service struct {
	url  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its log is read

	mu   sync.Mutex
	last string // the last line of its log
}

// startService starts the program on the files of dir and waits until it listens.
func startService(ctx context.Context, program, dir string) (*service, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, fmt.Errorf("finding the service: %w", err)
	}
	s := &service{cmd: exec.Command(program, "serve", "--config", "sts.yaml"), done: make(chan struct{})}
	s.cmd.Dir = dir
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is ours, and we end the service
	stderr, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the service: %w", err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.said(lines.Bytes(), listening)
		}
		_ = s.cmd.Wait() // how it ended is asked of ProcessState
	}()
	select {
	case address := <-listening:
		s.url = "http://" + address
		return s, nil
	case <-s.done:
		return nil, errors.New("the service does not start; " + s.lastWords())
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startTime):
		err = errors.New("the service does not listen; " + s.lastWords())
	}
	return nil, errors.Join(err, s.stop())
}

// said keeps a line of the service's log, and passes its address on when it tells that it listens.
func (s *service) said(line []byte, listening chan<- string) {
	s.mu.Lock()
	s.last = string(line)
	s.mu.Unlock()
	var entry struct{ Msg, HTTP string }
	if json.Unmarshal(line, &entry) == nil && entry.Msg == "listening" {
		select {
		case listening <- entry.HTTP:
		default: // it was told already
		}
	}
}

func (s *service) lastWords() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "its last words: " + s.last
}

// stop asks the service to end and waits for it; it has ten seconds of its own, so after more it is ended by force.
func (s *service) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it fails where the process has ended, and then all is well
	select {
	case <-s.done:
	case <-time.After(startTime):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the service ended with exit code %d; %s", code, s.lastWords())
	}
	return nil
}

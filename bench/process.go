package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a child may take to start and to stop, on a machine that is busy.
const (
	startTimeout = 20 * time.Second
	stopTimeout  = 15 * time.Second
)

// process is a running child.
type process struct {
	cmd               *exec.Cmd
	http, grpc, admin string // where it listens
	done              chan struct{}
	log               bytes.Buffer // what it said; read it after done
}

// launch starts a program and waits until it says that it listens. It ends with the bench, if not before.
func (b *bench) launch(ctx context.Context, dir string, env []string, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})} //nolint:gosec // our own programs
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), append(env, "GOGC="+b.gogc, "GOMEMLIMIT="+b.memoryLimit)...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	b.children = append(b.children, p)
	listening := make(chan struct{})
	go func() {
		defer close(p.done)
		announced := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var said struct{ Msg, HTTP, GRPC, Admin string }
			if !announced && json.Unmarshal(lines.Bytes(), &said) == nil && said.Msg == "listening" {
				p.http, p.grpc, p.admin, announced = said.HTTP, said.GRPC, said.Admin, true
				close(listening)
			}
			if p.log.Len() < 1<<20 {
				p.log.WriteString(lines.Text() + "\n")
			}
		}
		_ = p.cmd.Wait()
	}()
	select {
	case <-listening:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended before it listened:\n%s", strings.Join(p.cmd.Args, " "), p.log.String())
	case <-time.After(startTimeout):
		p.stop()
		return nil, fmt.Errorf("%s does not listen:\n%s", strings.Join(p.cmd.Args, " "), p.log.String())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stop ends it: in peace if it can.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// awaitReady waits for /readyz to answer 200.
func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		response, err := get(ctx, "http://"+p.admin+"/readyz")
		if err == nil && response.status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %s %w", response.body, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// metric is one of a service's metrics, by its name and labels as they are shown.
func (p *process) metric(ctx context.Context, name string) (float64, error) {
	response, err := get(ctx, "http://"+p.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(response.body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}

// clockTick is the unit of CPU time in /proc (proc(5)); Linux has no other today.
const clockTick = 10 * time.Millisecond

// cpu is the time that a process spent on a processor so far, its own and the kernel's for it.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything but this
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat has %d fields", len(fields))
	}
	return ticks(fields[11:13]) // utime, stime
}

// machineCPU is the time that the machine's processors worked so far, for whomever.
func machineCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	// user, nice and system; then idle and iowait, which are no work; irq, softirq and what the hypervisor took
	return ticks(append(fields[1:4:4], fields[6:9]...))
}

// elsewhere is the processor time that neither this process nor the children that it waited for took.
func elsewhere() (time.Duration, error) {
	all, err := machineCPU()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		err = errors.Join(err, syscall.Getrusage(who, &usage))
		all -= time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return all, err
}

func ticks(fields []string) (sum time.Duration, err error) {
	for _, field := range fields {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * clockTick
	}
	return sum, nil
}

// memory is a process's resident set, in MiB.
func (p *process) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/PID/statm has %d fields", len(fields))
	}
	pages, err := strconv.Atoi(fields[1])
	return float64(pages*os.Getpagesize()) / (1 << 20), err
}

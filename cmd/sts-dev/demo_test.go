package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestDemo holds that the demo tells the truth, and that a reader can repeat it.
func TestDemo(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sts")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/lakegate/sts/cmd/sts").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("once", func(t *testing.T) { demoOnce(t, program) })
	t.Run("repeated by hand", func(t *testing.T) { demoByHand(t, program) })
	t.Run("a step that does not hold", func(t *testing.T) { demoFails(t, program) })
	t.Run("no service", func(t *testing.T) {
		if out, err := demo(t, t.TempDir(), program+"x", "--once").CombinedOutput(); err == nil {
			t.Errorf("exit code 0: %s", out)
		}
	})
}

// demo is the command, whose temporary folder is made in temp.
func demo(t *testing.T, temp, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(append([]string{"demo", "--sts", program}, args...)...)
	cmd.Env = append(cmd.Env, "TMPDIR="+temp)
	return cmd
}

// mustBeEmpty holds that the demo has left nothing behind.
func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func demoOnce(t *testing.T, program string) {
	temp := t.TempDir()
	out, err := demo(t, temp, program, "--once").CombinedOutput()
	told := string(out)
	if err != nil || !strings.Contains(told, "All 18 checks held.") || strings.Contains(told, "✗") || strings.Contains(told, "\x1b") {
		t.Errorf("%v:\n%s", err, told)
	}
	for line := range strings.Lines(told) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 108 {
			t.Errorf("%d characters, more than a screen is wide: %s", n, line)
		}
	}
	mustBeEmpty(t, temp)
}

func demoByHand(t *testing.T, program string) {
	temp := t.TempDir()
	cmd := demo(t, temp, program)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	var told []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		told = append(told, lines.Text())
		if strings.Contains(lines.Text(), "Ctrl-C ends it") {
			break
		}
	}

	pasted := commands(told)
	if n := strings.Count(pasted, "curl "); n < 12 {
		t.Errorf("only %d times curl in:\n%s", n, pasted)
	}
	shell := exec.Command("bash", "-euo", "pipefail")
	shell.Stdin = strings.NewReader(pasted)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("%v: pasted\n%s\nand got\n%s", err, pasted, out)
	}
	for _, want := range []string{
		`"access_token":"`, `{"predictions":[0.87]}`, `"reason":"denied_by_rule"`, `"rule":"no-contractors"`,
		`"POST /oidc/v1/token":{"calls":2,"ok":2}`, "\n" + `"cache":"memory"` + "\n", `"exp":`, `"type":"mint"`, `handed_out`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in what bash gave back:\n%s", want, out)
		}
	}

	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v: %s", err, stderr.String())
	}
	mustBeEmpty(t, temp)
}

// commands are those of the screen: the paragraphs that begin four blanks in.
func commands(lines []string) string {
	var pasted strings.Builder
	inside, before := false, ""
	for _, line := range lines {
		if before == "" {
			inside = strings.HasPrefix(line, "    ")
		}
		if inside {
			pasted.WriteString(line + "\n")
		}
		before = line
	}
	return pasted.String()
}

// demoFails tells the story of a service whose policy grants half the time.
func demoFails(t *testing.T, program string) {
	temp := t.TempDir()
	wrapper := filepath.Join(temp, "sts")
	script := "#!/bin/sh\nsed 's/10m/5m/' policy.yaml > p && mv p policy.yaml && exec " + program + ` "$@"` + "\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := demo(t, temp, wrapper, "--once").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "✗ does not hold: From iat") || !strings.Contains(string(out), "1 of 18 checks did not hold") {
		t.Errorf("%v:\n%s", err, out)
	}
}

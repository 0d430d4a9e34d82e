//go:build unix

package export

import (
	"os/exec"
	"syscall"
)

// endWithGroup lets a command be ended with all that it has started.
func endWithGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

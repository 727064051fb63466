//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// killWithChildren makes the end of a command's context kill all processes of its group.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

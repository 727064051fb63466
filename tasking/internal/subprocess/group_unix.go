//go:build unix

package subprocess

import (
	"errors"
	"io/fs"
	"os"
	osexec "os/exec"
	"syscall"

	"github.com/pulpgo/pulpcore/pulperr"
)

// CanIsolate reports whether tasks can have processes of their own.
const CanIsolate = true

// OwnGroup makes the command the leader of a process group.
func OwnGroup(cmd *osexec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// KillGroup kills a leader and everything in its group. It returns os.ErrProcessDone if the group is empty.
func KillGroup(leader *os.Process) error {
	err := syscall.Kill(-leader.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// KillSelf kills this process and, if it leads one, its group.
func KillSelf() {
	if syscall.Getpgrp() == syscall.Getpid() {
		// 0 is the own group. Of a process that does not lead one, it is the group of the program that started it.
		_ = syscall.Kill(0, syscall.SIGKILL)
	}
	os.Exit(1)
}

// deathSignal returns the signal that killed a process, or 0.
func deathSignal(state *os.ProcessState) int {
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return int(s.Signal())
	}
	return 0
}

// Inherited returns the two files that a worker gives to the process of a task: its orders, and the report that it
// reads. The caller closes them.
func Inherited() (orders, report *os.File, err error) {
	foreign := pulperr.Public(pulperr.Invalid,
		"this process was not started by a worker; a worker starts it by worker.Options.Command")
	for _, fd := range []int{0, reportFD} {
		var st syscall.Stat_t // in a process that was started by hand, the number may be that of a database connection
		if err := syscall.Fstat(fd, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return nil, nil, errors.Join(foreign, fs.ErrInvalid)
		}
	}
	syscall.CloseOnExec(reportFD)
	if err := syscall.SetNonblock(0, true); err != nil { // so that closing it ends a read
		return nil, nil, err
	}
	return os.NewFile(0, "orders"), os.NewFile(reportFD, "report"), nil
}

package tasking

import (
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/subprocess"
)

// MkdirTemp makes a new directory with mode 0700 in the work directory. A "*" in pattern is replaced by random
// characters, which otherwise are added at its end. The caller closes the root and may remove the directory, whose path
// is its Name; otherwise it is removed with the work directory.
//
// Errors: Invalid for a pattern with a path separator, and those of [Env.WorkDir].
func (e *Env) MkdirTemp(pattern string) (*os.Root, error) {
	return inWorkDir(e, pattern, func(dir string) (*os.Root, error) {
		path, err := os.MkdirTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		return os.OpenRoot(path)
	})
}

// CreateTemp makes a new file with mode 0600 in the work directory, named as by [Env.MkdirTemp] and open for reading
// and writing. The caller closes it and may remove it; otherwise it is removed with the work directory.
//
// Errors: as [Env.MkdirTemp].
func (e *Env) CreateTemp(pattern string) (*os.File, error) {
	return inWorkDir(e, pattern, func(dir string) (*os.File, error) { return os.CreateTemp(dir, pattern) })
}

// inWorkDir makes a file or a directory in the work directory, which is not removed meanwhile.
func inWorkDir[T any](e *Env, pattern string, create func(dir string) (T, error)) (made T, err error) {
	if strings.ContainsRune(pattern, os.PathSeparator) {
		return made, fmt.Errorf("tasking: temporary file %q: a path separator: %w", pattern, pulperr.Invalid)
	}
	err = e.attempt.Dir.Within(func(dir string) (err error) {
		if made, err = create(dir); err != nil {
			return fmt.Errorf("tasking: temporary file: %w: %w", pulperr.Unavailable, err)
		}
		return nil
	})
	return made, err
}

// outputTimeout is how long the output of a program is read on after the program has ended.
const outputTimeout = 5 * time.Second

// Command returns a command that runs in the work directory, also for its temporary files. When ctx is done it is
// killed, and where the system has process groups everything that it started with it. In a process of the task's own
// (see [BindingOptions]) the rest is killed at the task's end. The caller starts it and waits for it.
//
// Errors: those of [Env.WorkDir]. A program that is not found is an error of its start.
func (e *Env) Command(ctx context.Context, name string, args ...string) (*osexec.Cmd, error) {
	dir, err := e.WorkDir()
	if err != nil {
		return nil, err
	}
	cmd := osexec.CommandContext(ctx, name, args...) //nolint:gosec // the caller's choice
	cmd.Dir = dir.Name()
	cmd.Env = subprocess.TempEnv(cmd.Environ(), dir.Name())
	// A grandchild that keeps the output open would otherwise block the caller's Wait for ever.
	cmd.WaitDelay = outputTimeout
	if !e.attempt.Isolated { // else the whole process has one group, which its worker kills
		subprocess.OwnGroup(cmd)
		cmd.Cancel = func() error { return subprocess.KillGroup(cmd.Process) }
	}
	return cmd, nil
}

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

var scratch = tasking.Define[noArgs]("test.scratch")

// runScratch executes the task scratch.
func (b *bench) runScratch(w *worker.Worker, want models.TaskState) *models.Task {
	b.t.Helper()
	ticket, err := scratch.Dispatch(b.t.Context(), b.q, noArgs{}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := w.RunPending(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return b.wait(ticket.TaskID, want)
}

// makers are the methods that need a work directory.
func makers(ctx context.Context, env *tasking.Env) map[string]error {
	_, dir := env.WorkDir()
	_, temp := env.MkdirTemp("d")
	_, file := env.CreateTemp("f")
	_, command := env.Command(ctx, "true")
	return map[string]error{"WorkDir": dir, "MkdirTemp": temp, "CreateTemp": file, "Command": command}
}

func TestNoWorkDir(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	fail := false
	w, err := worker.New(b.q, &worker.Options{Bindings: []tasking.Binding{scratch.Bind(
		func(ctx context.Context, env *tasking.Env, _ noArgs) error {
			for name, err := range makers(ctx, env) {
				if !errors.Is(err, pulperr.Invalid) {
					t.Errorf("%s() = %v, want Invalid", name, err)
				}
			}
			if !fail {
				return nil
			}
			_, err := env.WorkDir()
			return err
		})}})
	if err != nil {
		t.Fatal(err)
	}
	b.runScratch(w, models.Completed)
	fail = true
	task := b.runScratch(w, models.Failed)
	if !strings.HasPrefix(task.Error.Description, "the worker has no work directory;") {
		t.Errorf("error = %+v", task.Error)
	}
	if left, err := filepath.Glob("*.????????-????-*"); err != nil || len(left) > 0 {
		t.Errorf("the working directory has %v, %v", left, err)
	}
}

func TestTemporaryFiles(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	workDir := t.TempDir()
	var after *tasking.Env
	w := b.worker(worker.Options{WorkDir: workDir, Bindings: []tasking.Binding{scratch.Bind(
		func(_ context.Context, env *tasking.Env, _ noArgs) error {
			after = env
			dir, err := env.WorkDir()
			if err != nil {
				return err
			}
			sub, err := env.MkdirTemp("sub-*-x")
			if err != nil {
				return err
			}
			defer sub.Close()
			file, err := env.CreateTemp("file")
			if err != nil {
				return err
			}
			defer file.Close()
			for path, want := range map[string]fs.FileMode{
				workDir: 0, dir.Name(): 0o700, filepath.Dir(dir.Name()): 0o700, sub.Name(): 0o700, file.Name(): 0o600,
			} {
				info, err := os.Stat(path)
				if err != nil || want != 0 && info.Mode().Perm() != want {
					t.Errorf("%s: %v, %v, want mode %v", path, info, err, want)
				}
			}
			if filepath.Dir(sub.Name()) != dir.Name() || filepath.Dir(file.Name()) != dir.Name() {
				t.Errorf("temporary files %s and %s are not in %s", sub.Name(), file.Name(), dir.Name())
			}
			if _, err := sub.Create("../escape"); err == nil {
				t.Error("a path leads out of a temporary directory")
			}
			if _, err := env.CreateTemp("../x"); !errors.Is(err, pulperr.Invalid) {
				t.Errorf("CreateTemp(../x) = %v, want Invalid", err)
			}
			if _, err := env.MkdirTemp("a/b"); !errors.Is(err, pulperr.Invalid) {
				t.Errorf("MkdirTemp(a/b) = %v, want Invalid", err)
			}
			return os.RemoveAll(sub.Name()) // the caller may
		})}})
	b.runScratch(w, models.Completed)
	for name, err := range makers(t.Context(), after) {
		if !errors.Is(err, pulperr.Conflict) {
			t.Errorf("%s() after the task's end = %v, want Conflict", name, err)
		}
	}
	if left, err := os.ReadDir(workDir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	dir := t.TempDir()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	w := b.worker(worker.Options{Bindings: []tasking.Binding{scratch.Bind(
		func(ctx context.Context, env *tasking.Env, _ noArgs) error {
			cmd, err := env.Command(ctx, "sh", "-c", `echo "$(pwd) $TMPDIR $1"`, "sh", "word")
			if err != nil {
				return err
			}
			work, err := env.WorkDir()
			if err != nil {
				return err
			}
			out, err := cmd.Output()
			if want := fmt.Sprintf("%s %s word\n", work.Name(), work.Name()); string(out) != want || err != nil {
				t.Errorf("command says %q, %v, want %q", out, err, want)
			}
			return killedCommand(ctx, env, lock)
		})}})
	b.runScratch(w, models.Completed)
	_ = lock.Close()
	gone(t, dir)
}

// killedCommand ends the context of a command that has started another one, which has the lock as well.
func killedCommand(ctx context.Context, env *tasking.Env, lock *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd, err := env.Command(ctx, "sh", "-c", "sleep 1000 & echo started; wait")
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{lock}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := fmt.Fscan(out, new(string)); err != nil {
		return err
	}
	begun := time.Now()
	cancel()
	var died *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &died) || time.Since(begun) > 4*time.Second {
		return fmt.Errorf("Wait() = %w after %v", err, time.Since(begun))
	}
	return nil
}

// nobodyDir makes this test binary a process without rights that removes a tree there.
const nobodyDir = "PULP_TASKING_NOBODY_DIR"

func nobodyMain(dir string) error {
	if os.Getuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	deep := filepath.Join(dir, "tree", "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		return err
	}
	open, err := os.Create(filepath.Join(deep, "open"))
	if err != nil {
		return err
	}
	defer open.Close()
	err = errors.Join(os.Symlink("/", filepath.Join(deep, "link")), os.Chmod(deep, 0o500),
		os.Chmod(filepath.Dir(deep), 0), os.Chmod(filepath.Join(dir, "tree"), 0o400))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "tree")); err == nil {
		return errors.New("the test is worth nothing: anybody may remove the tree")
	}
	return worker.RemoveAll(filepath.Join(dir, "tree"))
}

func TestReadOnlyDirectoriesAreRemoved(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "tasking") //nolint:usetesting // nobody could not come to t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // of the test alone
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), nobodyDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("child: %v: %s", err, out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// wantFull is a task that writes more than fits and expects to hear so.
func wantFull(ctx context.Context, env *tasking.Env, _ noArgs) error {
	f, err := env.CreateTemp("big")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Repeat("x", 3<<20)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

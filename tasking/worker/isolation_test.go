package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// isolatedDB makes this test binary the process of one task.
const isolatedDB = "PULP_TASKING_ISOLATED_DB"

var (
	odd      = tasking.Define[oddArgs]("test.odd")
	isolated = tasking.BindingOptions{Subprocess: true}
	within   = tasking.Define[noArgs]("test.within") // dispatched by it
)

// oddArgs are those of a task that ends as it is told.
type oddArgs struct {
	End string
	Dir string // where it says that it has begun
}

// oddResult is what a task in a process of its own finds there.
type oddResult struct {
	PID                int
	WorkDir, Cwd, Temp string
	Mode               fs.FileMode
	Command            string // what pwd says
	CID                string
}

func isolatedCommand(dbURL string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), isolatedDB+"="+dbURL)
		return cmd
	}
}

func isolatedMain(url string) error {
	ctx := context.Background()
	seen := newSightings(os.Getenv(isolatedSightings))
	opts := tasking.QueueOptions{Tracer: seen.tracer, Meter: seen.meter}
	return withChildQueue(ctx, url, opts, func(q *tasking.Queue) error {
		w, err := worker.New(q, &worker.Options{
			Bindings: []tasking.Binding{odd.BindResult(oddBody).With(isolated)}, Command: isolatedCommand(url),
		})
		if err != nil {
			return err
		}
		return errors.Join(w.RunIsolated(ctx), seen.write(ctx))
	})
}

func oddBody(ctx context.Context, env *tasking.Env, a oddArgs) (any, error) {
	switch a.End {
	case "error":
		return nil, pulperr.Coded("PLP0042", pulperr.NotFound, "There is no %s.", "thing")
	case "secret error":
		return nil, fmt.Errorf("the password is %q", "hunter2")
	case "panic":
		panic("oh no")
	case "goexit":
		runtime.Goexit()
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "exit quietly":
		os.Exit(0)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "garbage":
		return nil, report("no report\n", 1)
	case "flood":
		return nil, report(`{"unknown":"`+strings.Repeat("x", 64<<10)+"\"}\n", 1100)
	case "dispatch":
		_, err := within.Dispatch(ctx, env.Queue, noArgs{}, nil)
		return nil, err
	case "obey", "ignore":
		return nil, holdLock(ctx, env, a)
	}
	return look(ctx, env)
}

// report writes where only the engine should, and does not return.
func report(text string, times int) error {
	f := os.NewFile(3, "report")
	for range times {
		if _, err := f.WriteString(text); err != nil {
			return err
		}
	}
	select {}
}

// holdLock says that it has begun and is locked until the process ends.
func holdLock(ctx context.Context, env *tasking.Env, a oddArgs) error {
	lock, err := os.Create(filepath.Join(a.Dir, "lock"))
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	// What the process starts must end with it. It has the lock as well.
	cmd, err := env.Command(ctx, "sleep", "1000")
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{lock}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.Reserve(ctx, tx, tasking.Named("made")...) })
	if err != nil {
		return err
	}
	return env.Progress(ctx, "Holding", "test.holding", func(p *tasking.Progress) error {
		p.SetDone(1)
		if err := os.WriteFile(filepath.Join(a.Dir, "begun"), fmt.Append(nil, os.Getpid()), 0o600); err != nil {
			return err
		}
		if a.End == "ignore" {
			select {}
		}
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, tasking.ErrCanceled) {
			fmt.Println("wrong cause:", err)
		}
		return context.Cause(ctx)
	})
}

func look(ctx context.Context, env *tasking.Env) (any, error) {
	dir, err := env.WorkDir()
	if err != nil {
		return nil, err
	}
	fmt.Println("to stdout")
	fmt.Fprint(os.Stderr, strings.Repeat("long ", 20_000), "\nto stderr without an end")
	r := &oddResult{PID: os.Getpid(), WorkDir: dir.Name(), Temp: os.TempDir(), CID: tasking.CorrelationID(ctx)}
	if r.Cwd, err = os.Getwd(); err != nil {
		return nil, err
	}
	info, err := dir.Stat(".")
	if err != nil {
		return nil, err
	}
	r.Mode = info.Mode().Perm()
	cmd, err := env.Command(ctx, "pwd")
	if err != nil {
		return nil, err
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	r.Command = strings.TrimSpace(string(out))
	return r, env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.Created(ctx, tx, "prn:test.thing:1") })
}

// isolationBench is a worker that executes odd in processes.
func isolationBench(t *testing.T, dbURL string, opts worker.Options) (b *bench, workDir string) {
	t.Helper()
	b = setup(t, dbURL, "")
	if opts.WorkDir == "" {
		opts.WorkDir = t.TempDir()
	}
	opts.Bindings = []tasking.Binding{odd.BindResult(oddBody).With(isolated)}
	opts.Command = isolatedCommand(dbURL)
	b.run(opts)
	return b, opts.WorkDir
}

func (b *bench) odd(end, dir string) uuid.UUID {
	b.t.Helper()
	ctx := tasking.WithCorrelationID(b.t.Context(), "cid-1")
	ticket, err := odd.Dispatch(ctx, b.q, oddArgs{End: end, Dir: dir}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
	if err != nil {
		b.t.Fatal(err)
	}
	return ticket.TaskID
}

// began waits for a task that holds.
func began(t *testing.T, dir string) (pid int) {
	t.Helper()
	eventually(t, "the task's begin", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "begun"))
		if err == nil {
			_, err = fmt.Sscan(string(text), &pid)
		}
		return err == nil
	})
	return pid
}

// gone waits for the end of a task's process and of what it started.
func gone(t *testing.T, dir string) {
	t.Helper()
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	eventually(t, "the end of the process", func() bool {
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
}

// noDirs fails unless the work directories of all tasks are gone.
func noDirs(t *testing.T, workDir string) {
	t.Helper()
	eventually(t, "the end of the work directories", func() bool {
		left, err := filepath.Glob(filepath.Join(workDir, "*", "*"))
		return err == nil && len(left) == 0
	})
}

func TestIsolatedTaskSucceeds(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		var log lockedBuffer
		b, workDir := isolationBench(t, url, worker.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		task := b.wait(b.odd("well", ""), models.Completed)
		for _, want := range []string{`line="to stdout"`, `line="long long `, `line="to stderr without an end"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %s", want)
			}
		}
		var got oddResult
		if err := json.Unmarshal(task.Result, &got); err != nil {
			t.Fatal(err)
		}
		if got.PID == os.Getpid() || got.PID == 0 {
			t.Errorf("the task ran in process %d, which is the worker's", got.PID)
		}
		if !strings.HasPrefix(got.WorkDir, workDir) || got.Mode != 0o700 {
			t.Errorf("work directory %s, mode %v, want one below %s, 0700", got.WorkDir, got.Mode, workDir)
		}
		want := got
		want.Cwd, want.Temp, want.Command, want.CID = got.WorkDir, got.WorkDir, got.WorkDir, "cid-1"
		if got != want {
			t.Errorf("the process found %+v, want its work directory everywhere", got)
		}
		made, err := inspect.CreatedResources(t.Context(), b.q.DB(), task.ID)
		if err != nil || len(made) != 1 || made[0].PRN != "prn:test.thing:1" {
			t.Errorf("CreatedResources() = %v, %v", made, err)
		}
		noDirs(t, workDir)
		b.noReservations()
	})
}

func TestIsolatedTaskFails(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		var log lockedBuffer
		b, workDir := isolationBench(t, url, worker.Options{
			Slots: 2, Tracebacks: true, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		for _, tt := range []struct{ end, description, reason, code, stack string }{
			{end: "error", description: "There is no thing.", code: "PLP0042"},
			{end: "secret error", description: "internal error"},
			{end: "panic", description: "internal error", stack: "oddBody"},
			{end: "goexit", description: "internal error"},
			{end: "exit", reason: "The task's process exited with status 3."},
			{end: "exit quietly", reason: "The task's process exited with status 0."},
			{end: "kill", reason: "Killed by signal 9."},
			{end: "garbage", reason: "The report of the task's process cannot be read."},
			{end: "flood", reason: "The task's process reported more than 67108864 bytes."},
		} {
			task := b.wait(b.odd(tt.end, ""), models.Failed)
			e := task.Error
			if e.Description != tt.description || e.Reason != tt.reason || e.Code != tt.code {
				t.Errorf("%s: error = %+v, want %+v", tt.end, e, tt)
			}
			if (e.Traceback == nil) != (tt.stack == "") || e.Traceback != nil && !strings.Contains(*e.Traceback, tt.stack) {
				t.Errorf("%s: traceback = %v, want one with %q", tt.end, e.Traceback, tt.stack)
			}
		}
		if !strings.Contains(log.String(), `status 3. Its last output:\nlast words`) || !strings.Contains(log.String(), "hunter2") {
			t.Errorf("log = %s", log.String())
		}
		b.wait(b.odd("well", ""), models.Completed) // the worker has survived all of it
		noDirs(t, workDir)
		b.noReservations()
	})
}

func TestIsolatedTaskIsCanceled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		end   string
		grace time.Duration
	}{{"obey", time.Minute}, {"ignore", 300 * time.Millisecond}} {
		t.Run(tt.end, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, url string) {
				t.Parallel()
				b, workDir := isolationBench(t, url, worker.Options{CancelGrace: tt.grace, Tracebacks: true})
				cancelIsolated(t, b, workDir, tt.end)
			})
		})
	}
}

func cancelIsolated(t *testing.T, b *bench, workDir, end string) {
	t.Helper()
	dir := t.TempDir()
	id := b.odd(end, dir)
	began(t, dir)
	eventually(t, "the progress", func() bool {
		reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), id)
		return err == nil && len(reports) == 1 && reports[0].Done == 1 && reports[0].State == models.Running
	})
	if _, err := b.q.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	task := b.wait(id, models.Canceled)
	gone(t, dir)
	switch e := task.Error; {
	case end == "obey" && e != nil:
		t.Errorf("error = %+v, want none", e)
	case end == "ignore" && (e == nil || e.Reason != "Killed by signal 9." || e.Traceback == nil ||
		!strings.Contains(*e.Traceback, "worker_test.hold")):
		t.Errorf("error = %+v, want the signal and the stacks", e)
	}
	reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), id)
	if err != nil || len(reports) != 1 || reports[0].State != models.Canceled || reports[0].Done != 1 {
		t.Errorf("reports = %+v, %v", reports, err)
	}
	noDirs(t, workDir)
	b.noReservations() // also of what the process reserved
}

func TestIsolatedTaskIsKilledFromOutside(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b, workDir := isolationBench(t, url, worker.Options{})
		dir := t.TempDir()
		id := b.odd("ignore", dir)
		if err := syscall.Kill(began(t, dir), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		task := b.wait(id, models.Failed)
		if task.Error.Reason != "Killed by signal 9." {
			t.Errorf("error = %+v", task.Error)
		}
		gone(t, dir)
		noDirs(t, workDir)
		b.noReservations()
	})
}

// stop stops a process, and returns when the kernel has stopped all its threads: kill returns while they still run.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stop of the process", func() bool {
		state, err := exec.CommandContext(t.Context(), "ps", "-o", "state=", "-p", fmt.Sprint(pid)).Output()
		return err == nil && strings.HasPrefix(string(state), "T")
	})
}

// TestSleepingIsolatedTaskIsKilled cancels a task whose process can neither listen nor tell where it stands.
func TestSleepingIsolatedTaskIsKilled(t *testing.T) {
	t.Parallel()
	b, workDir := isolationBench(t, dbtest.SQLite(t), worker.Options{CancelGrace: 100 * time.Millisecond})
	dir := t.TempDir()
	id := b.odd("obey", dir)
	stop(t, began(t, dir))
	if _, err := b.q.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	task := b.wait(id, models.Canceled)
	if task.Error == nil || task.Error.Reason != "Killed by signal 9." || task.Error.Traceback != nil {
		t.Errorf("error = %+v", task.Error)
	}
	gone(t, dir)
	noDirs(t, workDir)
	b.noReservations()
}

func TestIsolatedTaskEndsWithItsWorker(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := childBench(t, dbURL, redisURL)
		dir := t.TempDir()
		id := b.odd("ignore", dir)
		c := startChild(t, dbURL, redisURL)
		began(t, dir)
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		gone(t, dir)
		b.run(worker.Options{TTL: childTTL, WorkDir: filepath.Join(c.dir, "work")})
		task := b.wait(id, models.Failed)
		if task.Error.Reason != "Worker has gone missing." {
			t.Errorf("error = %+v", task.Error)
		}
		noDirs(t, filepath.Join(c.dir, "work"))
		b.noReservations()
	})
}

func TestIsolatedTaskEndsWithTheShutdown(t *testing.T) {
	t.Parallel()
	url := dbtest.SQLite(t)
	b := setup(t, url, "")
	stop := b.run(worker.Options{
		Bindings: []tasking.Binding{odd.BindResult(oddBody).With(isolated)}, Command: isolatedCommand(url),
		Grace: time.Millisecond, CancelGrace: 100 * time.Millisecond,
	})
	dir := t.TempDir()
	id := b.odd("ignore", dir)
	began(t, dir)
	stop()
	if task := b.wait(id, models.Failed); task.Error.Reason != "Aborted during worker shutdown." {
		t.Errorf("error = %+v", task.Error)
	}
	gone(t, dir)
	b.noReservations()
}

func TestIsolationFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	binding := odd.BindResult(oddBody).With(isolated)
	for _, tt := range []struct {
		name string
		opts worker.Options
		want string
	}{
		{"no command", worker.Options{Bindings: []tasking.Binding{binding}}, "set worker.Options.Command"},
		{"ignored", worker.Options{Bindings: []tasking.Binding{binding}, IgnoreSubprocess: true}, ""},
		{
			"other options",
			worker.Options{Bindings: []tasking.Binding{binding.With(tasking.BindingOptions{Timeout: time.Second})}},
			"",
		},
		{"relative WorkDir", worker.Options{WorkDir: "work"}, "not an absolute path"},
	} {
		_, err := worker.New(b.q, &tt.opts)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: New() = %v", tt.name, err)
		case tt.want != "" && (!errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: New() = %v, want Invalid, %q", tt.name, err, tt.want)
		}
	}
	w := b.worker(worker.Options{})
	if err := w.RunIsolated(t.Context()); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("RunIsolated() of a process that nobody started for it = %v, want Invalid", err)
	}
}

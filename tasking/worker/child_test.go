package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// Environment of a child.
const (
	childDB    = "PULP_TASKING_CHILD_DB"
	childRedis = "PULP_TASKING_CHILD_REDIS"
	childDir   = "PULP_TASKING_CHILD_DIR"
)

const childPrefix, childTTL = "tasking-child", 900 * time.Millisecond

// hang is executed by a child: it makes a mess and writes until it cannot any more, and says why.
var hang = tasking.Define[noArgs]("test.hang")

// runChild makes this test binary a worker process that a test can kill.
func runChild() bool {
	url, run := os.Getenv(childDB), childMain
	if isolated := os.Getenv(isolatedDB); isolated != "" { // also in the environment of a worker that is a child
		url, run = isolated, isolatedMain
	}
	if dir := os.Getenv(nobodyDir); dir != "" {
		url, run = dir, nobodyMain
	}
	if url == "" {
		return false
	}
	if err := run(url); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

// withChildQueue calls fn with a queue on the database of the test that this process belongs to. What it logs is for
// the test that started it.
func withChildQueue(ctx context.Context, dbURL string, opts tasking.QueueOptions, fn func(*tasking.Queue) error) error {
	keys, err := secrets.NewKeyring(make([]byte, 32)) // as modelstest has them
	if err != nil {
		return err
	}
	db, err := models.OpenDB(ctx, dbURL, &models.DBOptions{Keys: keys})
	if err != nil {
		return err
	}
	defer db.Close()
	if db, err = db.InDomain(ctx, models.DefaultDomain); err != nil {
		return err
	}
	opts.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	q, err := tasking.NewQueue(db, &opts)
	if err != nil {
		return err
	}
	defer q.Close()
	return fn(q)
}

func childMain(url string) error {
	ctx := context.Background()
	opts := tasking.QueueOptions{RedisURL: os.Getenv(childRedis), Prefix: childPrefix}
	return withChildQueue(ctx, url, opts, func(q *tasking.Queue) error {
		w, err := worker.New(q, &worker.Options{
			Bindings: []tasking.Binding{hang.Bind(hangBody), odd.BindResult(oddBody).With(isolated)},
			WorkDir:  filepath.Join(os.Getenv(childDir), "work"), TTL: childTTL, Command: isolatedCommand(url),
		})
		if err != nil {
			return err
		}
		return w.Run(ctx)
	})
}

func hangBody(ctx context.Context, env *tasking.Env, _ noArgs) error {
	dir, err := env.WorkDir()
	if err != nil {
		return err
	}
	if err := dir.Mkdir("mess", 0o500); err != nil {
		return err
	}
	return env.Progress(ctx, "Hanging", "test.hanging", func(p *tasking.Progress) error {
		row := &models.CreatedResource{
			ID: models.NewID(), Created: models.Now(), TaskID: env.Task.ID, PRN: "prn:test.half:done", Incomplete: true,
		}
		if _, err := env.DB.Bun().NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		if err := childSays("begun", "yes"); err != nil {
			return err
		}
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			err := env.DB.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *models.Tx) error { return writeBeat(ctx, tx) })
			if err != nil {
				return errors.Join(err, childSays("outcome", err.Error()))
			}
			<-ticker.C
		}
	})
}

func writeBeat(_ context.Context, tx *models.Tx) error {
	_, err := tx.Bun().NewRaw(`INSERT INTO core_taskingmeta (key, value) VALUES ('child', '1')
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`).Exec(context.Background())
	return err
}

func childSays(name, text string) error {
	dir := os.Getenv(childDir)
	if err := os.WriteFile(filepath.Join(dir, name+".part"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, name+".part"), filepath.Join(dir, name))
}

// child is a worker process.
type child struct {
	cmd *exec.Cmd
	dir string
}

func startChild(t testing.TB, dbURL, redisURL string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{dir: t.TempDir(), cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), childDB+"="+dbURL, childRedis+"="+redisURL, childDir+"="+c.dir)
	var stderr bytes.Buffer
	c.cmd.Stderr = &stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	return c
}

// says waits for a word of the child.
func (c *child) says(t testing.TB, name string) string {
	t.Helper()
	var text []byte
	eventually(t, "the child's "+name, func() bool {
		var err error
		text, err = os.ReadFile(filepath.Join(c.dir, name))
		return err == nil
	})
	return string(text)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(40 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: nothing after 40 s", what)
		}
	}
}

// both runs fn on both databases with a real Redis, which a child can reach.
func both(t *testing.T, fn func(t *testing.T, dbURL, redisURL string)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, url, dbtest.RedisURL(t))
	})
}

func childBench(t *testing.T, dbURL, redisURL string) *bench {
	t.Helper()
	b := setup(t, dbURL, redisURL)
	b.q = b.queueWith(tasking.QueueOptions{RedisURL: redisURL, Prefix: childPrefix})
	return b
}

// hanging starts a child that executes the task hang, which has the resource "r" to itself.
func (b *bench) hanging(dbURL string) (*child, uuid.UUID) {
	b.t.Helper()
	ticket, err := hang.Dispatch(b.t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
	if err != nil {
		b.t.Fatal(err)
	}
	c := startChild(b.t, dbURL, b.redisURL)
	c.says(b.t, "begun")
	return c, ticket.TaskID
}

func TestTasksOfAKilledWorkerFail(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := childBench(t, dbURL, redisURL)
		c, id := b.hanging(dbURL)
		next := b.dispatch(blockArgs{Name: "next", Exclusive: []string{"r"}})
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var discarded []string
		b.run(worker.Options{
			TTL: childTTL, WorkDir: filepath.Join(c.dir, "work"),
			Discard: func(_ context.Context, db *models.DB, prn string) error {
				if db.Domain().Name != models.DefaultDomain {
					t.Errorf("Discard in domain %q", db.Domain().Name)
				}
				discarded = append(discarded, prn)
				return pulperr.NotFound
			},
		})
		b.begins("next")
		task := b.wait(id, models.Failed)
		if task.Error == nil || task.Error.Reason != "Worker has gone missing." || task.Attempt != 1 {
			t.Errorf("task = %+v, error %+v", task, task.Error)
		}
		reports, err := inspect.ProgressReports(t.Context(), b.q.DB(), task.ID)
		if err != nil || len(reports) != 1 || reports[0].State != models.Failed {
			t.Errorf("reports = %+v, %v", reports, err)
		}
		made, err := inspect.CreatedResources(t.Context(), b.q.DB(), task.ID)
		if err != nil || len(made) != 0 || len(discarded) != 1 {
			t.Errorf("created resources = %v, %v; discarded %v", made, err, discarded)
		}
		workers, err := inspect.Workers(t.Context(), b.q.DB())
		if err != nil || len(workers) != 1 || workers[0].PID != os.Getpid() {
			t.Errorf("workers = %v, %v", workers, err)
		}
		eventually(t, "the work directory's end", func() bool {
			left, _ := filepath.Glob(filepath.Join(c.dir, "work", "*", "*", "mess"))
			return len(left) == 0
		})
		b.end("next", nil)
		b.wait(next, models.Completed)
		b.noReservations()
	})
}

func TestSleepingWorkerIsFenced(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, dbURL, redisURL string) {
		b := childBench(t, dbURL, redisURL)
		c, id := b.hanging(dbURL)
		next := b.dispatch(blockArgs{Name: "next", Exclusive: []string{"r"}})
		stopBetweenTransactions(t, b, c.cmd.Process)
		b.run(worker.Options{TTL: childTTL})
		b.begins("next")
		b.wait(id, models.Failed)
		if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if got := c.says(t, "outcome"); !strings.Contains(got, "taken from this worker") {
			t.Errorf("the sleeper's transaction ended with %q", got)
		}
		b.end("next", nil)
		b.wait(next, models.Completed)
		eventually(t, "the sleeper's new registration", func() bool {
			workers, err := inspect.Workers(t.Context(), b.q.DB())
			return err == nil && len(workers) == 2
		})
		if task := b.get(id); task.Error.Reason != "Worker has gone missing." {
			t.Errorf("the sleeper changed the task: %+v", task.Error)
		}
	})
}

// stopBetweenTransactions sends the child to sleep while it holds no lock in the database, which on SQLite would stop
// everybody.
func stopBetweenTransactions(t testing.TB, b *bench, p *os.Process) {
	t.Helper()
	for {
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := b.db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return writeBeat(ctx, tx) })
		cancel()
		if err == nil {
			return
		}
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

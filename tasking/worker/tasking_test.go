package worker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

func TestTaskRunsToItsEnd(t *testing.T) {
	t.Parallel()
	sum := tasking.Define[[]int]("test.sum")
	each(t, func(t *testing.T, b *bench) {
		var env *tasking.Env
		b.run(worker.Options{Bindings: []tasking.Binding{sum.BindResult(
			func(ctx context.Context, e *tasking.Env, list []int) (any, error) {
				env = e
				n := 0
				for _, i := range list {
					n += i
				}
				return map[string]int{"sum": n}, nil
			})}})
		ctx := tasking.WithUser(tasking.WithCorrelationID(t.Context(), "cid-1"), 7)
		ticket, err := sum.Dispatch(ctx, b.q, []int{1, 2, 3}, &tasking.DispatchOptions{Exclusive: tasking.Named("x"), Shared: tasking.Named("y", "x")})
		if err != nil {
			t.Fatal(err)
		}
		task := b.wait(ticket.TaskID, models.Completed)
		if got := strings.ReplaceAll(string(task.Result), " ", ""); got != `{"sum":6}` {
			t.Errorf("result = %s", got)
		}
		domain := models.CorePRN("domain", b.db.Domain().ID)
		if diff := cmp.Diff([]string{"x", "shared:y", "shared:" + domain}, task.ReservedResources); diff != "" {
			t.Error(diff)
		}
		if task.LoggingCID != "cid-1" || task.UserID == nil || *task.UserID != 7 || task.Attempt != 1 || task.Error != nil {
			t.Errorf("task = %+v", task)
		}
		if task.StartedAt == nil || task.FinishedAt == nil || task.UnblockedAt == nil || task.FinishedAt.Before(*task.StartedAt) {
			t.Errorf("times = %v, %v, %v", task.UnblockedAt, task.StartedAt, task.FinishedAt)
		}
		if env.Task.ID != task.ID || env.Group != nil {
			t.Errorf("env.Task = %+v", env.Task)
		}
		b.noReservations()
	})
}

func TestFailuresAreExplainedToClients(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body func() error
		want models.TaskError
	}{
		"public":   {func() error { return pulperr.Coded("PLP0001", pulperr.Invalid, "no url") }, models.TaskError{Description: "no url", Code: "PLP0001"}},
		"internal": {func() error { return errors.New("password is secret") }, models.TaskError{Description: "internal error"}},
		"panic":    {func() error { panic("secret") }, models.TaskError{Description: "internal error"}},
		"goexit":   {func() error { runtime.Goexit(); return nil }, models.TaskError{Description: "internal error"}},
		"nul":      {func() error { return pulperr.Public(pulperr.Invalid, "a\x00b") }, models.TaskError{Description: "ab"}},
	}
	fail := tasking.Define[string]("test.fail")
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{Bindings: []tasking.Binding{fail.Bind(
			func(_ context.Context, _ *tasking.Env, name string) error { return tests[name].body() })}})
		for name, tt := range tests {
			ticket, err := fail.Dispatch(t.Context(), b.q, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			task := b.wait(ticket.TaskID, models.Failed)
			if diff := cmp.Diff(&tt.want, task.Error); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		unknown := tasking.Define[noArgs]("test.unknown")
		ticket, err := unknown.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		task := b.wait(ticket.TaskID, models.Failed)
		if !strings.Contains(task.Error.Description, "test.unknown") {
			t.Errorf("error of an unknown task = %+v", task.Error)
		}
		b.noReservations()
	})
}

func TestResultThatPostgresCannotStoreFailsTheTask(t *testing.T) {
	t.Parallel()
	nul := tasking.Define[noArgs]("test.nul")
	b := setup(t, dbtest.Postgres(t), "")
	b.run(worker.Options{Bindings: []tasking.Binding{nul.BindResult(
		func(context.Context, *tasking.Env, noArgs) (any, error) { return "\x00", nil })}})
	ticket, err := nul.Dispatch(t.Context(), b.q, noArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.wait(ticket.TaskID, models.Failed)
	b.noReservations()
}

func TestConflictingTasksRunInOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{Slots: 4})
		one := b.dispatch(blockArgs{Name: "one", Exclusive: []string{"r"}})
		b.begins("one")
		two := b.dispatch(blockArgs{Name: "two", Shared: []string{"r"}})
		three := b.dispatch(blockArgs{Name: "three", Shared: []string{"r"}})
		four := b.dispatch(blockArgs{Name: "four", Exclusive: []string{"r"}})
		five := b.dispatch(blockArgs{Name: "five", Shared: []string{"r"}})
		other := b.dispatch(blockArgs{Name: "other", Exclusive: []string{"elsewhere"}})
		b.begins("other")
		for _, id := range []uuid.UUID{two, three, four, five} {
			if task := b.get(id); task.State != models.Waiting || task.UnblockedAt != nil {
				t.Fatalf("a blocked task is %s, unblocked at %v", task.State, task.UnblockedAt)
			}
		}
		b.end("one", nil)
		b.begins("two")
		b.begins("three")
		b.end("two", nil)
		b.wait(two, models.Completed)
		if task := b.get(four); task.UnblockedAt != nil {
			t.Fatal("an exclusive task was granted beside a shared one")
		}
		b.end("three", nil)
		b.begins("four")
		if task := b.get(five); task.UnblockedAt != nil {
			t.Fatal("a shared task overtook an exclusive one")
		}
		b.end("four", nil)
		b.begins("five")
		b.end("five", nil)
		b.end("other", nil)
		for _, id := range []uuid.UUID{one, two, three, four, five, other} {
			b.wait(id, models.Completed)
		}
		b.noReservations()
	})
}

func TestExclusiveDomainStopsTheWorld(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		domain := models.CorePRN("domain", b.db.Domain().ID)
		b.dispatch(blockArgs{Name: "all", Exclusive: []string{domain}})
		b.begins("all")
		next := b.dispatch(blockArgs{Name: "next"})
		if task := b.get(next); task.UnblockedAt != nil {
			t.Error("a task runs beside one that has the domain for itself")
		}
		b.end("all", nil)
		b.begins("next")
		b.end("next", nil)
		b.wait(next, models.Completed)
	})
}

func TestDispatchInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		no := errors.New("no")
		var lost, kept *tasking.Ticket
		err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) (err error) {
			if lost, err = b.block.Dispatch(t.Context(), b.q.In(tx.DB), blockArgs{Name: "lost", Exclusive: []string{"r"}}, nil); err != nil {
				return err
			}
			return no
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if _, err := b.q.Get(t.Context(), lost.TaskID); !errors.Is(err, pulperr.NotFound) {
			t.Errorf("Get(rolled back) = %v, want NotFound", err)
		}
		b.noReservations()
		err = b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) (err error) {
			kept, err = b.block.Dispatch(t.Context(), b.q.In(tx.DB), blockArgs{Name: "kept", Exclusive: []string{"r"}}, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		b.begins("kept")
		b.end("kept", nil)
		b.wait(kept.TaskID, models.Completed)
	})
}

// A queue from outside of a transaction would wait for a connection, or for SQLite's writer, that the transaction
// holds.
func TestDispatchOnAQueueFromOutside(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		began := time.Now()
		err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
			_, err := b.block.Dispatch(ctx, b.q, blockArgs{Name: "a"}, nil)
			return err
		})
		if !errors.Is(err, sqldialect.ErrNested) || time.Since(began) > 5*time.Second {
			t.Errorf("Dispatch = %v after %v, want ErrNested at once", err, time.Since(began))
		}
		if tasks, err := inspect.List(t.Context(), b.q.DB(), nil); err != nil || len(tasks) != 0 {
			t.Errorf("List = %d tasks, %v, want none", len(tasks), err)
		}
	})
}

func TestDispatchRefusesBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	type row struct{ models.Repository }
	tests := map[string]*tasking.DispatchOptions{
		"prefix":       {Exclusive: tasking.Named("shared:x")},
		"nul":          {Shared: tasking.Named("a\x00")},
		"long":         {Shared: tasking.Named(strings.Repeat("x", 3000))},
		"unsaved row":  {Exclusive: tasking.On(&row{})},
		"unknown type": {Exclusive: tasking.OnRef(models.Ref[row]{ID: models.NewID()})},
		"group":        {Group: &group.Group{ID: models.NewID()}},
	}
	for name, o := range tests {
		if _, err := b.block.Dispatch(t.Context(), b.q, blockArgs{}, o); err == nil {
			t.Errorf("%s: Dispatch() = nil, want an error", name)
		}
	}
	if _, err := b.block.Dispatch(t.Context(), b.q, blockArgs{}, &tasking.DispatchOptions{
		Exclusive: tasking.On(nil), Shared: tasking.OnRef(models.Ref[row]{}),
	}); err != nil {
		t.Errorf("Dispatch(nil rows) = %v", err)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		o := &tasking.DispatchOptions{IdempotencyKey: "k"}
		first := b.dispatch(blockArgs{Name: "first"}, o)
		if _, err := b.block.Dispatch(t.Context(), b.q, blockArgs{Name: "again"}, o); !errors.Is(err, pulperr.Exists) {
			t.Errorf("second Dispatch() = %v, want Exists", err)
		}
		b.end("first", nil)
		b.wait(first, models.Completed)
		second := b.dispatch(blockArgs{Name: "second"}, o)
		b.end("second", nil)
		b.wait(second, models.Completed)
	})
}

func TestArgumentsAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	id := b.dispatch(blockArgs{Name: "top secret"})
	var raw []byte
	if err := b.db.Bun().NewRaw("SELECT enc_args FROM core_task WHERE pulp_id = ?", id).Scan(t.Context(), &raw); err != nil {
		t.Fatal(err)
	}
	if len(raw) == 0 || strings.Contains(string(raw), "secret") {
		t.Errorf("enc_args = %q", raw)
	}
}

func TestWorkDirIsCleanAndRemoved(t *testing.T) {
	t.Parallel()
	var path string
	dirty := tasking.Define[noArgs]("test.dirty")
	b := setup(t, dbtest.SQLite(t), "")
	base := t.TempDir()
	w := b.worker(worker.Options{WorkDir: base, Bindings: []tasking.Binding{dirty.Bind(
		func(_ context.Context, env *tasking.Env, _ noArgs) error {
			dir, err := env.WorkDir()
			if err != nil {
				return err
			}
			path = dir.Name()
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("work directory: %v, %v", info.Mode(), err)
			}
			for _, sub := range []string{"a", "a/b"} {
				if err := dir.Mkdir(sub, 0o700); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(path, "a/b/file"), nil, 0o400); err != nil {
				return err
			}
			if _, err := dir.Create("../out"); err == nil {
				t.Error("a path leads out of the work directory")
			}
			open, err := dir.Create("a/b/open")
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = open.Close() }) // long after the task's end
			return errors.Join(dir.Chmod("a/b", 0o500), dir.Chmod("a", 0o500))
		})}})
	ticket, err := dirty.Dispatch(t.Context(), b.q, noArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RunPending(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wait(ticket.TaskID, models.Completed)
	if left, _ := os.ReadDir(base); path == "" || len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRunPendingRunsWhatBecomesReady(t *testing.T) {
	t.Parallel()
	chain := tasking.Define[int]("test.chain")
	onEach(t, func(t *testing.T, b *bench) {
		var ran []int
		w := b.worker(worker.Options{Bindings: []tasking.Binding{chain.Bind(
			func(ctx context.Context, env *tasking.Env, n int) error {
				ran = append(ran, n)
				if n == 3 {
					return nil
				}
				_, err := chain.Dispatch(ctx, env.Queue, n+1, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
				return err
			})}})
		ticket, err := chain.Dispatch(t.Context(), b.q, 1, &tasking.DispatchOptions{Exclusive: tasking.Named("r")})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{1, 2, 3}, ran); diff != "" {
			t.Error(diff)
		}
		list, err := inspect.List(t.Context(), b.q.DB(), nil)
		if err != nil || len(list) != 3 {
			t.Fatalf("List() = %d, %v", len(list), err)
		}
		if p := list[1].ParentTaskID; p == nil || *p != ticket.TaskID {
			t.Errorf("parent = %v, want %v", p, ticket.TaskID)
		}
		if workers, err := inspect.Workers(t.Context(), b.q.DB()); err != nil || len(workers) != 0 {
			t.Errorf("Workers() = %v, %v", workers, err)
		}
		b.noReservations()
	})
}

// TestRunPendingShowsThatItIsAlive runs a task for longer than the worker may be silent.
func TestRunPendingShowsThatItIsAlive(t *testing.T) {
	t.Parallel()
	const ttl = labTTL
	onEach(t, func(t *testing.T, b *bench) {
		long := tasking.Define[noArgs]("test.long")
		w := b.worker(worker.Options{TTL: ttl, Bindings: []tasking.Binding{long.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				for {
					row, err := inspect.Worker(ctx, env.Queue.DB(), *env.Task.WorkerID)
					if err != nil || row.Beat >= 4 { // longer than the TTL
						return err
					}
					select {
					case <-time.After(10 * time.Millisecond):
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}
			})}})
		ticket, err := long.Dispatch(t.Context(), b.q, noArgs{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.run(worker.Options{TTL: ttl, Kinds: []string{worker.KindAPI}, NoTasks: true}) // that would miss a silent one
		if err := w.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait(ticket.TaskID, models.Completed)
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	id := b.dispatch(blockArgs{Name: "x"})
	if err := inspect.Delete(t.Context(), b.q.DB(), id); !errors.Is(err, pulperr.Conflict) {
		t.Errorf("Delete(waiting) = %v, want Conflict", err)
	}
	if _, err := b.q.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := inspect.Delete(t.Context(), b.q.DB(), id); err != nil {
		t.Fatal(err)
	}
	if err := inspect.Delete(t.Context(), b.q.DB(), id); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Delete(deleted) = %v, want NotFound", err)
	}
}

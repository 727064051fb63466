package worker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// purge removes what ended before a time.
func (b *bench) purge(before time.Time, opts *inspect.PurgeOptions) inspect.Purged {
	b.t.Helper()
	done, err := inspect.Purge(b.t.Context(), b.q.DB(), before, opts)
	if err != nil {
		b.t.Fatalf("Purge() = %v", err)
	}
	return done
}

// canceled returns a task that was canceled.
func (b *bench) canceled() uuid.UUID {
	b.t.Helper()
	id := b.dispatch(blockArgs{})
	if _, err := b.q.Cancel(b.t.Context(), id); err != nil {
		b.t.Fatal(err)
	}
	return id
}

func soon() time.Time { return models.Now().Add(time.Hour) }

func allFinal() []models.TaskState {
	return []models.TaskState{models.Skipped, models.Completed, models.Failed, models.Canceled}
}

func TestPurgeTakesWhatBelongsToTasks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		report := tasking.Define[noArgs]("test.report")
		w := b.worker(worker.Options{Bindings: []tasking.Binding{report.Bind(
			func(ctx context.Context, env *tasking.Env, _ noArgs) error {
				err := env.Progress(ctx, "Reporting", "report", func(*tasking.Progress) error { return nil })
				return errors.Join(err, env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return env.Created(ctx, tx, "prn:x.y:z") }))
			})}})
		members, err := b.q.NewGroup(t.Context(), "g", group.Report{Code: "a"}, group.Report{Code: "b"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := report.Dispatch(t.Context(), b.q, noArgs{}, &tasking.DispatchOptions{Group: members}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(members.Finish(t.Context()), w.RunPending(t.Context())); err != nil {
			t.Fatal(err)
		}
		canceled := b.canceled()
		if diff := cmp.Diff(inspect.Purged{}, b.purge(ago(time.Hour), nil)); diff != "" {
			t.Error(diff)
		}
		var told []inspect.Purged
		want := inspect.Purged{Tasks: 2, ProgressReports: 2, CreatedResources: 2, Groups: 1, GroupReports: 2}
		got := b.purge(soon(), &inspect.PurgeOptions{Done: func(p inspect.Purged) { told = append(told, p) }})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if len(told) != 2 || told[0].Tasks != 2 || told[0].Groups != 0 || told[1] != want || want.Total() != 9 {
			t.Errorf("told = %+v", told)
		}
		if task := b.get(canceled); task.State != models.Canceled {
			t.Errorf("state = %s", task.State)
		}
		if got := b.purge(soon(), &inspect.PurgeOptions{States: allFinal()}); got.Total() != 1 {
			t.Errorf("Purge(all states) = %+v, want one task", got)
		}
		for _, table := range []string{
			"core_task", "core_taskgroup", "core_progressreport", "core_groupprogressreport", "core_createdresource",
		} {
			if n := b.count(table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
	})
}

func (b *bench) count(table string) int {
	b.t.Helper()
	n, err := b.db.Bun().NewSelect().TableExpr(table).Count(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return int(n)
}

func TestPurgeRefusesStatesThatAreNotFinal(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	for _, s := range []models.TaskState{models.Waiting, models.Running, models.Canceling, "", "x"} {
		states := []models.TaskState{models.Completed, s}
		if _, err := inspect.Purge(t.Context(), b.q.DB(), soon(), &inspect.PurgeOptions{States: states}); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("Purge(%q) = %v, want Invalid", s, err)
		}
	}
}

func TestPurgeKeepsToTheDomain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		other := b.domain("other")
		for _, q := range []*tasking.Queue{b.q, other} {
			ticket, err := b.block.Dispatch(t.Context(), q, blockArgs{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := q.Cancel(t.Context(), ticket.TaskID); err != nil {
				t.Fatal(err)
			}
			members, err := q.NewGroup(t.Context(), "g")
			if err := errors.Join(err, members.Finish(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		want := inspect.Purged{Tasks: 1, Groups: 1}
		if diff := cmp.Diff(want, b.purge(soon(), &inspect.PurgeOptions{States: allFinal()})); diff != "" {
			t.Error(diff)
		}
		all := &inspect.PurgeOptions{States: allFinal(), AllDomains: true}
		if diff := cmp.Diff(want, b.purge(soon(), all)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPurgeKeepsGroupsThatMayGetMembers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		var groups []*group.Group
		for range 4 {
			g, err := b.q.NewGroup(t.Context(), "g")
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
		}
		b.dispatch(blockArgs{}, &tasking.DispatchOptions{Group: groups[1]}) // waits
		err := errors.Join(groups[1].Finish(t.Context()), groups[2].Finish(t.Context()), groups[3].Cancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if got := b.purge(soon(), nil); got.Groups != 2 {
			t.Errorf("Purge() = %+v, want two groups", got)
		}
		for i, g := range groups {
			_, err := g.Row(t.Context())
			if gone := errors.Is(err, pulperr.NotFound); gone != (i >= 2) {
				t.Errorf("group %d: Row() = %v", i, err)
			}
		}
	})
}

// TestPurgeSkipsWhatIsInUse removes more than a batch of tasks, of which a plugin's rows refer to two.
func TestPurgeSkipsWhatIsInUse(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		const tasks = 1010
		members, err := b.q.NewGroup(t.Context(), "g")
		if err == nil {
			err = members.Cancel(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]uuid.UUID, tasks)
		var wg sync.WaitGroup
		for first := range 4 {
			wg.Go(func() {
				for i := first; i < tasks; i += 4 {
					ticket, err := b.block.Dispatch(t.Context(), b.q, blockArgs{}, &tasking.DispatchOptions{Group: members})
					if err != nil {
						t.Error(err)
						return
					}
					ids[i] = ticket.TaskID
				}
			})
		}
		wg.Wait()
		err = b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
			words := b.db.Conn().Kind.TemplateData()
			_, err := tx.Bun().ExecContext(t.Context(), "CREATE TABLE x_job (task_id "+words["uuid"].(string)+
				" REFERENCES core_task (pulp_id))")
			if err == nil {
				_, err = tx.Bun().ExecContext(t.Context(), "INSERT INTO x_job (task_id) VALUES (?), (?)", ids[3], ids[1005])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := inspect.Purged{Tasks: tasks - 2, Failed: 2}
		if diff := cmp.Diff(want, b.purge(soon(), &inspect.PurgeOptions{States: allFinal()})); diff != "" {
			t.Error(diff)
		}
		if err := inspect.Delete(t.Context(), b.q.DB(), ids[3]); !errors.Is(err, pulperr.Conflict) {
			t.Errorf("Delete() = %v, want Conflict", err)
		}
	})
}

// TestPurgeWhileTasksRun is F76.
func TestPurgeWhileTasksRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		const tasks = 100
		step := tasking.Define[int]("test.step")
		var mu sync.Mutex
		var running []int
		b.run(worker.Options{Slots: 8, Bindings: []tasking.Binding{step.BindResult(
			func(ctx context.Context, env *tasking.Env, n int) (any, error) {
				err := env.Progress(ctx, "Step", "step", func(p *tasking.Progress) error {
					p.Add(1)
					_, err := env.Queue.Get(ctx, env.Task.ID)
					return err
				})
				if err != nil {
					return nil, err
				}
				reports, err := inspect.ProgressReports(ctx, env.Queue.DB(), env.Task.ID)
				if err != nil || len(reports) != 1 || reports[0].Done != 1 {
					t.Errorf("reports of a running task = %v, %v", reports, err)
				}
				mu.Lock()
				defer mu.Unlock()
				running = append(running, n)
				return n, nil
			})}})
		held := b.dispatch(blockArgs{Name: "held"})
		waits := b.dispatch(blockArgs{Name: "waits", Exclusive: []string{models.CorePRN("domain", b.db.Domain().ID)}})
		b.begins("held")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var purged inspect.Purged
		var wg sync.WaitGroup
		other := b.domain("other")
		wg.Go(func() {
			for ctx.Err() == nil {
				got, err := inspect.Purge(t.Context(), b.q.DB(), soon(), &inspect.PurgeOptions{States: allFinal(), AllDomains: true})
				if err != nil {
					t.Error(err)
				}
				purged.Tasks += got.Tasks
				purged.ProgressReports += got.ProgressReports
			}
		})
		for n := range tasks {
			if _, err := step.Dispatch(t.Context(), other, n, nil); err != nil {
				t.Fatal(err)
			}
		}
		b.until(func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(running) == tasks
		})
		b.until(func() bool { return b.count("core_task") == 2 })
		cancel()
		wg.Wait()
		if purged.Tasks != tasks || purged.ProgressReports != tasks {
			t.Errorf("purged = %+v, want %d tasks with a report each", purged, tasks)
		}
		if held, waits := b.get(held), b.get(waits); held.State != models.Running || waits.State != models.Waiting {
			t.Errorf("states = %s, %s", held.State, waits.State)
		}
		b.end("held", nil)
		b.end("waits", nil)
		b.wait(waits, models.Completed)
		b.noReservations()
	})
}

// until waits for something to become true.
func (b *bench) until(fn func() bool) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !fn() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatal("it did not become true")
		}
	}
}

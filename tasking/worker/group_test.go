package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// TestGroupIsCanceledWhileMembersArrive is F66: whoever gets in, before the cancellation, during it or after it, ends
// canceled.
func TestGroupIsCanceledWhileMembersArrive(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		const dispatchers, before, after = 16, 4, 6
		b.run(worker.Options{Slots: 4})
		members, err := b.q.NewGroup(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		ids := make(chan uuid.UUID, dispatchers*(before+after))
		var arrived, all sync.WaitGroup
		arrived.Add(dispatchers)
		for d := range dispatchers {
			all.Go(func() {
				for i := range before + after {
					if i == before {
						arrived.Done()
					}
					args := blockArgs{Name: fmt.Sprint(d, i), Exclusive: []string{fmt.Sprint("r", i%3)}}
					ticket, err := b.block.Dispatch(t.Context(), b.q, args, &tasking.DispatchOptions{Group: members})
					if err != nil {
						t.Error(err)
						continue
					}
					ids <- ticket.TaskID
				}
			})
		}
		arrived.Wait()
		if err := members.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
		late := b.dispatch(blockArgs{Name: "late"}, &tasking.DispatchOptions{Group: members})
		all.Wait()
		close(ids)
		for id := range ids {
			b.wait(id, models.Canceled)
		}
		if task := b.wait(late, models.Canceled); task.Error == nil || task.Error.Reason == "" || task.StartedAt != nil {
			t.Errorf("late member = %+v, %+v", task, task.Error)
		}
		counts, err := members.Counts(t.Context())
		if err != nil || counts[models.Canceled] != dispatchers*(before+after)+1 {
			t.Errorf("Counts() = %v, %v", counts, err)
		}
		b.noReservations()
	})
}

// TestGroupProgressOfManyTasks is F73: 10,000 increments, of which those that come at the same time share a
// transaction.
func TestGroupProgressOfManyTasks(t *testing.T) {
	t.Parallel()
	const tasks = 50
	steps := 200
	if testing.Short() {
		steps = 50
	}
	count := tasking.Define[int]("test.count")
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{Slots: tasks, Bindings: []tasking.Binding{count.Bind(
			func(ctx context.Context, env *tasking.Env, steps int) error {
				for range steps {
					if err := env.Group.Progress("c").Add(ctx, 1); err != nil {
						return err
					}
				}
				return env.Group.Progress("c").AddTotal(ctx, int64(steps))
			})}})
		members, err := b.q.NewGroup(t.Context(), "g", group.Report{Code: "c"})
		if err != nil {
			t.Fatal(err)
		}
		var ids []uuid.UUID
		for range tasks {
			ticket, err := count.Dispatch(t.Context(), b.q, steps, &tasking.DispatchOptions{Group: members})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, ticket.TaskID)
		}
		for _, id := range ids {
			b.wait(id, models.Completed)
		}
		reports, err := inspect.GroupReports(t.Context(), b.q.DB(), members.ID)
		if want := int64(tasks * steps); err != nil || reports[0].Done != want || reports[0].Total != want {
			t.Errorf("report = %+v, %v, want %d of %d", reports[0], err, want, want)
		}
	})
}

// TestGroupCancelGoesOnAfterALockedMember cancels within a transaction that waits for no lock for long, while somebody
// keeps the resource of one member locked.
func TestGroupCancelGoesOnAfterALockedMember(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.Postgres(t), "")
	members, err := b.q.NewGroup(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]uuid.UUID{}
	for _, name := range []string{"first", "held", "last"} {
		ids[name] = b.dispatch(blockArgs{Name: name, Exclusive: []string{name}}, &tasking.DispatchOptions{Group: members})
	}
	err = b.db.Tx(t.Context(), func(_ context.Context, holder *models.Tx) error {
		_, err := b.block.Dispatch(t.Context(), b.q.In(holder.DB), blockArgs{Name: "holder", Exclusive: []string{"held"}}, nil)
		if err != nil {
			return err
		}
		return b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
			if _, err := tx.Bun().ExecContext(t.Context(), "SET LOCAL lock_timeout = '100ms'"); err != nil {
				return err
			}
			g, err := b.q.In(tx.DB).Group(t.Context(), members.ID)
			if err != nil {
				return err
			}
			if err := g.Cancel(t.Context()); !errors.Is(err, pulperr.Locked) {
				t.Errorf("Cancel() = %v, want Locked", err)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]models.TaskState{
		"first": models.Canceled, "held": models.Waiting, "last": models.Canceled,
	} {
		if task := b.get(ids[name]); task.State != want {
			t.Errorf("the member %s is %s, want %s", name, task.State, want)
		}
	}
	if err := members.Cancel(t.Context()); err != nil {
		t.Errorf("second Cancel() = %v", err)
	}
	b.wait(ids["held"], models.Canceled)
}

// TestDispatchGroup dispatches the tasks of a group together. One that cannot be stored takes the others and the group
// with it.
func TestDispatchGroup(t *testing.T) {
	t.Parallel()
	type args struct{ Name string }
	count := tasking.Define[args]("test.count")
	each(t, func(t *testing.T, b *bench) {
		report := group.Report{Message: "Counted", Code: "test.counted"}
		huge := args{string(make([]byte, 17<<20))} // more than the arguments of a task may have
		if _, err := count.DispatchGroup(t.Context(), b.q, "g", []args{{"a"}, huge}, report); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("DispatchGroup = %v, want Invalid", err)
		}
		for _, table := range []string{"core_task", "core_taskgroup", "core_groupprogressreport"} {
			n, err := b.db.Bun().NewSelect().Table(table).Count(t.Context())
			if err != nil || n != 0 {
				t.Errorf("%s has %d rows, %v, want none", table, n, err)
			}
		}
		g, err := count.DispatchGroup(t.Context(), b.q, "g", []args{{"a"}, {"b"}}, report)
		if err != nil {
			t.Fatal(err)
		}
		b.run(worker.Options{Bindings: []tasking.Binding{
			count.Bind(func(ctx context.Context, env *tasking.Env, _ args) error {
				return env.Group.Progress("test.counted").Add(ctx, 1)
			}),
		}})
		eventually(t, "the end of the group", func() bool {
			counts, err := g.Counts(t.Context())
			return err == nil && counts[models.Completed] == 2
		})
		row, err := g.Row(t.Context())
		if err != nil || !row.AllTasksDispatched {
			t.Errorf("Row() = %+v, %v, want a complete group", row, err)
		}
		reports, err := g.Reports(t.Context())
		if err != nil || len(reports) != 1 || reports[0].Total != 2 || reports[0].Done != 2 {
			t.Errorf("Reports() = %+v, %v, want 2 of 2", reports, err)
		}
	})
}

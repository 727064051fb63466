package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/schedule"
	"github.com/pulpgo/pulpcore/tasking/worker"
)

// schedule declares a schedule of a task that blocks.
func (b *bench) schedule(a blockArgs, s *schedule.Options) *models.TaskSchedule {
	b.t.Helper()
	row, err := schedule.Set(b.t.Context(), b.q, b.block, a, s)
	if err != nil {
		b.t.Fatalf("Schedule(%q) = %v", s.Name, err)
	}
	return row
}

// scheduled returns a schedule as it is stored.
func (b *bench) scheduled(name string) *models.TaskSchedule {
	b.t.Helper()
	row, err := schedule.Get(b.t.Context(), b.q.DB(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

// dispatchDue returns how many schedules were due.
func (b *bench) dispatchDue() int {
	b.t.Helper()
	n, err := schedule.DispatchDue(b.t.Context(), b.q)
	if err != nil {
		b.t.Fatalf("DispatchDue() = %v", err)
	}
	return n
}

// setSchedules changes a column of all schedules behind the queue's back.
func (b *bench) setSchedules(column string, value any) {
	b.t.Helper()
	err := b.db.Tx(b.t.Context(), func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewRaw("UPDATE core_taskschedule SET "+column+" = ?", value).Exec(b.t.Context())
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func ago(d time.Duration) time.Time { return models.Now().Add(-d) }

func TestWorkersDispatchWhatIsDue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.run(worker.Options{})
		ctx := tasking.WithUser(tasking.WithCorrelationID(t.Context(), "the caller's"), 7)
		made, err := schedule.Set(ctx, b.q, b.block, blockArgs{Name: "one", Exclusive: []string{"r"}},
			&schedule.Options{Name: "s", Every: time.Hour, Exclusive: tasking.Named("e"), Shared: tasking.Named("y", "r")})
		if err != nil {
			t.Fatal(err)
		}
		domain := models.CorePRN("domain", b.db.Domain().ID)
		want := []string{"e", "r", "shared:y", "shared:" + domain}
		if diff := cmp.Diff(want, made.ReservedResources); diff != "" {
			t.Error(diff)
		}
		b.begins("one")
		s := b.scheduled("s")
		if s.LastTaskID == nil || s.NextDispatch == nil || s.LastDispatch == nil || s.Interval() != time.Hour {
			t.Fatalf("schedule after its dispatch = %+v", s)
		}
		if next := made.NextDispatch.Add(time.Hour); !s.NextDispatch.Equal(next) {
			t.Errorf("next dispatch = %v, want %v", s.NextDispatch, next)
		}
		b.end("one", nil)
		task := b.wait(*s.LastTaskID, models.Completed)
		if diff := cmp.Diff(want, task.ReservedResources); diff != "" {
			t.Error(diff)
		}
		if task.UserID == nil || *task.UserID != 7 || len(task.LoggingCID) != 32 || task.ParentTaskID != nil {
			t.Errorf("user %v, correlation id %q, parent %v", task.UserID, task.LoggingCID, task.ParentTaskID)
		}
		b.noReservations()
	})
}

func TestScheduledTaskWaitsForItsResources(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		first := b.dispatch(blockArgs{Name: "first", Exclusive: []string{"r"}})
		b.schedule(blockArgs{Name: "s", Exclusive: []string{"r"}}, &schedule.Options{Name: "s"})
		if n := b.dispatchDue(); n != 1 {
			t.Fatalf("DispatchDue() = %d, want 1", n)
		}
		id := *b.scheduled("s").LastTaskID
		if task := b.get(id); task.UnblockedAt != nil {
			t.Error("a scheduled task overtook one that has its resource")
		}
		if _, err := b.q.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if task := b.get(id); task.UnblockedAt == nil {
			t.Error("a scheduled task is blocked by nothing")
		}
	})
}

// TestTwoSchedulersDispatchOnce is F74.
func TestTwoSchedulersDispatchOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		const schedules, schedulers = 20, 8
		for i := range schedules {
			b.schedule(blockArgs{}, &schedule.Options{Name: fmt.Sprint(i), Every: time.Hour * time.Duration(i%2)})
		}
		var wg sync.WaitGroup
		counts := make(chan int, schedulers)
		for range schedulers {
			wg.Go(func() {
				n, err := schedule.DispatchDue(t.Context(), b.q)
				if err != nil {
					t.Error(err)
				}
				counts <- n
			})
		}
		wg.Wait()
		total := b.dispatchDue()
		for range schedulers {
			total += <-counts
		}
		list, err := inspect.List(t.Context(), b.q.DB(), nil)
		if err != nil || len(list) != schedules || total != schedules {
			t.Errorf("%d tasks of %d dispatches of %d schedules, %v", len(list), total, schedules, err)
		}
	})
}

// TestMissedIntervalsAreMadeUpForOnce is F75.
func TestMissedIntervalsAreMadeUpForOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		const every = time.Minute
		begin := ago(10*every + every/2)
		b.schedule(blockArgs{}, &schedule.Options{Name: "s", Every: every, Next: begin})
		if n := b.dispatchDue(); n != 1 {
			t.Fatalf("DispatchDue() = %d, want 1", n)
		}
		s := b.scheduled("s")
		if want := begin.Add(11 * every); !s.NextDispatch.Equal(want) {
			t.Errorf("next dispatch = %v, want %v", s.NextDispatch, want)
		}
		if n := b.dispatchDue(); n != 0 {
			t.Errorf("second DispatchDue() = %d, want 0", n)
		}
		b.setSchedules("next_dispatch", begin)
		if n := b.dispatchDue(); n != 0 {
			t.Errorf("DispatchDue() = %d while the last task waits, want 0", n)
		}
		if _, err := b.q.Cancel(t.Context(), *s.LastTaskID); err != nil {
			t.Fatal(err)
		}
		if n := b.dispatchDue(); n != 1 {
			t.Errorf("DispatchDue() = %d after the last task ended, want 1", n)
		}
		last := *b.scheduled("s").LastTaskID
		if _, err := b.q.Cancel(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		if err := inspect.Delete(t.Context(), b.q.DB(), last); err != nil {
			t.Fatal(err)
		}
		if s := b.scheduled("s"); s.LastTaskID != nil {
			t.Errorf("last task = %v after it was deleted", s.LastTaskID)
		}
		b.setSchedules("next_dispatch", begin)
		if n := b.dispatchDue(); n != 1 {
			t.Errorf("DispatchDue() = %d after the last task was deleted, want 1", n)
		}
	})
}

func TestScheduleOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		s := &schedule.Options{Name: "s", Next: models.Now().Add(time.Hour)}
		b.schedule(blockArgs{}, s)
		if n := b.dispatchDue(); n != 0 {
			t.Fatalf("DispatchDue() = %d before it is due, want 0", n)
		}
		s.Next = ago(time.Hour)
		b.schedule(blockArgs{}, s)
		if n := b.dispatchDue(); n != 1 {
			t.Fatalf("DispatchDue() = %d, want 1", n)
		}
		b.schedule(blockArgs{}, s)
		s.Next = time.Time{}
		if row := b.schedule(blockArgs{}, s); row.NextDispatch != nil || row.LastDispatch == nil {
			t.Errorf("schedule that is over = %+v", row)
		}
		if row := b.scheduled("s"); row.NextDispatch != nil || row.Interval() != 0 {
			t.Errorf("schedule that is over = %+v", row)
		}
		s.Next = models.Now().Add(time.Hour)
		if row := b.schedule(blockArgs{}, s); row.NextDispatch == nil || !row.NextDispatch.Equal(s.Next) {
			t.Errorf("schedule that is to go on = %+v", row)
		}
	})
}

func TestScheduleAgainKeepsItsTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		next := models.Now().Add(90 * time.Minute)
		first := b.schedule(blockArgs{Name: "old"}, &schedule.Options{Name: "s", Every: 2 * time.Hour, Next: next})
		same := b.schedule(blockArgs{Name: "old"}, &schedule.Options{Name: "s", Every: 3 * time.Hour})
		if same.ID != first.ID || !same.NextDispatch.Equal(next) || same.Interval() != 3*time.Hour {
			t.Errorf("a longer interval made %+v of %+v", same, first)
		}
		user := int64(9)
		sooner := b.schedule(blockArgs{Name: "new"}, &schedule.Options{Name: "s", Every: time.Hour, User: &user})
		if d := next.Sub(*sooner.NextDispatch); d < 25*time.Minute || d > 31*time.Minute {
			t.Errorf("next dispatch is %v sooner, want about 30 minutes", d)
		}
		got := b.scheduled("s")
		if diff := cmp.Diff(sooner, got); diff != "" {
			t.Error(diff)
		}
		b.setSchedules("next_dispatch", ago(time.Second))
		b.run(worker.Options{})
		b.begins("new")
		b.end("new", nil)
	})
}

// TestScheduleKeepsToItsPhase declares the same midnight again and again.
func TestScheduleKeepsToItsPhase(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		const day = 24 * time.Hour
		s := &schedule.Options{Name: "s", Every: day, Next: time.Date(2001, 1, 1, 3, 0, 0, 0, time.UTC)}
		b.schedule(blockArgs{}, s)
		if n := b.dispatchDue(); n != 1 {
			t.Fatalf("DispatchDue() = %d, want 1", n)
		}
		next := b.scheduled("s").NextDispatch.UTC()
		if next.Hour() != 3 || next.Minute() != 0 || next.Before(models.Now()) || next.After(models.Now().Add(day)) {
			t.Errorf("next dispatch = %v", next)
		}
		if row := b.schedule(blockArgs{}, s); !row.NextDispatch.Equal(next) {
			t.Errorf("next dispatch = %v after another declaration, want %v", row.NextDispatch, next)
		}
		b.setSchedules("last_dispatch", ago(3*day))
		if row := b.schedule(blockArgs{}, s); row.NextDispatch.After(models.Now()) {
			t.Errorf("next dispatch = %v although two were missed", row.NextDispatch)
		}
	})
}

func TestFailingScheduleDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		b.schedule(blockArgs{}, &schedule.Options{Name: "bad"})
		b.setSchedules("enc_args", []byte("not sealed"))
		nowhere := b.schedule(blockArgs{}, &schedule.Options{Name: "nowhere"})
		b.schedule(blockArgs{}, &schedule.Options{Name: "good"})
		err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
			_, err := tx.Bun().NewRaw("UPDATE core_taskschedule SET pulp_domain_id = ? WHERE pulp_id = ?",
				models.NewID(), nowhere.ID).Exec(t.Context())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		n, err := schedule.DispatchDue(t.Context(), b.q)
		if n != 1 || err == nil || !strings.Contains(err.Error(), `"bad"`) || !strings.Contains(err.Error(), `"nowhere"`) {
			t.Errorf("DispatchDue() = %d, %v", n, err)
		}
		if s := b.scheduled("bad"); s.NextDispatch == nil || s.LastTaskID != nil {
			t.Errorf("schedule that failed = %+v", s)
		}
		if s := b.scheduled("good"); s.LastTaskID == nil {
			t.Error("the schedule behind one that failed was not dispatched")
		}
		b.noTasks(1)
	})
}

// noTasks fails unless there are n tasks.
func (b *bench) noTasks(n int) {
	b.t.Helper()
	list, err := inspect.List(b.t.Context(), b.q.DB(), nil)
	if err != nil || len(list) != n {
		b.t.Errorf("there are %d tasks, %v, want %d", len(list), err, n)
	}
}

func TestSchedulesAreDeclaredByManyAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		ids := make(chan uuid.UUID, 8)
		var wg sync.WaitGroup
		for range cap(ids) {
			wg.Go(func() {
				row, err := schedule.Set(t.Context(), b.q, b.block, blockArgs{}, &schedule.Options{Name: "s", Every: time.Hour})
				if err != nil {
					t.Error(err)
					return
				}
				ids <- row.ID
			})
		}
		wg.Wait()
		close(ids)
		want := b.scheduled("s").ID
		for id := range ids {
			if id != want {
				t.Errorf("Schedule() returned %v, want %v", id, want)
			}
		}
	})
}

func TestSchedulesBelongToTheirDomain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		other := b.domain("other")
		b.schedule(blockArgs{Name: "here"}, &schedule.Options{Name: "s", Every: time.Hour})
		if _, err := schedule.Set(t.Context(), other, b.block, blockArgs{Name: "there"}, &schedule.Options{Name: "s"}); err != nil {
			t.Fatal(err)
		}
		if n := b.dispatchDue(); n != 2 {
			t.Errorf("DispatchDue() = %d, want 2", n)
		}
		s, err := schedule.Get(t.Context(), other.DB(), "s")
		if err != nil {
			t.Fatal(err)
		}
		if task, err := other.Get(t.Context(), *s.LastTaskID); err != nil || task.DomainID != other.DB().Domain().ID {
			t.Errorf("task of the other domain = %+v, %v", task, err)
		}
		if err := schedule.Delete(t.Context(), b.q.DB(), "s"); err != nil {
			t.Fatal(err)
		}
		if err := schedule.Delete(t.Context(), b.q.DB(), "s"); !errors.Is(err, pulperr.NotFound) {
			t.Errorf("second Unschedule() = %v, want NotFound", err)
		}
		if _, err := schedule.ByID(t.Context(), b.q.DB(), s.ID); !errors.Is(err, pulperr.NotFound) {
			t.Errorf("ScheduleByID(other domain's) = %v, want NotFound", err)
		}
		list, err := schedule.List(t.Context(), other.DB(), nil)
		if err != nil || len(list) != 1 || list[0].ID != s.ID {
			t.Errorf("Schedules() = %v, %v", list, err)
		}
	})
}

// domain returns a queue for a new domain.
func (b *bench) domain(name string) *tasking.Queue {
	b.t.Helper()
	d := &models.Domain{Name: name, Labels: models.Labels{}}
	d.ID, d.Created, d.Updated = models.NewID(), models.Now(), models.Now()
	err := b.db.Tx(b.t.Context(), func(ctx context.Context, tx *models.Tx) error {
		_, err := tx.Bun().NewInsert().Model(d).Exec(b.t.Context())
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	db, err := b.db.InDomain(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.q.In(db)
}

func TestScheduleRefusesBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), "")
	for name, s := range map[string]*schedule.Options{
		"no name":   {},
		"long name": {Name: strings.Repeat("x", 256)},
		"NUL":       {Name: "a\x00"},
		"negative":  {Name: "s", Every: -time.Hour},
		"short":     {Name: "s", Every: time.Millisecond},
		"far":       {Name: "s", Next: time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC)},
		"resource":  {Name: "s", Shared: tasking.Named("shared:x")},
	} {
		if _, err := schedule.Set(t.Context(), b.q, b.block, blockArgs{}, s); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("%s: Schedule() = %v, want Invalid", name, err)
		}
	}
	if n := b.dispatchDue(); n != 0 {
		t.Errorf("DispatchDue() = %d, want 0", n)
	}
}

func TestScheduleInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		no := errors.New("no")
		err := b.db.Tx(t.Context(), func(ctx context.Context, tx *models.Tx) error {
			_, err := schedule.Set(t.Context(), b.q.In(tx.DB), b.block, blockArgs{}, &schedule.Options{Name: "s"})
			return errors.Join(err, no)
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if _, err := schedule.Get(t.Context(), b.q.DB(), "s"); !errors.Is(err, pulperr.NotFound) {
			t.Errorf("Schedule(rolled back) = %v, want NotFound", err)
		}
	})
}

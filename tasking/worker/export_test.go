package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/event"
	"github.com/pulpgo/pulpcore/tasking/inspect"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// Claim claims a task as a worker would and returns nil if it cannot be claimed.
func Claim(ctx context.Context, q *tasking.Queue, id uuid.UUID) (*Claimed, error) {
	var found map[uuid.UUID]*taskdb.Claimed
	err := taskdb.Write(ctx, q.DB(), func(c taskdb.Conn) (err error) {
		found, err = taskdb.Claim(ctx, c, []uuid.UUID{id}, uuid.New(), uuid.New())
		return err
	})
	if found[id] == nil {
		return nil, err
	}
	return &Claimed{*found[id]}, err
}

// Claimed is a claimed task.
type Claimed struct{ taskdb.Claimed }

// Finish ends a claimed task.
func (c *Claimed) Finish(ctx context.Context, q *tasking.Queue) (models.TaskState, error) {
	return NewEnder(q).end(ctx, c)
}

// Observer is the part of a worker that looks for dead ones.
type Observer struct {
	w   *Worker
	p   *parts
	end func()
}

// NewObserver returns an Observer. The caller closes it.
func NewObserver(ctx context.Context, w *Worker) (*Observer, error) {
	p, end, err := w.begin(ctx)
	return &Observer{w, p, end}, err
}

// Look looks once, waits until the tasks of the dead have ended and returns when to look again.
func (o *Observer) Look(ctx context.Context) (time.Duration, error) {
	defer o.p.reaper.recoverer.wait()
	return o.p.reaper.poll(ctx)
}

// ClaimLate claims a task for the worker by a statement that gets no answer and is carried out after the worker has
// asked what became of it.
func (o *Observer) ClaimLate(ctx context.Context, id uuid.UUID) error {
	token, lost := uuid.New(), errors.New("no answer")
	o.p.claims.batches.Write = func(_ context.Context, ids []uuid.UUID) ([]claimResult, error) {
		return []claimResult{{err: lost, id: token}}, nil
	}
	if c, err := o.p.claims.claim(id); c != nil || !errors.Is(err, lost) {
		return fmt.Errorf("claim = %v, %w", c, err)
	}
	return taskdb.Write(ctx, o.w.q.DB, func(c taskdb.Conn) error {
		_, err := taskdb.Claim(ctx, c, []uuid.UUID{id}, o.p.session.workerID(), token)
		return err
	})
}

// Close ends the worker's session.
func (o *Observer) Close() {
	o.w.q.Immediates.Remove(o.p.immediate)
	o.end()
}

// SetUnattendedTimeout sets how long the database may show a task as the worker's that it does not execute.
func SetUnattendedTimeout(w *Worker, d time.Duration) { w.unattended = d }

// FenceAll is the fence of a transaction in which several tasks take part.
func FenceAll(ctx context.Context, db *models.DB, scopes []*models.TaskScope) error {
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		return engine.AsFenced(taskdb.FenceAll(ctx, taskdb.On(tx.DB), scopes))
	})
}

// SetFault makes fn be called at the points between two steps at which a process may die.
func SetFault(q *tasking.Queue, fn func(point string)) { q.Core().SetFailpoint(fn) }

// Announce sends one more message about a task, as if Redis had doubled or made up one.
func Announce(ctx context.Context, q *tasking.Queue, id uuid.UUID, gen int) error {
	if q.Core().Retainer == nil { // consumers have no messages there
		return nil
	}
	_, err := q.Core().Retainer.Offer(ctx, taskdb.ReadyTask{ID: id, Queue: engine.DefaultQueue, Gen: gen})
	return err
}

// Redis returns the queue's connection.
func Redis(q *tasking.Queue) redis.UniversalClient {
	c, err := inspect.Redis(q)
	if err != nil {
		panic(err)
	}
	return c
}

// RedisName returns the name of the default queue within Redis.
func RedisName(q *tasking.Queue) string { return inspect.RedisQueues(q)[0] }

// Deliver announces tasks that are ready as generation gen.
func Deliver(ctx context.Context, q *tasking.Queue, gen int, ids ...uuid.UUID) {
	list := make([]taskdb.ReadyTask, len(ids))
	for i, id := range ids {
		list[i] = taskdb.ReadyTask{ID: id, Queue: engine.DefaultQueue, Gen: gen}
	}
	q.Core().Deliver(ctx, list...)
}

// IsDown reports whether dispatches leave Redis alone because it failed.
func IsDown(q *tasking.Queue) bool {
	_, err := q.Core().Transport.Announce(context.Background(), nil)
	return errors.Is(err, transport.ErrDown)
}

// SetBacklog makes the queue believe that so many tasks were ready when somebody counted.
func SetBacklog(q *tasking.Queue, n int64) { q.Core().Backlog.Store(n) }

// Grace returns after what time a task counts as lost on its way.
func Grace(q *tasking.Queue) time.Duration { return q.Core().Backlog.RedeliveryDelay() }

// relayOf returns the relay of a worker.
func relayOf(w *Worker) *relay { return w.parts().maintainer.relay }

// Relay delivers what is due.
func Relay(ctx context.Context, w *Worker) error { return relayOf(w).runAll(ctx) }

// ReadUnattended reads a page of each queue as workers with free slots do.
func ReadUnattended(ctx context.Context, w *Worker) error {
	for _, queue := range engine.Queues() {
		_, err := taskdb.ReadUnattended(ctx, taskdb.On(w.q.DB), queue, 0, unattendedAge, unattendedPage)
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadReady reads a page of each queue as workers do that poll the database.
func ReadReady(ctx context.Context, w *Worker) error {
	for _, queue := range engine.Queues() {
		if _, err := taskdb.ReadReady(ctx, taskdb.On(w.q.DB), queue, 0, 100); err != nil {
			return err
		}
	}
	return nil
}

// ReadAgenda reads what the maintenance has to look at.
func ReadAgenda(ctx context.Context, q *tasking.Queue) error {
	_, err := taskdb.ReadAgenda(ctx, taskdb.On(q.DB()))
	return err
}

// RelayDue delivers what is due, and nothing else.
func RelayDue(ctx context.Context, w *Worker) error { return relayOf(w).announceDue(ctx) }

// RedeliverAll makes workers deliver every ready task again.
func RedeliverAll(ctx context.Context, q *tasking.Queue) error {
	return taskdb.Tx(ctx, q.DB(), func(ctx context.Context, tx *models.Tx) error {
		return redeliverAll(ctx, taskdb.On(tx.DB))
	})
}

// RedeliverPage makes the next ready tasks due and reports whether there may be more.
func RedeliverPage(ctx context.Context, w *Worker) (more bool, err error) {
	return (&relay{q: w.q}).makePageDue(ctx)
}

// CheckEpoch finds out whether Redis has lost its data.
func CheckEpoch(ctx context.Context, w *Worker) error {
	known, err := taskdb.Meta(ctx, taskdb.On(w.q.DB), taskdb.Epoch, false)
	if err != nil {
		return err
	}
	_, err = relayOf(w).checkToken(ctx, known)
	return err
}

// Sweep repairs what should never be.
func Sweep(ctx context.Context, w *Worker) error {
	return (&sweeper{q: w.q, log: w.opts.Log}).sweep(ctx)
}

var piled = tasking.Define[struct{}]("test.piled")

// Pile stores n waiting tasks behind one that seems to run, all on one resource.
func Pile(ctx context.Context, q *tasking.Queue, n int, resource string) error {
	const page = 1000
	worker, claim := uuid.New(), uuid.New()
	for at := 0; at <= n; at += page {
		rows := make([]*taskdb.NewTask, 0, page)
		for i := range min(page, n+1-at) {
			s, err := piled.Spec(ctx, q, struct{}{}, &tasking.DispatchOptions{Exclusive: tasking.Named(resource)})
			if err != nil {
				return err
			}
			if at+i == 0 {
				s.Row.Worker, s.Row.Claim = &worker, &claim
			}
			rows = append(rows, &s.Row)
		}
		err := taskdb.Tx(ctx, q.DB(), func(ctx context.Context, tx *models.Tx) error {
			if err := taskdb.LockResources(ctx, taskdb.On(tx.DB), rows[0].Reservations, 0); err != nil {
				return err
			}
			_, err := taskdb.InsertTasks(ctx, taskdb.On(tx.DB), rows)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// CompareVersions compares versions.
func CompareVersions(a, b string) int { return engine.CompareVersions(a, b) }

// RemoveAll removes a tree as the end of a task does.
func RemoveAll(path string) error { return attempt.RemoveAll(path) }

// Prefix returns the prefix of the queue's names in Redis.
func Prefix(q *tasking.Queue) string {
	prefix, _, _ := strings.Cut(RedisName(q), ".")
	return prefix
}

// Emit says that a task has a state.
func Emit(q *tasking.Queue, t *models.Task, state models.TaskState) {
	q.Core().Emit(event.OfTask(t, state))
}

// EventsOf returns how many events a message has.
func EventsOf(t testing.TB, payload string) int {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(payload), &parts); err != nil {
		t.Fatal(err)
	}
	return len(parts) - 1
}

// Maintainer returns the id of the worker that has the lease of the maintenance, or "".
func Maintainer(ctx context.Context, q *tasking.Queue) (string, error) {
	a, err := taskdb.ReadAgenda(ctx, taskdb.On(q.DB()))
	return a.Holder, err
}

// SetMaintainer gives the lease of the maintenance to a worker.
func SetMaintainer(ctx context.Context, q *tasking.Queue, worker uuid.UUID) error {
	return taskdb.SetMeta(ctx, taskdb.On(q.DB()), taskdb.Maintenance, worker.String())
}

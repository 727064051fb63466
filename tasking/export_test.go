package tasking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Claim claims a task as a worker would and returns nil if it cannot be claimed.
func Claim(ctx context.Context, q *Queue, id uuid.UUID) (*Claimed, error) {
	var found map[uuid.UUID]*claimed
	err := q.write(ctx, func(idb bun.IDB) (err error) {
		found, err = q.claim(ctx, idb, []uuid.UUID{id}, uuid.New(), uuid.New())
		return err
	})
	return (*Claimed)(found[id]), err
}

// Claimed is a claimed task.
type Claimed claimed

// Finish ends a claimed task.
func (c *Claimed) Finish(ctx context.Context, q *Queue) (models.TaskState, error) {
	w, err := NewWorker(q, nil)
	if err != nil {
		return "", err
	}
	done, err := w.end(ctx, &finishing{task: (*claimed)(c), end: ending{state: models.Completed}})
	return done.state, err
}

// Observer is the part of a worker that looks for dead ones.
type Observer struct {
	w *Worker
	l *life
}

// NewObserver returns an Observer. The caller closes it.
func NewObserver(ctx context.Context, w *Worker) (*Observer, error) {
	l, err := w.begins(ctx, true)
	return &Observer{w, l}, err
}

// Look looks once, waits until the tasks of the dead have ended and returns when to look again.
func (o *Observer) Look(ctx context.Context) (time.Duration, error) {
	defer o.l.burials.all.Wait()
	return o.w.look(ctx, o.l)
}

// ClaimLate claims a task for the worker by a statement that gets no answer and is carried out after the worker has asked
// what became of it.
func (o *Observer) ClaimLate(ctx context.Context, id uuid.UUID) error {
	token, lost := uuid.New(), errors.New("no answer")
	o.w.claims.write = func(_ context.Context, ids []uuid.UUID) ([]claimOutcome, error) {
		return []claimOutcome{{err: lost, id: token}}, nil
	}
	if c, err := o.w.claim(o.l, id); c != nil || !errors.Is(err, lost) {
		return fmt.Errorf("claim = %v, %w", c, err)
	}
	return o.w.q.write(ctx, func(idb bun.IDB) error {
		_, err := o.w.q.claim(ctx, idb, []uuid.UUID{id}, o.w.id(), token)
		return err
	})
}

// Close ends the worker's life.
func (o *Observer) Close() { o.w.ends(o.l) }

// SetPatience says how long the database may show a task as the worker's that it does not execute.
func SetPatience(w *Worker, d time.Duration) { w.patience = d }

// FenceAll is the fence of a transaction in which several tasks take part.
func FenceAll(ctx context.Context, db *models.DB, scopes []*models.TaskScope) error {
	return db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error { return fenceAll(ctx, tx, scopes) })
}

// SetFault makes fn be called at the points between two steps at which a process may die.
func SetFault(q *Queue, fn func(point string)) { q.fault = fn }

// Announce sends one more message about a task, as if Redis had doubled or made up one.
func Announce(ctx context.Context, q *Queue, id uuid.UUID, gen int) error {
	_, err := q.delivery.offer(ctx, taskdb.ReadyTask{ID: id, Queue: defaultQueue, Gen: gen})
	return err
}

// Redis returns the queue's connection.
func Redis(q *Queue) redis.UniversalClient {
	c, err := q.delivery.redis()
	if err != nil {
		panic(err)
	}
	return c
}

// RedisName returns the name of the default queue within Redis.
func RedisName(q *Queue) string { return q.queueName(defaultQueue) }

// Deliver announces tasks that are ready as generation gen.
func Deliver(ctx context.Context, q *Queue, gen int, ids ...uuid.UUID) {
	list := make([]taskdb.ReadyTask, len(ids))
	for i, id := range ids {
		list[i] = taskdb.ReadyTask{ID: id, Queue: defaultQueue, Gen: gen}
	}
	q.deliver(ctx, list...)
}

// Spared reports whether dispatches leave Redis alone because it failed.
func Spared(q *Queue) bool { return q.delivery.spared() }

// SetBacklog makes the queue believe that so many tasks were ready when somebody counted.
func SetBacklog(q *Queue, n int64) { q.backlog.Store(n) }

// Grace returns after what time a task counts as lost on its way.
func Grace(q *Queue) time.Duration { return q.grace() }

// Relay delivers what is due.
func Relay(ctx context.Context, w *Worker) error { return w.relayAll(ctx) }

// ReadLeftOver reads a page of each queue as workers with free slots do.
func ReadLeftOver(ctx context.Context, w *Worker) error {
	_, err := w.readLeftOver(ctx, defaultQueue)
	_, immediateErr := w.readLeftOver(ctx, immediateQueue)
	return errors.Join(err, immediateErr)
}

// ReadReady reads a page of each queue as workers do that poll the database.
func ReadReady(ctx context.Context, w *Worker) error {
	_, err := w.readReady(ctx, defaultQueue, 0)
	_, immediateErr := w.readReady(ctx, immediateQueue, 0)
	return errors.Join(err, immediateErr)
}

// RelayDue delivers what is due, and nothing else.
func RelayDue(ctx context.Context, w *Worker) error { return w.relay(ctx) }

// RedeliverAll makes workers deliver every ready task again.
func RedeliverAll(ctx context.Context, q *Queue) error {
	return taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error { return q.redeliverAll(ctx, tx.Bun()) })
}

// RedeliverPage makes the next ready tasks due and reports whether there may be more.
func RedeliverPage(ctx context.Context, w *Worker) (more bool, err error) {
	return w.redeliverPage(ctx)
}

// CheckEpoch finds out whether Redis has lost its data.
func CheckEpoch(ctx context.Context, w *Worker) error { return w.checkEpoch(ctx) }

// Sweep repairs what should never be.
func Sweep(ctx context.Context, w *Worker) error { return w.sweep(ctx) }

// MatchDequeues calls fn for each request of asynq that the long poll recognises.
func MatchDequeues(client redis.UniversalClient, fn func()) {
	h := newLongPoll()
	h.matched = fn
	h.close()
	client.AddHook(h)
}

// NewClient makes another connection.
func NewClient(q *Queue) redis.UniversalClient { return q.newClient() }

// Pile stores n waiting tasks behind one that seems to run, all on one resource.
func Pile(ctx context.Context, q *Queue, n int, resource string) error {
	const page = 1000
	worker, claim := uuid.New(), uuid.New()
	for at := 0; at <= n; at += page {
		rows := make([]*taskdb.NewTask, 0, page)
		for i := range min(page, n+1-at) {
			s, err := q.newSpec(ctx, "test.piled", []byte("{}"), Resources{Exclusive: Named(resource)}, &Options{})
			if err != nil {
				return err
			}
			if at+i == 0 {
				s.row.Worker, s.row.Claim = &worker, &claim
			}
			rows = append(rows, &s.row)
		}
		err := taskdb.Tx(ctx, q.db, func(ctx context.Context, tx *models.Tx) error {
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
func CompareVersions(a, b string) int { return compareVersions(a, b) }

// RemoveAll removes a tree as the end of a task does.
func RemoveAll(path string) error { return removeAll(path) }

// Prefix returns the prefix of the queue's names in Redis.
func Prefix(q *Queue) string { return q.prefix }

// EventBuffer is how many events a slow reader may be behind.
const EventBuffer = eventBuffer

// Emit says that a task has a state.
func Emit(q *Queue, t *models.Task, state models.TaskState) { q.emit(taskEvent(t, state)) }

// EventsOf returns how many events a message has.
func EventsOf(t testing.TB, payload string) int {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(payload), &parts); err != nil {
		t.Fatal(err)
	}
	return len(parts) - 1
}

// UnobservedAllocs returns how many allocations per task the calls make with which a queue without providers is
// observed.
func UnobservedAllocs(ctx context.Context) float64 {
	var t *telemetry
	s, c, e, task := &spec{}, &claimed{}, &Env{}, &models.Task{}
	store := func(context.Context) (*Ticket, error) { return nil, nil }
	return testing.AllocsPerRun(100, func() {
		_, _ = t.dispatch(ctx, s, store)
		t.dispatched(ctx, s, taskdb.InsertedTask{})
		t.batch(ctx, batchClaim, 1)
		t.duplicate(ctx)
		t.ended(t.starting(ctx, c), e, outcome(models.Completed), nil)
		t.canceled(ctx, task)
	})
}

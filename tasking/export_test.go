package tasking

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Claim claims a task as a worker would and returns nil if it cannot be claimed.
func Claim(ctx context.Context, q *Queue, id uuid.UUID) (*Claimed, error) {
	c, err := q.claim(ctx, id, uuid.New(), uuid.New())
	return (*Claimed)(c), err
}

// Claimed is a claimed task.
type Claimed claimed

// Finish ends a claimed task.
func (c *Claimed) Finish(ctx context.Context, q *Queue) (models.TaskState, error) {
	return q.finish(ctx, (*claimed)(c), ending{state: models.Completed})
}

// Announce sends one more message about a task, as if Redis had doubled or made up one.
func Announce(ctx context.Context, q *Queue, id uuid.UUID, gen int) error {
	_, err := q.delivery.offer(ctx, sqldialect.ReadyTask{ID: id, Queue: defaultQueue, Gen: gen})
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

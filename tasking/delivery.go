package tasking

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// delivery tells workers, by way of asynq, which tasks they may try to claim. A message is a hint and no more: one that
// gets lost is sent again by the relay, one that arrives twice or late finds nothing to claim.
type delivery struct {
	core *core

	mu       sync.Mutex
	client   redis.UniversalClient // nil until first used
	producer *asynq.Client         // on client
	closed   bool

	wakes      atomic.Int64 // calls of wake that nobody has published yet
	downSince  atomic.Int64 // unix nanoseconds of the first failure since Redis last answered; 0 is fine
	lastFailed atomic.Int64 // unix nanoseconds of the latest one
}

// messageType is the only type of asynq messages there is.
const messageType = "task"

const (
	// enqueueBudget is how long a dispatch or the end of a task waits for Redis before it leaves the delivery to the
	// relay, and how long a hint may take.
	enqueueBudget = 200 * time.Millisecond
	// enqueueInline is how many tasks a finished one delivers itself; more are left to the relay.
	enqueueInline = 200
	// redisRetry is how long dispatches leave a Redis alone that did not answer.
	redisRetry = time.Second
	// noTimeout keeps asynq from ending a task: it would give up the message and leave the function running.
	noTimeout = 10 * 365 * 24 * time.Hour
	// neverArchive keeps asynq from giving up a message that was put back often.
	neverArchive = 1 << 20
)

var errClosed = errors.New("the queue is closed")

func newDelivery(c *core) *delivery { return &delivery{core: c} }

// redis returns the shared client.
func (d *delivery) redis() (redis.UniversalClient, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	d.connect()
	return d.client, nil
}

func (d *delivery) connect() {
	if d.client == nil {
		d.client = d.core.newClient()
		pipelineScripts(d.client)
	}
	if d.producer == nil {
		d.producer = asynq.NewClientFromRedisClient(d.client)
	}
}

// reset makes a new producer: asynq's remembers which queues Redis knows, also those that a flush removed.
func (d *delivery) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.producer = nil
}

// offer hands a task to asynq and reports false if asynq has it already.
func (d *delivery) offer(ctx context.Context, t taskdb.ReadyTask) (bool, error) {
	fresh, err := d.send(ctx, t)
	if err != nil {
		d.failed()
		return false, err
	}
	d.answered()
	return fresh, nil
}

// send is offer without a note of whether Redis answers.
func (d *delivery) send(ctx context.Context, t taskdb.ReadyTask) (bool, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return false, errClosed
	}
	d.connect()
	producer := d.producer
	d.mu.Unlock()
	_, err := producer.EnqueueContext(ctx, asynq.NewTask(messageType, payloadOf(t)), asynq.TaskID(messageID(t)),
		asynq.Queue(d.core.queueName(t.Queue)), asynq.MaxRetry(neverArchive), asynq.Timeout(noTimeout))
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("tasking: enqueue: %w", err)
	}
	return true, nil
}

func (d *delivery) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.client == nil {
		return nil
	}
	client := d.client
	d.client = nil
	return client.Close()
}

// queueName is the name of a queue within Redis.
func (c *core) queueName(queue string) string { return c.prefix + "." + queue }

func (c *core) channel(what string) string { return c.prefix + ":" + what }

// deliver announces tasks that became ready and wakes the workers. It never fails: what Redis does not take, the relay
// delivers later.
func (q *Queue) deliver(ctx context.Context, tasks ...taskdb.ReadyTask) {
	if len(tasks) == 0 {
		return
	}
	if q.embedded != nil && !q.consuming() {
		return // nobody reads the Redis of this process; a worker starts by looking into the database
	}
	if q.delivery.spared() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	n, err := q.delivery.enqueue(ctx, tasks[:min(len(tasks), enqueueInline)])
	if err != nil {
		q.log.WarnContext(ctx, "tasks are delivered later", "tasks", len(tasks)-n, "err", err)
	}
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, enqueueBudget) // a new one: the tasks may have used up the first
	defer cancel()
	if rest := tasks[n:]; len(rest) > 0 {
		if err := q.deliverSoon(ctx, rest); err != nil {
			q.log.WarnContext(ctx, "tasks are delivered later", "tasks", len(rest), "err", err)
		}
	}
	q.wake(ctx)
}

// wake tells all workers that there is something to claim. Of many calls at the same time, one publishes for all.
func (q *Queue) wake(ctx context.Context) {
	q.events.wake()
	if q.delivery.wakes.Add(1) > 1 {
		return // the one that publishes does it once more
	}
	for {
		n := q.delivery.wakes.Load()
		q.publish(ctx, "wake", "")
		if q.delivery.wakes.CompareAndSwap(n, 0) {
			return
		}
	}
}

// enqueue hands tasks to asynq and returns how many it did within its budget, of which the end is no error. One that
// asynq has already counts as delivered. A Redis that took some and then ran out of time is slow, but not away.
func (d *delivery) enqueue(ctx context.Context, tasks []taskdb.ReadyTask) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, enqueueBudget)
	defer cancel()
	for i, t := range tasks {
		_, err := d.send(ctx, t)
		switch {
		case err == nil:
			d.answered()
		case i > 0 && ctx.Err() != nil:
			return i, nil
		default:
			d.failed()
			return i, err
		}
	}
	return len(tasks), nil
}

func messageID(t taskdb.ReadyTask) string { return t.ID.String() + "." + strconv.Itoa(t.Gen) }

// publish sends a hint to all other processes, unless Redis failed just now. A Redis within this process has none.
func (q *Queue) publish(ctx context.Context, what, payload string) {
	if q.embedded != nil || q.delivery.spared() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enqueueBudget)
	defer cancel()
	client, err := q.delivery.redis()
	if err == nil {
		err = client.Publish(ctx, q.channel(what), payload).Err()
	}
	if err != nil {
		q.log.DebugContext(ctx, "redis did not take a hint", "hint", what, "err", err)
	}
}

func (d *delivery) failed() {
	now := time.Now().UnixNano()
	d.lastFailed.Store(now)
	d.downSince.CompareAndSwap(0, now)
}

func (d *delivery) answered() { d.downSince.Store(0) }

// spared reports whether Redis failed so recently that a dispatch need not find out again.
func (d *delivery) spared() bool {
	return d.downSince.Load() != 0 && time.Since(time.Unix(0, d.lastFailed.Load())) < redisRetry
}

// down returns how long Redis has not answered.
func (d *delivery) down() time.Duration {
	since := d.downSince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// consuming reports whether a worker of this process takes tasks from the queue.
func (c *core) consuming() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.consumer > 0
}

// payloadOf is what asynq carries: the task's id and, behind it, the versions of plugins that it needs, if any.
func payloadOf(t taskdb.ReadyTask) []byte {
	payload := t.ID[:]
	if t.Versions != nil {
		payload = append(payload[:len(payload):len(payload)], *t.Versions...)
	}
	return payload
}

// parseMessage is the reverse of payloadOf. What it says of versions is a hint like everything in Redis.
func parseMessage(payload []byte) (id uuid.UUID, versions *string, err error) {
	n := min(len(payload), len(id))
	id, err = uuid.FromBytes(payload[:n])
	if len(payload) > n {
		versions = new(string(payload[n:]))
	}
	return id, versions, err
}

// asynqLog passes asynq's words on.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLog) Fatal(args ...any) { l.log.Error("asynq", "text", fmt.Sprint(args...)) }

var _ asynq.Logger = asynqLog{}

func hasSuffixes(a []any, suffixes ...string) bool {
	for i, s := range suffixes {
		key, ok := a[i].(string)
		if !ok || !strings.HasSuffix(key, s) {
			return false
		}
	}
	return true
}

// listen passes on what other processes publish.
func (w *Worker) listen(ctx context.Context, _ *life) {
	client, err := w.q.delivery.redis()
	if err != nil || w.q.embedded != nil {
		return
	}
	wake, cancel := w.q.channel("wake"), w.q.channel("cancel")
	sub := client.Subscribe(ctx, wake, cancel)
	defer sub.Close()
	messages := sub.Channel()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			id, _ := uuid.Parse(m.Payload)
			switch m.Channel {
			case wake:
				w.q.events.wake()
			case cancel:
				w.q.events.cancel(id)
			}
		case <-ctx.Done():
			return
		}
	}
}

package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// relay announces ready tasks again that were not claimed in time: because a process died between its commit and the
// announcement, because Redis was away, or because it lost its data.
type relay struct {
	q     *engine.Core
	redis transport.Retainer
	// takeTime is after what time a worker that took a message and did not claim the task counts as dead. If it was only
	// slow, the task has two messages, which does no harm.
	takeTime time.Duration
	log      *slog.Logger
	counted  time.Time // when the ready tasks were counted last
}

const (
	relayBatch    = 500
	relayLease    = 5 * time.Second  // how long a relay has for its batch before another one may take it
	relayVerify   = time.Minute      // how long an announced task may wait before its message is verified
	relayRate     = 200              // verified messages a second at most, with a deep backlog
	countInterval = 10 * time.Second // between two counts of the ready tasks
	// redeliveryPage is how many ready tasks become due in one transaction after Redis lost its data.
	redeliveryPage = 1000
)

// start warns of a Redis that evicts data when its memory is full. Tasks survive that, slowly.
func (r *relay) start(ctx context.Context) {
	t, ok := r.redis.(interface {
		EvictionPolicy(ctx context.Context) string
	})
	if !ok {
		return
	}
	if p := t.EvictionPolicy(ctx); p != "" && p != "noeviction" {
		r.log.WarnContext(ctx, "redis may evict messages; set maxmemory-policy to noeviction", "maxmemory_policy", p)
	}
}

// run announces the tasks that are due, if the agenda has any or Redis has lost its data.
func (r *relay) run(ctx context.Context, agenda taskdb.Agenda) error {
	// Each time: a Redis that was restarted without its data answers like before, and only the missing token shows the
	// loss.
	lost, err := r.checkToken(ctx, agenda.Epoch)
	if err != nil {
		return err
	}
	if agenda.Redelivery == "" && !lost && !agenda.DueTasks {
		// The backlog is only counted while tasks are due. After a peak the old count would stay, and lost messages would be
		// repeated after up to a minute instead of 2 s.
		r.q.Backlog.Halve()
		return nil
	}
	return r.runAll(ctx)
}

// runAll announces everything that is due.
func (r *relay) runAll(ctx context.Context) error {
	for {
		// Page by page: one statement for all ready tasks kept their rows locked, and every claim waiting, for minutes.
		more, err := r.makePageDue(ctx)
		if err == nil {
			err = r.announceDue(ctx)
		}
		if err != nil || !more {
			return err
		}
	}
}

// announceDue announces due tasks, batch by batch.
func (r *relay) announceDue(ctx context.Context) error {
	for first := true; ; first = false {
		batch, err := r.leaseDue(ctx)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			if first {
				r.q.Backlog.Halve()
			}
			return nil
		}
		// Outside of a transaction, so that no row is locked while Redis answers. If this process dies here, the lease on the
		// batch ends and another relay announces it (F13).
		taken, err := r.announce(ctx, batch)
		if err != nil {
			return err
		}
		if err := r.postpone(ctx, batch, taken); err != nil {
			return err
		}
		// After the messages are in Redis: a consumer that is woken earlier finds none and waits 250 ms for its next poll.
		r.redis.Wake(ctx)
		if len(batch) < relayBatch {
			return nil
		}
	}
}

// leaseDue returns tasks to announce and keeps other relays away from them for a while.
func (r *relay) leaseDue(ctx context.Context) (batch []taskdb.DueTask, err error) {
	// A read first: nearly always no task is due, and the transaction below needs the only writer of SQLite.
	due, err := taskdb.AnyDue(ctx, taskdb.On(r.q.DB))
	if err != nil || !due {
		return nil, taskdb.Wrap(err, "look for tasks that are not announced")
	}
	err = taskdb.Tx(ctx, r.q.DB, func(ctx context.Context, tx *models.Tx) (err error) {
		batch, err = taskdb.LeaseDue(ctx, taskdb.On(tx.DB), relayLease, r.takeTime, relayBatch)
		return err
	})
	return batch, taskdb.Wrap(err, "take tasks that are not announced")
}

// announce hands a batch to asynq. A message that asynq has and that no worker will get gets a successor. It returns
// the tasks whose message a worker has taken: the worker may claim them any moment, or may have died.
func (r *relay) announce(ctx context.Context, batch []taskdb.DueTask) (taken map[uuid.UUID]bool, err error) {
	taken = map[uuid.UUID]bool{}
	for i, t := range batch {
		fresh, err := r.redis.Offer(ctx, t.ReadyTask)
		if err != nil {
			return nil, err
		}
		if fresh {
			r.q.Telemetry.Relayed(ctx, engine.RelayMissing)
			continue
		}
		state := r.redis.State(t.ReadyTask)
		if state == transport.Queued {
			continue
		}
		// The worker that took the message may claim the task any moment. After takeTime it counts as dead, and the message
		// as lost (F16).
		if state == transport.Taken && !t.Stale {
			taken[t.ID] = true
			continue
		}
		// asynq refuses a message whose id it has had, so the successor needs a new generation. A task that was claimed
		// meanwhile keeps its generation and needs no message.
		renewed, err := taskdb.RenewGeneration(ctx, r.q.DB, t.ReadyTask)
		if err != nil {
			return nil, taskdb.Wrap(err, "renew the message of task %s", t.ID)
		}
		if !renewed {
			continue
		}
		// postpone leaves out tasks whose generation is not the one in the batch.
		batch[i].Gen++
		r.q.Telemetry.Relayed(ctx, engine.RelayReplaced)
		r.log.WarnContext(ctx, "message of a task was lost by redis", "task_id", t.ID, "generation", batch[i].Gen)
		if _, err := r.redis.Offer(ctx, batch[i].ReadyTask); err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// postpone sets when the messages of a batch are verified: later, the longer the backlog is, but soon where a worker
// has taken the message.
func (r *relay) postpone(ctx context.Context, batch []taskdb.DueTask, taken map[uuid.UUID]bool) error {
	backlog, err := r.countReady(ctx)
	if err != nil {
		return err
	}
	// With a deep backlog messages wait long without being lost. The later verification bounds its load on Redis and the
	// database.
	verify := max(relayVerify, time.Duration(backlog/relayRate)*time.Second)
	var safe, soon []taskdb.DueTask
	for _, t := range batch {
		if taken[t.ID] {
			soon = append(soon, t)
		} else {
			safe = append(safe, t)
		}
	}
	return errors.Join(r.postponeSome(ctx, safe, verify), r.postponeSome(ctx, soon, r.takeTime))
}

func (r *relay) postponeSome(ctx context.Context, list []taskdb.DueTask, after time.Duration) error {
	if len(list) == 0 {
		return nil
	}
	err := taskdb.Tx(ctx, r.q.DB, func(ctx context.Context, tx *models.Tx) error {
		return taskdb.Postpone(ctx, taskdb.On(tx.DB), list, after)
	})
	return taskdb.Wrap(err, "postpone the verification of messages")
}

// countReady returns how many tasks are ready. It counts every 10 s at most.
func (r *relay) countReady(ctx context.Context) (int64, error) {
	// A count reads all ready tasks, and after a loss of data one batch follows the other.
	if time.Since(r.counted) < countInterval {
		return r.q.Backlog.Load(), nil
	}
	n, err := taskdb.CountReady(ctx, taskdb.On(r.q.DB))
	if err != nil {
		return 0, taskdb.Wrap(err, "count ready tasks")
	}
	r.counted = time.Now()
	r.q.Backlog.Store(n)
	return n, nil
}

// checkToken reports whether Redis has lost its data. Redis and the database have the same random token. If it is gone
// from Redis, all messages are gone too, and all ready tasks are announced again.
func (r *relay) checkToken(ctx context.Context, known string) (lost bool, err error) {
	token, err := r.redis.Token(ctx)
	if err != nil || token != "" && token == known {
		return false, err
	}
	return r.newToken(ctx, token)
}

// newToken gives a Redis that is new or lost its data a token, and has all ready tasks announced again.
func (r *relay) newToken(ctx context.Context, token string) (changed bool, err error) {
	// Redis gets the token first, before the transaction: that keeps all ready rows locked, and on SQLite every writer
	// waiting, and must not wait for Redis. After a crash at this point the two tokens differ, and the next check goes on
	// here.
	if token == "" {
		if token, err = r.redis.SetToken(ctx, strings.ToLower(rand.Text())); err != nil {
			return false, err
		}
	}
	err = taskdb.Tx(ctx, r.q.DB, func(ctx context.Context, tx *models.Tx) error {
		c := taskdb.On(tx.DB)
		// Compared again under a lock: of several processes that notice the loss, one announces the tasks.
		known, err := taskdb.Meta(ctx, c, taskdb.Epoch, true)
		if changed = err == nil && known != token; !changed {
			return err // another process was faster
		}
		if err := taskdb.SetMeta(ctx, c, taskdb.Epoch, token); err != nil {
			return err
		}
		return redeliverAll(ctx, c)
	})
	if err != nil || !changed {
		return false, err
	}
	r.q.Telemetry.RedisLost(ctx)
	r.log.WarnContext(ctx, "redis is new or lost its data; all ready tasks are announced again")
	return true, nil
}

// redeliverAll has every ready task announced again, page by page. The database knows how far that is, so any process
// can go on.
func redeliverAll(ctx context.Context, c taskdb.Conn) error {
	return taskdb.SetMeta(ctx, c, taskdb.Redelivery, taskdb.Place{}.String())
}

// makePageDue makes the next page of ready tasks due and reports whether there may be more. If another process does so
// there are none.
func (r *relay) makePageDue(ctx context.Context) (more bool, err error) {
	// Without a lock first, because nearly always no redelivery is going on.
	text, err := taskdb.Meta(ctx, taskdb.On(r.q.DB), taskdb.Redelivery, false)
	if err != nil || text == "" {
		return false, err
	}
	err = taskdb.Tx(ctx, r.q.DB, func(ctx context.Context, tx *models.Tx) error {
		c := taskdb.On(tx.DB)
		// Another process that holds the lock makes this page due, so there is no reason to wait for it.
		at, locked, err := taskdb.TryMeta(ctx, c, taskdb.Redelivery)
		if more = err == nil && locked && at != ""; !more {
			return err
		}
		place, err := taskdb.ParsePlace(at)
		if err != nil {
			return err
		}
		last, err := taskdb.MakePageDue(ctx, c, place, redeliveryPage)
		if err != nil {
			return err
		}
		if more = last != nil; !more {
			return taskdb.SetMeta(ctx, c, taskdb.Redelivery, "")
		}
		return taskdb.SetMeta(ctx, c, taskdb.Redelivery, last.String())
	})
	return more && err == nil, taskdb.Wrap(err, "announce ready tasks again")
}

package tasking

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
	"github.com/pulpgo/pulpcore/tasking/internal/transport"
)

// grace is how long after a grant a task counts as lost on its way: longer, the more tasks are on their way, because a
// worker that is busy takes them later.
func (c *core) grace() time.Duration {
	return min(taskdb.DeliveryGrace+time.Duration(c.backlog.Load())*time.Millisecond, relayVerify)
}

const (
	relayInterval = time.Second
	relayBatch    = 500
	relayLease    = 5 * time.Second // how long one relay has for its batch before another may take it
	relayVerify   = time.Minute     // how long a delivered task may wait before it is looked at again
	relayRate     = 200             // looks a second at most, with a deep backlog
	sweepInterval = 30 * time.Second
	countInterval = 10 * time.Second // between two counts of the backlog
)

// keepRelaying delivers tasks that are ready and were not claimed in time: because a process died between its commit
// and the delivery, because Redis was away, or because it lost what it had.
func (w *Worker) keepRelaying(ctx context.Context, _ *life) {
	ticker := time.NewTicker(relayInterval)
	defer ticker.Stop()
	swept := time.Now()
	w.checkEviction(ctx)
	// A planner that knows nothing of a table that grew fast reads the whole of it.
	if err := w.q.kind.Analyze(ctx, w.q.db.Bun(), "core_task", "core_taskresource"); err != nil && ctx.Err() == nil {
		w.log.DebugContext(ctx, "tables are not analysed", "err", err)
	}
	for {
		var err error
		if w.q.retainer != nil {
			err = w.checkEpoch(ctx)
		}
		if err == nil && w.q.retainer != nil {
			err = w.relayAll(ctx)
		}
		if time.Since(swept) >= sweepInterval {
			swept = time.Now()
			err = errors.Join(err, w.sweep(ctx))
		}
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "tasks are delivered later", "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// checkEviction warns of a Redis that drops data when its memory is full. Tasks survive that, with delays.
func (w *Worker) checkEviction(ctx context.Context) {
	t, ok := w.q.transport.(interface {
		EvictionPolicy(ctx context.Context) string
	})
	if !ok {
		return
	}
	if p := t.EvictionPolicy(ctx); p != "" && p != "noeviction" {
		w.log.WarnContext(ctx, "redis may evict messages; set maxmemory-policy to noeviction", "maxmemory_policy", p)
	}
}

// due is a ready task that nobody has claimed.
type due struct {
	taskdb.ReadyTask
	Stale bool `bun:"stale"` // it became ready so long ago that a worker with its message counts as dead
}

// forgetBacklog halves the backlog, which is counted only where something is due: after a peak nothing may be, and
// tasks would count as on their way for long. Where the peak goes on, the next batch tells.
func (c *core) forgetBacklog() {
	n := c.backlog.Load()
	c.backlog.CompareAndSwap(n, n/2)
}

// relayAll delivers what is due, and what the loss of Redis's data made due.
func (w *Worker) relayAll(ctx context.Context) error {
	for {
		more, err := w.redeliverPage(ctx)
		if err == nil {
			err = w.relay(ctx)
		}
		if err != nil || !more {
			return err
		}
	}
}

// relay delivers what is due, batch by batch.
func (w *Worker) relay(ctx context.Context) error {
	for first := true; ; first = false {
		batch, err := w.takeDue(ctx)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			if first {
				w.q.forgetBacklog()
			}
			return nil
		}
		doubtful, err := w.redeliver(ctx, batch)
		if err != nil {
			return err
		}
		if err := w.postpone(ctx, batch, doubtful); err != nil {
			return err
		}
		w.q.retainer.Wake(ctx)
		if len(batch) < relayBatch {
			return nil
		}
	}
}

// takeDue returns tasks to deliver and keeps other relays away from them for a while. One that must not run yet is not
// due, whoever asked for its delivery: its message would find nothing to claim and be gone.
func (w *Worker) takeDue(ctx context.Context) ([]due, error) {
	var waiting []uuid.UUID // a cheap look first: there is nothing nearly always
	args := sqldialect.Named{
		"lease": w.q.kind.After(relayLease), "now": w.q.kind.Now(), "limit": relayBatch, "lock": w.q.kind.SkipLocked(),
		"stale": w.q.kind.After(-w.activeTooLong()),
	}
	const isDue = `state = 'waiting' AND unblocked_at IS NOT NULL AND deliver_due <= ?now
		AND (not_before IS NULL OR not_before <= ?now)`
	err := w.q.db.Bun().NewRaw("SELECT pulp_id FROM core_task WHERE "+isDue+" ORDER BY deliver_due LIMIT 1", args).
		Scan(ctx, &waiting)
	if err != nil || len(waiting) == 0 {
		return nil, taskdb.Wrap(err, "look for undelivered tasks")
	}
	var batch []due
	err = taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) error {
		batch = nil
		return tx.Bun().NewRaw(`UPDATE core_task SET deliver_due = ?lease WHERE pulp_id IN (
				SELECT pulp_id FROM core_task WHERE `+isDue+` ORDER BY deliver_due LIMIT ?limit ?lock)
			RETURNING pulp_id, queue, delivery_gen, versions, unblocked_at <= ?stale AS stale`, args).Scan(ctx, &batch)
	})
	return batch, taskdb.Wrap(err, "take undelivered tasks")
}

// redeliver offers a batch to the transport. A task whose message was lost gets a message of a new generation. It
// returns the tasks whose message a worker has taken, which may claim them any moment or may have died.
func (w *Worker) redeliver(ctx context.Context, batch []due) (doubtful map[uuid.UUID]bool, err error) {
	doubtful = map[uuid.UUID]bool{}
	for i, t := range batch {
		fresh, err := w.q.retainer.Offer(ctx, t.ReadyTask)
		if err != nil {
			return nil, err
		}
		if fresh {
			w.q.tel.relayed(ctx, relayMissing)
			continue
		}
		state := w.q.retainer.State(t.ReadyTask)
		if state == transport.Taken && !t.Stale {
			doubtful[t.ID] = true
			continue
		}
		if state == transport.Queued {
			continue
		}
		next := t.ReadyTask
		next.Gen++
		n, err := taskdb.ExecTx(ctx, w.q.db, `UPDATE core_task SET delivery_gen = ? WHERE pulp_id = ? AND delivery_gen = ?
			AND state = 'waiting'`, next.Gen, t.ID, t.Gen)
		if err != nil {
			return nil, taskdb.Wrap(err, "renew the message of task %s", t.ID)
		}
		if n == 0 {
			continue
		}
		batch[i].Gen = next.Gen
		w.q.tel.relayed(ctx, relayReplaced)
		w.log.WarnContext(ctx, "message of a task was lost by redis", "task_id", t.ID, "generation", next.Gen)
		if _, err := w.q.retainer.Offer(ctx, next); err != nil {
			return nil, err
		}
	}
	return doubtful, nil
}

// activeTooLong is after what time a worker that took a task's message and did not claim the task counts as dead. If
// it only was slow, its message and the new one are one too many, which does no harm.
func (w *Worker) activeTooLong() time.Duration { return w.opts.TTL / 3 }

// postpone sets when the tasks of a delivered batch are looked at again: later, the longer the backlog is, but soon
// where the message is with a worker.
func (w *Worker) postpone(ctx context.Context, batch []due, doubtful map[uuid.UUID]bool) error {
	backlog, err := w.countBacklog(ctx)
	if err != nil {
		return err
	}
	verify := max(relayVerify, time.Duration(backlog/relayRate)*time.Second)
	var safe, soon []due
	for _, t := range batch {
		if doubtful[t.ID] {
			soon = append(soon, t)
		} else {
			safe = append(safe, t)
		}
	}
	return errors.Join(w.lookAgain(ctx, safe, verify), w.lookAgain(ctx, soon, w.activeTooLong()))
}

// countBacklog returns how many tasks are ready. It counts them anew after a while only: after Redis lost its data
// there is one batch after the other.
func (w *Worker) countBacklog(ctx context.Context) (backlog int64, err error) {
	if time.Since(w.counted) < countInterval {
		return w.q.backlog.Load(), nil
	}
	err = w.q.db.Bun().NewRaw(`SELECT count(*) FROM core_task WHERE state = 'waiting' AND unblocked_at IS NOT NULL`).
		Scan(ctx, &backlog)
	if err != nil {
		return 0, taskdb.Wrap(err, "count ready tasks")
	}
	w.counted = time.Now()
	w.q.backlog.Store(backlog)
	return backlog, nil
}

// lookAgain sets when tasks are looked at again. One that has run meanwhile and waits for another attempt has a new
// generation, about which nobody was told yet.
func (w *Worker) lookAgain(ctx context.Context, list []due, after time.Duration) error {
	if len(list) == 0 {
		return nil
	}
	messages := make([]any, 0, 2*len(list))
	for _, t := range list {
		messages = append(messages, t.ID, t.Gen)
	}
	// The rows are locked by a statement of their own: as part of the other, Postgres may run it once per row.
	err := taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) error {
		var ids []uuid.UUID
		err := tx.Bun().NewRaw(`SELECT t.pulp_id FROM (?) AS v JOIN core_task t ON t.pulp_id = v.column1
				AND t.delivery_gen = v.column2 WHERE (t.state = 'waiting') IS TRUE ?`,
			bun.SafeQuery(w.q.kind.Values(len(list), "uuid", "integer"), messages...), w.q.kind.SkipLockedOf("t")).
			Scan(ctx, &ids)
		if err != nil || len(ids) == 0 {
			return err
		}
		_, err = tx.Bun().NewRaw("UPDATE core_task SET deliver_due = ? WHERE pulp_id IN (?)",
			w.q.kind.After(after), bun.List(ids)).Exec(ctx)
		return err
	})
	return taskdb.Wrap(err, "postpone delivery")
}

// deliverOldestSoon makes the relay look at the tasks whose messages a dead worker may have taken along: Redis hands
// messages out in order, so those are among the oldest.
func (w *Worker) deliverOldestSoon(ctx context.Context) error {
	_, err := taskdb.ExecTx(ctx, w.q.db, `UPDATE core_task SET deliver_due = ?now WHERE pulp_id IN (
			SELECT pulp_id FROM core_task WHERE state = 'waiting' AND unblocked_at IS NOT NULL
			ORDER BY unblocked_at LIMIT ?limit ?lock)`,
		sqldialect.Named{"now": w.q.kind.Now(), "limit": relayBatch, "lock": w.q.kind.SkipLocked()})
	return taskdb.Wrap(err, "look for what a dead worker took along")
}

// checkEpoch finds out whether the transport still has the messages that it was given: it keeps a random token that
// the database has too. A transport without the token has lost the messages as well, and every ready task is
// delivered again.
func (w *Worker) checkEpoch(ctx context.Context) error {
	token, err := w.q.retainer.Token(ctx)
	if err != nil {
		return err
	}
	known, err := w.q.meta(ctx, w.q.db.Bun(), metaEpoch, false)
	if err != nil || (token != "" && token == known) {
		return err
	}
	return w.newEpoch(ctx, token)
}

// newEpoch is what happens after the transport lost its data, once for all workers. The transport has the token first
// and the database follows, in a transaction that does not wait for Redis. If a worker dies between the two, the next
// check finds two tokens and goes on here. Of workers that check at the same time one sets the token, and the others
// find it.
func (w *Worker) newEpoch(ctx context.Context, token string) error {
	if token == "" {
		var err error
		if token, err = w.q.retainer.SetToken(ctx, strings.ToLower(rand.Text())); err != nil {
			return err
		}
	}
	changed := false
	err := taskdb.Tx(ctx, w.q.db, func(ctx context.Context, tx *models.Tx) error {
		known, err := w.q.meta(ctx, tx.Bun(), metaEpoch, true)
		if changed = err == nil && known != token; !changed {
			return err // another worker was faster
		}
		if err := w.q.setMeta(ctx, tx.Bun(), metaEpoch, token); err != nil {
			return err
		}
		return w.q.redeliverAll(ctx, tx.Bun())
	})
	if err != nil || !changed {
		return err
	}
	w.q.tel.redisLost(ctx)
	w.log.WarnContext(ctx, "redis is new or lost its data; all ready tasks are delivered again")
	return nil
}

package tasking

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// ownInterval is how often a worker looks at most whether its tasks are still its own.
const ownInterval = 2 * time.Second

// keepBeating tells the other workers that this one is alive, and looks for what they or users did to its tasks.
func (w *Worker) keepBeating(ctx context.Context, l *life) {
	conn := &ownConn{q: w.q}
	defer conn.close()
	beat := w.opts.TTL / 3
	ticker := time.NewTicker(min(ownInterval, beat))
	defer ticker.Stop()
	due := time.Now().Add(beat)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !time.Now().Before(due) {
			due = time.Now().Add(beat)
			w.beat(ctx, l, conn)
		}
		if err := w.checkOwn(ctx, conn); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "own tasks cannot be read", "err", err)
		}
	}
}

// beat counts the heartbeat up. A row that is gone means that this worker was given up for dead and its tasks were
// taken away: it ends them and begins anew.
func (w *Worker) beat(ctx context.Context, l *life, conn *ownConn) {
	var n int64
	err := conn.write(ctx, w.opts.TTL/3, func(ctx context.Context, idb bun.IDB) error {
		return execIn(ctx, idb, &n, `UPDATE core_worker SET beat = beat + 1, last_heartbeat = ?now,
			pulp_last_updated = ?now WHERE pulp_id = ?id`, sqldialect.Named{"id": w.id(), "now": w.q.kind.Now()})
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.log.WarnContext(ctx, "heartbeat failed", "err", err)
		w.mu.Lock()
		lost := w.silent() > w.opts.TTL*9/10
		w.mu.Unlock()
		// On SQLite silence means that somebody writes for long, and nobody else can write meanwhile.
		if lost && w.q.kind == sqldialect.Postgres {
			w.stopAll(ErrLost)
		}
	case n == 0:
		w.log.ErrorContext(ctx, "this worker was given up for dead", "worker_id", w.id())
		w.stopAll(errFenced)
		ctx, cancel := context.WithTimeout(ctx, w.opts.TTL/3)
		defer cancel()
		if err := w.register(ctx, l); err != nil {
			w.log.WarnContext(ctx, "worker registers later", "err", err)
		}
	default:
		w.mu.Lock()
		w.lastBeat = time.Now()
		w.mu.Unlock()
	}
}

// checkOwn compares the running tasks with what the database says about them.
func (w *Worker) checkOwn(ctx context.Context, conn *ownConn) error {
	w.mu.Lock()
	local := maps.Clone(w.runs)
	w.mu.Unlock()
	var rows []struct {
		ID    uuid.UUID        `bun:"pulp_id"`
		Claim uuid.UUID        `bun:"claim_id"`
		State models.TaskState `bun:"state"`
	}
	err := conn.read(ctx, ownInterval, func(ctx context.Context, idb bun.IDB) error {
		return idb.NewRaw(`SELECT pulp_id, claim_id, state FROM core_task
			WHERE worker_id = ? AND state IN ('running', 'canceling')`, w.id()).Scan(ctx, &rows)
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		x := local[r.ID]
		switch {
		case x == nil: // perhaps it has no run here yet; the reaper looks for those that get none
		case x.task.ClaimID != r.Claim:
			x.cancel(errFenced)
		case r.State == models.Canceling:
			x.cancel(ErrCanceled)
		}
		delete(local, r.ID)
	}
	return w.stopFenced(ctx, conn, local)
}

// stopFenced stops the runs that have lost their claims, of those that were not among the worker's own. The others have
// ended just now, and a task that has ended keeps its claim.
func (w *Worker) stopFenced(ctx context.Context, conn *ownConn, runs map[uuid.UUID]*execution) error {
	if len(runs) == 0 {
		return nil
	}
	var rows []struct {
		ID    uuid.UUID `bun:"pulp_id"`
		Claim uuid.UUID `bun:"claim_id"`
	}
	err := conn.read(ctx, ownInterval, func(ctx context.Context, idb bun.IDB) error {
		return idb.NewRaw("SELECT pulp_id, claim_id FROM core_task WHERE pulp_id IN (?) AND claim_id IS NOT NULL",
			bun.List(slices.Collect(maps.Keys(runs)))).Scan(ctx, &rows)
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if runs[r.ID].task.ClaimID == r.Claim {
			delete(runs, r.ID)
		}
	}
	for _, x := range runs {
		x.cancel(errFenced)
	}
	return nil
}

// cancelRun ends the context of one running task.
func (w *Worker) cancelRun(id uuid.UUID, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.runs[id]; x != nil {
		x.cancel(cause)
	}
}

// ownConn is a connection beside the pool, so that tasks which keep the whole pool busy do not silence the heartbeat.
// SQLite has one writer and no use for it.
type ownConn struct {
	q    *Queue
	conn *bun.DB
}

// write runs one changing statement, for limit at most.
func (c *ownConn) write(ctx context.Context, limit time.Duration, fn func(context.Context, bun.IDB) error) error {
	if c.q.kind == sqldialect.Postgres {
		return c.read(ctx, limit, fn)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.q.write(ctx, func(idb bun.IDB) error { return fn(ctx, idb) })
}

// read runs one query, for limit at most.
func (c *ownConn) read(ctx context.Context, limit time.Duration, fn func(context.Context, bun.IDB) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if c.q.kind == sqldialect.SQLite {
		return fn(ctx, c.q.db.Bun())
	}
	if c.conn == nil {
		c.conn = c.q.db.Conn().Beside()
	}
	err := fn(ctx, c.conn)
	if err != nil {
		c.close() // it may be broken
	}
	return err
}

func (c *ownConn) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

package worker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// heartbeater shows the other processes that this worker is alive, and stops attempts that have lost their claim or are
// canceled.
type heartbeater struct {
	session  *session
	attempts *attempts
	conn     *ownConn
	log      *slog.Logger
}

// ownInterval is how often a worker checks whether its attempts still have their claims.
const ownInterval = 2 * time.Second

// run beats three times per TTL until ctx is done.
func (h *heartbeater) run(ctx context.Context) {
	defer h.conn.close()
	interval := h.session.ttl / 3
	// Claims are checked every 2 s, although heartbeats are fewer, so that a cancellation whose broadcast was lost takes
	// effect within 4 s (F23).
	ticker := time.NewTicker(min(ownInterval, interval))
	defer ticker.Stop()
	due := time.Now().Add(interval)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !time.Now().Before(due) {
			// Counted from the begin of the heartbeat: a slow database must not stretch the interval.
			due = time.Now().Add(interval)
			h.beat(ctx)
		}
		if err := h.checkClaims(ctx); err != nil && ctx.Err() == nil {
			h.log.WarnContext(ctx, "the tasks of this worker could not be read", "err", err)
		}
	}
}

// beat counts the heartbeat up. If a row is gone, another process has declared this worker dead and recovered its
// tasks: the worker stops them and registers again.
func (h *heartbeater) beat(ctx context.Context) {
	limit := h.session.ttl / 3
	ids := h.session.ids()
	var alive []uuid.UUID
	err := h.conn.write(ctx, limit, func(ctx context.Context, c taskdb.Conn) (err error) {
		alive, err = taskdb.Beat(ctx, c, ids)
		return err
	})
	switch {
	// The worker ends: the error is that of the interrupted statement.
	case ctx.Err() != nil:
	case err != nil:
		h.log.WarnContext(ctx, "heartbeat could not be written", "err", err)
		// On SQLite a heartbeat also fails while another transaction writes for long. No process can take tasks over then.
		// On Postgres the tasks stop before the TTL is over, while no other worker can have claimed them yet.
		if h.session.silence() > h.session.ttl*9/10 && h.conn.kind == sqldialect.Postgres {
			h.attempts.cancelAll(engine.ErrLost)
		}
	case len(alive) < len(ids):
		h.log.ErrorContext(ctx, "this worker was declared dead by another one; it registers again", "worker_id", ids[0])
		// The first row owns the tasks. A lost row of another role does not affect them.
		if !slices.Contains(alive, ids[0]) {
			h.attempts.cancelAll(engine.ErrFenced)
		}
		// register uses the pool. Without a limit it would wait for tasks that keep all connections, and the next heartbeat
		// with it.
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := h.session.register(ctx, alive); err != nil {
			h.log.WarnContext(ctx, "worker could not register again; the next heartbeat tries it", "err", err)
		}
	default:
		h.session.beat()
	}
}

// checkClaims compares the attempts with the rows of their tasks.
func (h *heartbeater) checkClaims(ctx context.Context) error {
	executed := h.attempts.list()
	if len(executed) == 0 {
		// An idle worker makes no query here.
		return nil
	}
	var rows []taskdb.OwnedTask
	err := h.conn.read(ctx, ownInterval, func(ctx context.Context, c taskdb.Conn) (err error) {
		rows, err = taskdb.OwnedTasks(ctx, c, h.session.workerID())
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		a := executed[r.ID]
		switch {
		case a == nil: // its attempt may be about to begin; the reaper finds tasks without one
		case a.Task.ClaimID != r.Claim:
			a.Cancel(engine.ErrFenced)
		case r.State == models.Canceling:
			a.Cancel(engine.ErrCanceled)
		}
		delete(executed, r.ID)
	}
	return h.stopFenced(ctx, executed)
}

// stopFenced stops the attempts of a list that have lost their claim.
func (h *heartbeater) stopFenced(ctx context.Context, list map[uuid.UUID]*attempt.Attempt) error {
	if len(list) == 0 {
		return nil
	}
	var claims map[uuid.UUID]uuid.UUID
	// One query for all tasks, on the own connection: from the pool it could wait for a task that keeps the last
	// connection, and the heartbeat would wait with it (F44).
	err := h.conn.read(ctx, ownInterval, func(ctx context.Context, c taskdb.Conn) (err error) {
		claims, err = taskdb.ClaimsOf(ctx, c, slices.Collect(maps.Keys(list)))
		return err
	})
	if err != nil {
		return err
	}
	for id, a := range list {
		// A task that has just ended keeps its claim, so its attempt may store the end undisturbed.
		if claims[id] != a.Task.ClaimID {
			a.Cancel(engine.ErrFenced)
		}
	}
	return nil
}

// ownConn is a connection beside the pool, so that tasks which use the whole pool do not silence the heartbeat. SQLite
// has one writer, so a second connection would not help there.
type ownConn struct {
	db   *models.DB
	kind sqldialect.Kind
	conn *bun.DB // nil until it is used, and after an error
}

func newOwnConn(db *models.DB) *ownConn { return &ownConn{db: db, kind: db.Conn().Kind} }

// write runs a statement that changes rows, for limit at most.
func (c *ownConn) write(
	ctx context.Context, limit time.Duration, fn func(context.Context, taskdb.Conn) error,
) error {
	if c.kind == sqldialect.Postgres {
		return c.read(ctx, limit, fn)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return taskdb.Write(ctx, c.db, func(conn taskdb.Conn) error { return fn(ctx, conn) })
}

// read runs a query, for limit at most.
func (c *ownConn) read(ctx context.Context, limit time.Duration, fn func(context.Context, taskdb.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if c.kind == sqldialect.SQLite {
		return fn(ctx, taskdb.On(c.db))
	}
	if c.conn == nil {
		c.conn = c.db.Conn().Beside()
	}
	err := fn(ctx, taskdb.Conn{IDB: c.conn, Kind: c.kind})
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

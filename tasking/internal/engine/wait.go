package engine

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

const (
	firstPoll = 25 * time.Millisecond
	lastPoll  = time.Second
)

// Wait returns the task once its state is final.
//
// Errors: NotFound; Conflict if it is called by a task that the other one waits for itself, because of what the first
// one has reserved or over any number of tasks between them, of which those that call Wait must run in this process;
// the cause of ctx.
func (c *Core) Wait(ctx context.Context, db *models.DB, id uuid.UUID) (*models.Task, error) {
	own, inTask := TaskID(ctx)
	if inTask {
		// Before the check for a cycle: if two tasks begin to wait for each other at the same time, at least one of the
		// checks sees the other wait.
		defer c.waits.begin(waitEdge{own, id})()
	}
	// Before the first read: an end between the read and watch would be noticed by the next poll only.
	ended, stop := c.watch(id)
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	// Signals of other processes may be lost or not be received at all, so the database is read once a second.
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		t, err := Get(ctx, db, id)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil || t.State.Final():
			return t, err
		}
		if inTask {
			if err := c.waits.refuseDeadlock(ctx, db, waitEdge{own, id}); err != nil {
				return nil, err
			}
			// Once is enough: see refuseDeadlock.
			inTask = false
		}
		timer.Reset(pause)
		select {
		case <-ended:
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Get returns a task of the domain of db.
//
// Errors: NotFound.
func Get(ctx context.Context, db *models.DB, id uuid.UUID) (*models.Task, error) {
	t := new(models.Task)
	err := db.Bun().NewSelect().Model(t).Where("t.pulp_id = ?", id).Where("t.pulp_domain_id = ?", DomainID(db)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no task %s", id)
	}
	if err != nil {
		return nil, taskdb.Wrap(err, "read task %s", id)
	}
	return t, nil
}

// DomainID returns the id of the domain of db, or that of none.
func DomainID(db *models.DB) uuid.UUID {
	if d := db.Domain(); d != nil {
		return d.ID
	}
	return uuid.Nil
}

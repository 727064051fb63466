package tasking

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

const (
	firstPoll = 25 * time.Millisecond
	lastPoll  = time.Second
)

// Wait returns the task once its state is final. A task that waits for another one keeps its slot meanwhile: when all
// slots are taken by tasks that wait for tasks which have not begun, no task goes on, and no error says so. Such tasks
// need workers with more slots than there are of them, or dispatch what comes afterwards as a task of its own.
//
// Errors: NotFound; Conflict if it is called by a task that the other one waits for itself, because of what the first
// one has reserved or over any number of tasks between them, of which those that call Wait must run in this process;
// the cause of ctx.
func (q *Queue) Wait(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	own, inTask := TaskID(ctx)
	if inTask {
		defer q.waits.begin(waitEdge{own, id})()
	}
	ended, stop := q.hub.watch(id)
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		t, err := q.Get(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil || t.State.Final():
			return t, err
		}
		if inTask {
			if err := q.refuseDeadlock(ctx, waitEdge{own, id}); err != nil {
				return nil, err
			}
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

package worker

import (
	"context"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/internal/attempt"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

// Ender ends claimed tasks as a worker does: what is ended at the same time by one Ender shares a transaction.
type Ender struct{ p *parts }

// NewEnder returns an Ender.
func NewEnder(q *tasking.Queue) *Ender {
	w, err := New(q, nil)
	if err != nil {
		panic(err)
	}
	return &Ender{w.parts()}
}

func (e *Ender) end(ctx context.Context, c *Claimed) (models.TaskState, error) {
	a := &attempt.Attempt{Task: &c.Claimed}
	done, err := e.p.completer.store(ctx, &completion{attempt: a, outcome: outcome{state: models.Completed}})
	return done.state, engine.AsFenced(err)
}

// End completes a task and reports whether it was still executed under its claim.
func (e *Ender) End(ctx context.Context, c *Claimed) (bool, error) {
	state, err := e.end(ctx, c)
	return state == models.Completed, err
}

// Again puts a task back, to be claimed again at once.
func (e *Ender) Again(ctx context.Context, c *Claimed) error {
	return engine.AsFenced(e.p.claims.requeue(ctx, &c.Claimed, 0, 0))
}

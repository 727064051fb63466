package tasking

import (
	"context"

	"github.com/pulpgo/pulpcore/models"
)

// Ender ends claimed tasks as a worker does: what is ended at the same time by one Ender shares a transaction.
type Ender struct{ p *parts }

// NewEnder returns an Ender.
func NewEnder(q *Queue) *Ender {
	w, err := NewWorker(q, nil)
	if err != nil {
		panic(err)
	}
	return &Ender{w.parts()}
}

func (e *Ender) end(ctx context.Context, c *Claimed) (models.TaskState, error) {
	a := &attempt{task: &c.Claimed}
	done, err := e.p.completer.store(ctx, &completion{attempt: a, outcome: outcome{state: models.Completed}})
	return done.state, asFenced(err)
}

// End completes a task and reports whether it was still executed under its claim.
func (e *Ender) End(ctx context.Context, c *Claimed) (bool, error) {
	state, err := e.end(ctx, c)
	return state == models.Completed, err
}

// Again puts a task back, to be claimed again at once.
func (e *Ender) Again(ctx context.Context, c *Claimed) error {
	return asFenced(e.p.claims.requeue(ctx, &c.Claimed, 0, 0))
}

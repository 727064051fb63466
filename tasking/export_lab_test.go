package tasking

import "context"

// Ender ends claimed tasks as a worker does: what is ended at the same time by one Ender shares a transaction.
type Ender struct{ w *Worker }

// NewEnder returns an Ender.
func NewEnder(q *Queue) *Ender {
	w, err := NewWorker(q, nil)
	if err != nil {
		panic(err)
	}
	return &Ender{w}
}

// End completes a task and reports whether it was still executed under its claim.
func (e *Ender) End(ctx context.Context, c *Claimed) (bool, error) {
	done, err := e.w.end(ctx, &finishing{task: (*claimed)(c), end: ending{state: "completed"}})
	return done.state == "completed", err
}

// Again puts a task back, to be claimed again at once.
func (e *Ender) Again(ctx context.Context, c *Claimed) error {
	return e.w.q.putBack(ctx, (*claimed)(c), 0, 0)
}

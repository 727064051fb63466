package attempt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/engine"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// How far a task is that ends within its own last transaction.
const (
	notCompleted = iota
	completing   // in a transaction that may still be rolled back
	completed
)

// CompleteTx ends the task as completed within tx, the last transaction of its function. result is stored as JSON with
// the task; nil stores none.
//
// Errors: [engine.ErrCanceled] if the task is being canceled; [engine.ErrLost] if it is not this worker's any more;
// Conflict if it was completed before; Invalid for a result that is too large.
func (a *Attempt) CompleteTx(ctx context.Context, tx *models.Tx, result any) error {
	name, id := a.Task.Name, a.Task.ID
	var raw json.RawMessage
	if result != nil {
		var err error
		if raw, err = json.Marshal(result); err != nil {
			return fmt.Errorf("tasking: result of %s: %w", name, err)
		}
		if err := engine.CheckResult(name, raw); err != nil {
			return err
		}
	}
	if err := a.beginCompletion(); err != nil {
		return err
	}
	err := a.Complete(ctx, tx, a, raw)
	if errors.Is(err, engine.ErrCanceled) || errors.Is(err, engine.ErrLost) {
		return err
	}
	return taskdb.Wrap(err, "complete task %s", id)
}

func (a *Attempt) beginCompletion() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.own == completed {
		return pulperr.Public(pulperr.Conflict, "the task is completed already; call CompleteTx once")
	}
	// From here on the fence also accepts the state that this transaction gives to the task.
	a.own = completing
	return nil
}

// SetCompleted notes that the transaction of [Attempt.CompleteTx] has committed.
func (a *Attempt) SetCompleted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own = completed
}

// Completed reports whether the task has ended within its own last transaction.
func (a *Attempt) Completed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.own == completed
}

func (a *Attempt) completing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.own == completing
}

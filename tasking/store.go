package tasking

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// completion is how far a task is that ends within its own last transaction.
type completion struct {
	mu    sync.Mutex
	state int
}

const (
	notCompleted = iota
	completing   // in a transaction that may still be rolled back
	completed
)

func (c *completion) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == completed {
		return pulperr.Public(pulperr.Conflict, "the task is completed already")
	}
	c.state = completing
	return nil
}

func (c *completion) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = completed
}

func (c *completion) is(state int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == state
}

// fence fails unless the task is still executed under the claim, and keeps it so until the transaction ends. It is
// the last statement of each of a task's transactions: the first would make a cancellation wait for the whole of it.
func fence(kind sqldialect.Kind, id, claim uuid.UUID, c *completion) func(context.Context, bun.IDB) error {
	return func(ctx context.Context, idb bun.IDB) error {
		var found []int
		err := idb.NewRaw(`SELECT 1 FROM core_task WHERE pulp_id = ? AND claim_id = ?
			AND (state IN ('running', 'canceling') OR ? AND state = 'completed') ?`,
			id, claim, c.is(completing), kind.ForShare()).Scan(ctx, &found)
		if err == nil && len(found) == 0 {
			return errFenced
		}
		return err
	}
}

// fenceAll is fence for a transaction in which several tasks take part; nil stands for those who are no task.
func fenceAll(ctx context.Context, tx *models.Tx, scopes []*models.TaskScope) error {
	type claim struct{ task, claim uuid.UUID }
	claims := map[claim]bool{} // a task has two if one who lost it takes part beside one who has it now
	for _, s := range scopes {
		if s != nil {
			claims[claim{s.TaskID, s.ClaimID}] = true
		}
	}
	if len(claims) == 0 {
		return nil
	}
	pairs := make([]any, 0, 2*len(claims))
	for c := range claims {
		pairs = append(pairs, c.task, c.claim)
	}
	kind := tx.Conn().Kind
	var found []uuid.UUID
	err := tx.Bun().NewRaw(`SELECT t.pulp_id FROM core_task t
		JOIN (?) AS v ON v.column1 = t.pulp_id AND v.column2 = t.claim_id
		WHERE (t.state IN ('running', 'canceling')) IS TRUE ORDER BY t.pulp_id ?`,
		bun.SafeQuery(kind.Values(len(claims), "uuid", "uuid"), pairs...), kind.ForShareOf("t")).Scan(ctx, &found)
	if err == nil && len(found) < len(claims) {
		return errFenced
	}
	return err
}

// deliverSoon makes the relay deliver some tasks.
func (q *Queue) deliverSoon(ctx context.Context, tasks []taskdb.ReadyTask) error {
	ids := make([]uuid.UUID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	return q.write(ctx, func(idb bun.IDB) error {
		_, err := idb.NewRaw(`UPDATE core_task SET deliver_due = ? WHERE pulp_id IN (?) AND (state = 'waiting') IS TRUE`,
			q.kind.Now(), bun.List(ids)).Exec(ctx)
		return err
	})
}

// patient calls fn until it succeeds, fails for a reason that will not go away, or give is closed.
func patient(give <-chan struct{}, permanent func(error) bool, failed func(error), fn func() error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := fn()
		if err == nil || permanent(err) {
			return err
		}
		failed(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-give:
			timer.Stop()
			return err
		}
	}
}

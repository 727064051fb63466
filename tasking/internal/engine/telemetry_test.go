package engine

import (
	"context"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// A queue without providers pays nothing for being observable.
func TestUnobservedCallsAllocateNothing(t *testing.T) {
	var tel *Telemetry
	ctx, s, c, task := t.Context(), &Spec{}, &taskdb.Claimed{}, &models.Task{}
	store := func(context.Context, *Spec) (models.TaskState, error) { return models.Waiting, nil }
	got := testing.AllocsPerRun(100, func() {
		_, _ = tel.dispatch(ctx, s, store)
		tel.dispatched(ctx, s, taskdb.InsertedTask{})
		tel.Batch(ctx, BatchClaim, 1)
		tel.Duplicate(ctx)
		tel.Ended(tel.Starting(ctx, c), c, time.Time{}, AttemptResult(models.Completed), nil)
		tel.Canceled(ctx, task)
	})
	if got > 0 {
		t.Errorf("observing a task of a queue without providers makes %v allocations, want none", got)
	}
}

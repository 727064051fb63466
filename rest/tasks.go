package rest

import (
	"context"
	"time"

	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// Tasks returns the tasks that the API dispatches, bound to their functions: give them to every worker, see
// [worker.Options].
func Tasks() []tasking.Binding { return work.Tasks(completeFetched) }

// SchedulePurge makes the workers of q remove tasks that ended longer than age ago, in all domains and in every final
// state. They do it once in each age, but at most once a minute. Age 0 ends that.
func SchedulePurge(ctx context.Context, q *tasking.Queue, age time.Duration) error {
	return work.SchedulePurge(ctx, q, age)
}

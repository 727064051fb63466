package rest

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// Tasks returns the tasks that the API dispatches, bound to their functions: give them to every worker, see
// [worker.Options].
func Tasks() []tasking.Binding { return work.Tasks(completeFetched) }

// AddContent dispatches the task that makes a version of a repository with further units, as modify does. It is for
// content.Options.
//
// Errors: NotFound if there is no such repository; those of [tasking.Task.Dispatch].
func AddContent(ctx context.Context, q *tasking.Queue, repository uuid.UUID, units []uuid.UUID) error {
	row, err := models.Cast(ctx, q.DB(), models.RepositoryMaster, repository)
	if err != nil {
		return err
	}
	o := &tasking.DispatchOptions{Exclusive: tasking.On(row)}
	_, err = work.AddAndRemove.Dispatch(ctx, q, work.ModifyArgs{Repository: repository, Add: units}, o)
	return err
}

// SchedulePurge makes the workers of q remove tasks that ended longer than age ago, in all domains and in every final
// state. They do it once in each age, but at most once a minute. Age 0 ends that.
func SchedulePurge(ctx context.Context, q *tasking.Queue, age time.Duration) error {
	return work.SchedulePurge(ctx, q, age)
}

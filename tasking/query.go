package tasking

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking/internal/taskdb"
)

// Get returns a task of the queue's domain.
//
// Errors: NotFound.
func (q *Queue) Get(ctx context.Context, id uuid.UUID) (*models.Task, error) {
	t := new(models.Task)
	err := q.db.Bun().NewSelect().Model(t).Where("t.pulp_id = ?", id).Where("t.pulp_domain_id = ?", q.domainID()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, pulperr.Public(pulperr.NotFound, "there is no task %s", id)
	}
	if err != nil {
		return nil, taskdb.Wrap(err, "read task %s", id)
	}
	return t, nil
}

func (q *Queue) domainID() uuid.UUID {
	if d := q.db.Domain(); d != nil {
		return d.ID
	}
	return uuid.Nil
}

package stages

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// SyncArgs are the arguments of a sync task. The repository is reserved exclusively and the remote shared.
type SyncArgs[Rm, Rp any] struct {
	Remote     models.Ref[Rm] `json:"remote"`
	Repository models.Ref[Rp] `json:"repository"`
	Mirror     bool           `json:"mirror"`   // remove what the remote does not have any more
	Optimize   bool           `json:"optimize"` // plugins may pass over a sync that cannot change anything
}

// Resources implements [tasking.ResourceUser].
func (a SyncArgs[Rm, Rp]) Resources() tasking.Resources {
	return tasking.Resources{Exclusive: tasking.OnRef(a.Repository), Shared: tasking.OnRef(a.Remote)}
}

// PublishArgs are the arguments of a publish task. The repository is reserved shared. Make them with [NewPublishArgs].
type PublishArgs[P any] struct {
	RepositoryVersion uuid.UUID `json:"repository_version"`
	Repository        string    `json:"repository"`  // PRN
	Publication       P         `json:"publication"` // not saved; what the client asked for
}

// NewPublishArgs returns the arguments to publish a version. The task reads all fields of pub apart from the version.
func NewPublishArgs[P any](ctx context.Context, db *models.DB, version *models.RepositoryVersion, pub P,
) (PublishArgs[P], error) {
	repo, err := models.Cast(ctx, db, models.RepositoryMaster, version.RepositoryID)
	if err != nil {
		return PublishArgs[P]{}, err
	}
	return PublishArgs[P]{RepositoryVersion: version.ID, Repository: models.PRNOf(repo), Publication: pub}, nil
}

// Resources implements [tasking.ResourceUser].
func (a PublishArgs[P]) Resources() tasking.Resources {
	return tasking.Resources{Shared: tasking.Named(a.Repository)}
}

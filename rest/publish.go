package rest

import (
	"context"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// publishInput is what the body of a publication has besides the type's own fields.
type publishInput struct {
	Version    *uuid.UUID `json:"repository_version" rest:"ref=repositoryversion" doc:"The version to publish."`
	Repository *uuid.UUID `json:"repository" rest:"ref=repository" doc:"The repository whose latest version to publish."`

	source *models.RepositoryVersion
}

// Publish returns the [Creator] of publications: it reads the type's own fields, and a repository, whose latest version
// is meant, or a repository version, and dispatches a plugin's task. args makes the task's arguments from the
// publication as it shall be; the version is in its RepositoryVersionID. The repository is reserved as shared.
func Publish[T, A any](t *tasking.Task[A], args func(p *T) A) Creator[T] {
	return newCreator(false, readSource[T], func(
		ctx context.Context, q *request, _ *input, p *T, extra *publishInput,
	) (any, error) {
		publication(p).RepositoryVersionID = extra.source.ID
		repository, err := q.db.Cast(ctx, models.RepositoryMaster, extra.source.RepositoryID)
		if err != nil {
			return nil, err
		}
		return q.ticket(t.Dispatch(ctx, q.tasks(), args(p), &tasking.Options{Shared: tasking.On(repository)}))
	})
}

// publication returns what all publications have.
func publication(row any) *models.Publication {
	p, ok := row.(models.AnyPublication)
	if !ok {
		return &models.Publication{} // the viewset has another master, which is a fault at Open
	}
	return p.AsPublication()
}

// readSource finds the version that the repository or repository_version of a body means.
func readSource[T any](ctx context.Context, q *request, in *input, p *T, extra *publishInput) (err error) {
	version, repository := in.given("repository_version"), in.given("repository")
	switch {
	case !version && !repository:
		in.faults.Add(NonField, "Either the 'repository' or 'repository_version' need to be specified")
	case version && repository:
		in.faults.Add(NonField, "Either the 'repository' or 'repository_version' need to be specified but not both.")
	case extra.Version != nil:
		extra.source, err = models.VersionByID(ctx, q.db, *extra.Version)
	case extra.Repository != nil:
		extra.source, err = models.LatestVersion(ctx, q.db, *extra.Repository)
	}
	if publication(p).Checkpoint && version {
		in.faults.Add(NonField,
			"A checkpoint is always of the latest version: specify 'repository', not 'repository_version'.")
	}
	return err
}

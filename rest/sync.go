package rest

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// syncInput is the body of sync.
type syncInput struct {
	Remote   *uuid.UUID `json:"remote" rest:"ref=remote" doc:"The remote to sync from, if not the repository's."`
	Mirror   bool       `json:"mirror" rest:"default=false" doc:"Remove what the remote does not have."`
	Optimize bool       `json:"optimize" rest:"default=true" doc:"Skip what did not change."`
}

// Sync returns the operation POST <repository>/sync/, which dispatches a plugin's task. The repository is reserved
// exclusively and the remote shared. Each check looks at the repository and the task's arguments before the dispatch;
// what it returns as an error is answered as in [Post].
func Sync[Rm, Rp any](t *tasking.Task[stages.SyncArgs[Rm, Rp]],
	checks ...func(repo *Rp, a stages.SyncArgs[Rm, Rp]) error,
) Action[Rp] {
	return Action[Rp]{build: func(s *subject) *action {
		op := Operation{Name: "sync", Summary: "Sync from a remote", body: s.class + "SyncURL"}
		act := Do(op, func(ctx context.Context, r *Request[Rp], in *syncInput) (*Accepted, error) {
			repository, remote, err := s.syncEnds(ctx, r.DB, r.Row, in.Remote)
			if err != nil {
				return nil, err
			}
			args := stages.SyncArgs[Rm, Rp]{
				Remote: models.Ref[Rm]{ID: remote}, Repository: models.Ref[Rp]{ID: repository},
				Mirror: in.Mirror, Optimize: in.Optimize,
			}
			for _, check := range checks {
				// A refusal here spares the client the wait for a task that can only fail.
				if err := check(r.Row, args); err != nil {
					return nil, err
				}
			}
			// The arguments name their reservations themselves, see stages.SyncArgs.Resources.
			return r.request.ticket(t.Dispatch(ctx, r.Queue, args, nil))
		}).build(s)
		if s.master == nil || s.master.Master != models.RepositoryMaster {
			act.faults = append(act.faults, fmt.Errorf("%s: only repositories have the action sync; drop it", s.what))
		}
		return act
	}}
}

// syncEnds returns the keys of a repository and of the remote that a sync shall use: the one asked for, or the
// repository's.
func (s *subject) syncEnds(
	ctx context.Context, db *models.DB, row any, asked *uuid.UUID,
) (repository, remote uuid.UUID, err error) {
	r, ok := row.(models.AnyRepository)
	if !ok {
		return repository, remote, fmt.Errorf("rest: %T is not a repository", row)
	}
	id := asked
	if id == nil {
		id = r.AsRepository().RemoteID
	}
	if id == nil {
		return repository, remote,
			FieldErrors{"remote": {"This field is required since a remote is not set on the repository."}}
	}
	found, err := models.Cast(ctx, db, models.RemoteMaster, *id)
	if err != nil {
		return repository, remote, fmt.Errorf("rest: remote of a sync: %w", err)
	}
	// The key of a remote of another type would be a valid reference, and fail within the task.
	if !slices.Contains(db.Registry().SyncsFrom(s.typ.AnyType), found.PulpType()) {
		return repository, remote, FieldErrors{"remote": {
			fmt.Sprintf("Type for Remote '%s' does not match Repository '%s'.", found.PulpType(), s.typ.Name()),
		}}
	}
	return r.PulpID(), *id, nil
}

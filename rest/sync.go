package rest

import (
	"context"
	"fmt"
	"reflect"
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
	return Action[Rp]{build: func(v *view) *action {
		fields, faults := structFields(reflect.TypeFor[syncInput]())
		act := &action{
			name: "sync", summary: "Sync from a remote", async: true,
			input: &inputShape{model: v.class + "SyncURL", fields: fields}, faults: faults,
		}
		if v.master != models.RepositoryMaster {
			act.faults = append(act.faults, fmt.Errorf("viewset %s: only repositories have the action sync; drop it", v.path))
		}
		act.run = func(ctx context.Context, c *call) error {
			repo, err := c.get(ctx, v)
			if err != nil {
				return err
			}
			in := &syncInput{}
			if err := c.decodeInput(ctx, fields, in); err != nil {
				return err
			}
			remote, err := c.remoteFor(ctx, v, repo, in.Remote)
			if err != nil {
				return err
			}
			args := stages.SyncArgs[Rm, Rp]{
				Remote: models.Ref[Rm]{ID: remote}, Repository: models.Ref[Rp]{ID: repo.PulpID()},
				Mirror: in.Mirror, Optimize: in.Optimize,
			}
			typed, _ := repo.(any).(*Rp)
			for _, check := range checks {
				if err := check(typed, args); err != nil {
					return err
				}
			}
			ticket, err := t.Dispatch(ctx, c.queue(), args)
			if err != nil {
				return err
			}
			return c.accept(ticket.TaskID)
		}
		return act
	}}
}

// remoteFor returns the remote that a sync shall use: the one asked for or the repository's.
func (c *call) remoteFor(ctx context.Context, v *view, row models.Row, asked *uuid.UUID) (uuid.UUID, error) {
	id := asked
	if repo, ok := row.(models.AnyRepository); ok && id == nil {
		id = repo.AsRepository().RemoteID
	}
	if id == nil {
		return uuid.Nil, FieldErrors{"remote": {"This field is required since a remote is not set on the repository."}}
	}
	remote, err := models.Cast(ctx, c.db, models.RemoteMaster, *id)
	if err != nil {
		return uuid.Nil, fmt.Errorf("rest: remote of a sync: %w", err)
	}
	if !slices.Contains(c.db.Registry().SyncsFrom(v.typ), remote.PulpType()) {
		return uuid.Nil, FieldErrors{"remote": {fmt.Sprintf("Type for Remote '%s' does not match Repository '%s'.",
			remote.PulpType(), v.typ.Name())}}
	}
	return *id, nil
}

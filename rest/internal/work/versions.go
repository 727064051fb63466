package work

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

// ModifyArgs are the arguments of the task behind modify.
type ModifyArgs struct {
	Repository uuid.UUID   `json:"repository"`
	Base       *uuid.UUID  `json:"base_version,omitempty"`
	Add        []uuid.UUID `json:"add"`
	Remove     []uuid.UUID `json:"remove"`
	RemoveAll  bool        `json:"remove_all"`
	// KeepPlaces refuses units that take the place of others. It is false in the arguments of older processes.
	KeepPlaces bool `json:"keep_places,omitempty"`
}

func runModify(ctx context.Context, env *tasking.Env, a ModifyArgs) error {
	row, err := models.Cast(ctx, env.DB, models.RepositoryMaster, a.Repository)
	if err != nil {
		return err
	}
	repo, ok := row.(models.AnyRepository)
	if !ok {
		return fmt.Errorf("rest: %T is no repository", row)
	}
	opts := &models.VersionOptions{}
	if a.Base != nil {
		if opts.Base, err = models.VersionByID(ctx, env.DB, *a.Base); err != nil {
			return err
		}
	}
	_, _, err = models.CreateVersion(ctx, env.DB, repo, opts, func(v *models.NewVersion) error {
		if a.RemoveAll {
			if _, err := v.RemoveAll(ctx); err != nil {
				return err
			}
		}
		// Pulp removes before it adds, so a unit in both lists is in the new version.
		if _, err := v.Remove(ctx, a.Remove); err != nil {
			return err
		}
		return addUnits(ctx, v, a.Add, a.KeepPlaces)
	})
	return err
}

// addUnits adds units to a version. With keepPlaces none of them may take the place of another one.
func addUnits(ctx context.Context, v *models.NewVersion, ids []uuid.UUID, keepPlaces bool) error {
	if keepPlaces {
		if err := models.CheckOverwrite(ctx, v, ids); err != nil {
			return err
		}
	}
	_, err := v.Add(ctx, ids)
	return err
}

// VersionArgs are the arguments of the task that deletes a version.
type VersionArgs struct {
	Version uuid.UUID `json:"version"`
}

func runDeleteVersion(ctx context.Context, env *tasking.Env, a VersionArgs) error {
	v, err := models.VersionByID(ctx, env.DB, a.Version)
	if err != nil {
		return err
	}
	return models.DeleteVersion(ctx, env.DB, v)
}

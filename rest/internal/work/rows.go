// Package work has the tasks behind the API's asynchronous answers.
package work

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/tasking"
)

// The tasks behind the API's asynchronous answers, under the names that clients know.
var (
	GeneralCreate = tasking.Define[RowArgs]("pulpcore.app.tasks.base.general_create")
	GeneralUpdate = tasking.Define[RowArgs]("pulpcore.app.tasks.base.general_update")
	GeneralDelete = tasking.Define[RowArgs]("pulpcore.app.tasks.base.general_delete")
	AddAndRemove  = tasking.Define[ModifyArgs]("pulpcore.app.tasks.repository.add_and_remove")
	DeleteVersion = tasking.Define[VersionArgs]("pulpcore.app.tasks.repository.delete_version")
)

// Tasks returns the tasks, bound to their functions. complete completes the units whose files a task has fetched.
func Tasks(complete CompleteFunc) []tasking.Binding {
	return []tasking.Binding{
		GeneralCreate.Bind(complete.runCreate),
		GeneralUpdate.Bind(runUpdate),
		GeneralDelete.Bind(runDelete),
		AddAndRemove.Bind(runModify),
		DeleteVersion.Bind(runDeleteVersion),
		PurgeTasks.Bind(runPurge),
	}
}

// RowArgs are the arguments of the general tasks: a row, or some of its columns.
type RowArgs struct {
	Master models.Master              `json:"master"`
	Type   string                     `json:"type"`
	ID     uuid.UUID                  `json:"id"` // zero for a row to be made
	Fields map[string]json.RawMessage `json:"fields"`

	// For content: its files, and the repository to add it to, if any.
	Files      []FileArgs `json:"files,omitempty"`
	Repository *uuid.UUID `json:"repository,omitempty"`
	KeepPlaces bool       `json:"keep_places,omitempty"` // as in ModifyArgs
}

// typeOf finds a type by its names.
func typeOf(r *models.Registry, m models.Master, name string) (models.AnyType, error) {
	for t := range r.Types() {
		if t.Master() == m && t.Name() == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("rest: no plugin has the %s type %q: %w", m, name, pulperr.Unsupported)
}

// unpack puts the columns of the arguments into a row and returns their names.
func (a RowArgs) unpack(r *models.Registry, t models.AnyType, row models.Row) ([]string, error) {
	columns := make([]string, 0, len(a.Fields))
	for _, f := range schema.ColumnsOf(r, t) {
		raw, ok := a.Fields[f.Column]
		if !ok {
			continue
		}
		if err := f.Unpack(row, raw); err != nil {
			return nil, fmt.Errorf("rest: column %s of %s: %w", f.Column, a.Type, err)
		}
		columns = append(columns, f.Column)
	}
	// The task may have been dispatched by a newer version of the plugin.
	if len(columns) < len(a.Fields) {
		return nil, fmt.Errorf("rest: type %q has not all columns that the task was given: %w", a.Type, pulperr.Unsupported)
	}
	return columns, nil
}

func (complete CompleteFunc) runCreate(ctx context.Context, env *tasking.Env, a RowArgs) error {
	t, err := typeOf(env.DB.Registry(), a.Master, a.Type)
	if err != nil {
		return err
	}
	row := t.New()
	if _, err := a.unpack(env.DB.Registry(), t, row); err != nil {
		return err
	}
	if c, ok := row.(models.AnyContent); ok {
		if err := complete.fetch(ctx, env, t, c, a.Files); err != nil {
			return err
		}
		return a.createContent(ctx, env.DB, c)
	}
	// Clients look for the new row in the record of the task, so neither is saved without the other.
	return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		if err := models.Create(ctx, tx.DB, row); err != nil {
			return err
		}
		return models.RecordCreated(ctx, tx.DB, models.PRNOf(row))
	})
}

func runUpdate(ctx context.Context, env *tasking.Env, a RowArgs) error {
	t, err := typeOf(env.DB.Registry(), a.Master, a.Type)
	if err != nil {
		return err
	}
	err = env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		row, err := models.Cast(ctx, tx.DB, a.Master, a.ID)
		if err != nil {
			return err
		}
		columns, err := a.unpack(tx.Registry(), t, row)
		if err != nil {
			return err
		}
		return models.Update(ctx, tx.DB, row, columns...)
	})
	columns := slices.Collect(maps.Keys(a.Fields))
	if err != nil || a.Master != models.RepositoryMaster || !slices.ContainsFunc(columns, Retains) {
		return err
	}
	return models.Retain(ctx, env.DB, a.ID)
}

// Retains reports whether a column limits how many versions a repository keeps. A change of it deletes the others.
func Retains(column string) bool {
	return column == "retain_repo_versions" || column == "retain_checkpoints"
}

func runDelete(ctx context.Context, env *tasking.Env, a RowArgs) error {
	row, err := models.Cast(ctx, env.DB, a.Master, a.ID)
	if err != nil {
		return err
	}
	return models.Delete(ctx, env.DB, row)
}

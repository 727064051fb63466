package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

// The tasks behind the API's asynchronous answers, under the names that clients know.
var (
	generalCreate = tasking.Define[rowArgs]("pulpcore.app.tasks.base.general_create")
	generalUpdate = tasking.Define[rowArgs]("pulpcore.app.tasks.base.general_update")
	generalDelete = tasking.Define[rowArgs]("pulpcore.app.tasks.base.general_delete")
	addAndRemove  = tasking.Define[modifyArgs]("pulpcore.app.tasks.repository.add_and_remove")
	deleteVersion = tasking.Define[versionArgs]("pulpcore.app.tasks.repository.delete_version")
)

// Tasks returns the tasks that the API dispatches, bound to their functions: give them to every worker, see
// [tasking.WorkerOptions].
func Tasks() []tasking.Binding {
	return []tasking.Binding{
		generalCreate.Bind(runCreate),
		generalUpdate.Bind(runUpdate),
		generalDelete.Bind(runDelete),
		addAndRemove.Bind(runModify),
		deleteVersion.Bind(runDeleteVersion),
		purgeTasks.Bind(runPurge),
	}
}

// rowArgs are the arguments of the general tasks: a row, or some of its columns.
type rowArgs struct {
	Master models.Master              `json:"master"`
	Type   string                     `json:"type"`
	ID     uuid.UUID                  `json:"id"` // zero for a row to be made
	Fields map[string]json.RawMessage `json:"fields"`

	// For content: the artifact it consists of, its path, and the repository to add it to, if any.
	Artifact     *uuid.UUID `json:"artifact,omitempty"`
	RelativePath string     `json:"relative_path,omitempty"`
	Repository   *uuid.UUID `json:"repository,omitempty"`
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
func (a rowArgs) unpack(r *models.Registry, t models.AnyType, row models.Row) ([]string, error) {
	columns := make([]string, 0, len(a.Fields))
	for _, f := range columnsOf(r, t) {
		raw, ok := a.Fields[f.column]
		if !ok {
			continue
		}
		if err := f.unpack(row, raw); err != nil {
			return nil, fmt.Errorf("rest: column %s of %s: %w", f.column, a.Type, err)
		}
		columns = append(columns, f.column)
	}
	if len(columns) < len(a.Fields) {
		return nil, fmt.Errorf("rest: type %q has not all columns that the task was given: %w", a.Type, pulperr.Unsupported)
	}
	return columns, nil
}

func runCreate(ctx context.Context, env *tasking.Env, a rowArgs) error {
	t, err := typeOf(env.DB.Registry(), a.Master, a.Type)
	if err != nil {
		return err
	}
	row := t.New()
	if _, err := a.unpack(env.DB.Registry(), t, row); err != nil {
		return err
	}
	if c, ok := row.(models.AnyContent); ok {
		return createContent(ctx, env, a, c)
	}
	return env.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
		if err := models.Create(ctx, tx.DB, row); err != nil {
			return err
		}
		return models.RecordCreated(ctx, tx.DB, models.PRNOf(row))
	})
}

// createContent saves a unit with its artifact and adds it to a repository. A unit that exists is not made again; it
// counts as created all the same, for that is where clients look.
func createContent(ctx context.Context, env *tasking.Env, a rowArgs, c models.AnyContent) error {
	labels := c.AsContent().Labels
	unit := &models.ContentWithFiles{Content: c}
	if a.Artifact != nil {
		unit.Files = []models.ContentFile{{RelativePath: a.RelativePath, ArtifactID: a.Artifact}}
	}
	if err := models.SaveContents(ctx, env.DB, []*models.ContentWithFiles{unit}); err != nil {
		return err
	}
	if len(labels) > 0 {
		c.AsContent().Labels = labels
		if err := models.Update(ctx, env.DB, c, "pulp_labels"); err != nil {
			return err
		}
	}
	if a.Repository != nil {
		row, err := models.Cast(ctx, env.DB, models.RepositoryMaster, *a.Repository)
		if err != nil {
			return err
		}
		repo, ok := row.(models.AnyRepository)
		if !ok {
			return fmt.Errorf("rest: %T is no repository", row)
		}
		_, _, err = models.CreateVersion(ctx, env.DB, repo, nil, func(v *models.NewVersion) error {
			_, err := v.Add(ctx, []uuid.UUID{c.PulpID()})
			return err
		})
		if err != nil {
			return err
		}
	}
	return models.RecordCreated(ctx, env.DB, models.PRNOf(c))
}

func runUpdate(ctx context.Context, env *tasking.Env, a rowArgs) error {
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
	if err != nil || a.Master != models.RepositoryMaster || !slices.ContainsFunc(columns, retains) {
		return err
	}
	return models.Retain(ctx, env.DB, a.ID)
}

// retains reports whether a column says what of a repository is kept, so that a change of it deletes the rest.
func retains(column string) bool {
	return column == "retain_repo_versions" || column == "retain_checkpoints"
}

func runDelete(ctx context.Context, env *tasking.Env, a rowArgs) error {
	row, err := models.Cast(ctx, env.DB, a.Master, a.ID)
	if err != nil {
		return err
	}
	return models.Delete(ctx, env.DB, row)
}

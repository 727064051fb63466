package rest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/rest/internal/work"
)

// NewContent is what belongs to a unit that [SaveContent] saves.
type NewContent struct {
	Files      []*File              // RelativePath and Artifact of each are required; nil for a unit without files
	Repository models.AnyRepository // to which the unit is added; nil is none
	// KeepPlaces makes the task fail if another unit of the repository has the place of the unit, see
	// [models.CheckOverwrite]. False replaces the other unit.
	KeepPlaces bool
}

// SaveContent dispatches the task that saves a unit with its files, and returns the answer for it. A function of
// [Create], or of an [Action] that makes content, ends with it. with may be nil. A unit with the same natural key is
// not made again: it is in the created_resources of the task all the same, and takes over the labels of the new one.
// The repository is reserved exclusively, because the task makes a new version of it.
//
// Errors: FieldErrors if the repository does not accept the type of the unit, or a path is not usable.
func SaveContent[X, T any](ctx context.Context, r *Request[T], unit *X, with *NewContent) (*Accepted, error) {
	if with == nil {
		with = &NewContent{}
	}
	row, ok := any(unit).(models.AnyContent)
	if !ok {
		return nil, fmt.Errorf("rest: %T is not content; give SaveContent a row of a content type", unit)
	}
	files := make([]work.FileArgs, len(with.Files))
	for i, f := range with.Files {
		if !models.ValidPath(f.RelativePath) {
			return nil, FieldErrors{"relative_path": {"Relative path is not in canonical form. " + f.RelativePath}}
		}
		files[i] = work.FileArgs{RelativePath: f.RelativePath, Artifact: &f.Artifact.ID}
	}
	if with.Repository == nil {
		return unitSaver{r.request}.save(ctx, row, destination{}, files...)
	}
	registry := r.DB.Registry()
	t, repository := typeOf(registry, row), typeOf(registry, with.Repository)
	if t != nil && repository != nil && !slices.Contains(registry.Accepts(repository), t.Name()) {
		return nil, wrongRepository(repository.Name(), t.Name())
	}
	return unitSaver{r.request}.save(ctx, row, destination{with.Repository, with.KeepPlaces}, files...)
}

func wrongRepository(repository, content string) FieldErrors {
	return FieldErrors{"repository": {
		fmt.Sprintf("Repository type '%s' does not support content type '%s'.", repository, content),
	}}
}

// typeOf returns the type of a row, also of one that was not saved, or nil if no plugin lists it.
func typeOf(r *models.Registry, row models.Row) models.AnyType {
	for t := range r.Types() {
		if reflect.TypeOf(t.New()) == reflect.TypeOf(row) {
			return t
		}
	}
	return nil
}

// multipleInput is what the body of a content unit with several files has besides the unit's own fields.
type multipleInput struct {
	Artifacts  map[string]string `json:"artifacts" rest:"required" doc:"The hrefs or PRNs of artifacts by relative path."`
	Repository uuid.UUID         `json:"repository" rest:"ref=repository" doc:"A repository to add the unit to."`
	Overwrite  bool              `json:"overwrite" rest:"default=true" doc:"Whether the unit may take the place of another one."`

	to    destination
	files []*File // in the order of their paths
}

// maxFiles bounds the files of a unit that one request makes.
const maxFiles = 1000

// MultipleArtifact returns the [Creator] of content that consists of several files. A request brings artifacts, an
// object of hrefs or PRNs by relative path, and the type's own fields, and maybe a repository to add the unit to. fill
// completes the unit from its files, which come in the order of their paths; nil adds no values. It runs within the
// request, so it must be quick. Answers show the artifacts.
func MultipleArtifact[T any](fill func(ctx context.Context, c *T, files []*File) error) Creator[T] {
	return steps[T, multipleInput]{
		fills: true,
		check: func(ctx context.Context, q *request, in *input, c *T, extra *multipleInput) (err error) {
			if err := extra.find(ctx, q, in.faults); err != nil {
				return err
			}
			extra.to, err = unitSaver{q}.destination(ctx, c, extra.Repository, in.faults)
			extra.to.keepPlaces = !extra.Overwrite
			return err
		},
		run: func(ctx context.Context, q *request, _ *input, c *T, extra *multipleInput) (any, error) {
			if fill != nil {
				if err := fill(ctx, c, extra.files); err != nil {
					return nil, err
				}
			}
			if err := (unitSaver{q}).validate(ctx, c); err != nil {
				return nil, err
			}
			files := make([]work.FileArgs, len(extra.files))
			for i, f := range extra.files {
				files[i] = work.FileArgs{RelativePath: f.RelativePath, Artifact: &f.Artifact.ID}
			}
			return unitSaver{q}.save(ctx, c, extra.to, files...)
		},
	}.creator().adjust(func(c *creation) { c.onlyContent("MultipleArtifact") })
}

// validate calls the validators of a unit that was completed.
func (q unitSaver) validate(ctx context.Context, c any) error {
	row, ok := c.(models.Row)
	if !ok {
		return fmt.Errorf("rest: %T is not a row", c)
	}
	return checkerOf(q.request).validate(ctx, row)
}

// find reads the artifacts that the body names.
func (m *multipleInput) find(ctx context.Context, q *request, faults FieldErrors) error {
	paths := slices.Sorted(maps.Keys(m.Artifacts))
	switch {
	case faults["artifacts"] != nil:
		return nil
	case len(paths) == 0:
		faults.Add("artifacts", "This field must not be empty.")
		return nil
	case len(paths) > maxFiles:
		faults.Add("artifacts", fmt.Sprintf("At most %d files are allowed, not %d.", maxFiles, len(paths)))
		return nil
	}
	keys := make([]uuid.UUID, 0, len(paths))
	for _, p := range paths {
		if !models.ValidPath(p) {
			faults.Add("artifacts", "Relative path is not in canonical form. "+wire.Shorten(p))
		}
		t, ok := q.links.Parse(m.Artifacts[p])
		if !ok || t.Kind != links.Artifact {
			faults.Add("artifacts", "URI not valid: "+wire.Shorten(m.Artifacts[p]))
		} else if err := q.mayRefer(ctx, "artifacts", links.Artifact, t.ID); err != nil {
			return err
		}
		keys = append(keys, t.ID)
	}
	if faults["artifacts"] != nil {
		return nil
	}
	var found []*models.Artifact
	err := q.db.Bun().NewSelect().Model(&found).Where("pulp_id IN (?)", bun.List(keys)).
		Where("pulp_domain_id = ?", q.db.Domain().ID).Scan(ctx)
	if err != nil {
		return fmt.Errorf("rest: read artifacts: %w", err)
	}
	byID := make(map[uuid.UUID]*models.Artifact, len(found))
	for _, a := range found {
		byID[a.ID] = a
	}
	for i, p := range paths {
		a := byID[keys[i]]
		if a == nil {
			faults.Add("artifacts", "Object does not exist: "+wire.Shorten(m.Artifacts[p]))
			continue
		}
		m.files = append(m.files, &File{RelativePath: p, Artifact: a, DB: q.db, Store: q.store})
	}
	return nil
}

// bareInput is what the body of a content unit without files has besides the unit's own fields.
type bareInput struct {
	Repository uuid.UUID `json:"repository" rest:"ref=repository" doc:"A repository to add the unit to."`
	Overwrite  bool      `json:"overwrite" rest:"default=true" doc:"Whether the unit may take the place of another one."`

	to destination
}

// NoArtifact returns the [Creator] of content without files. A request brings the type's own fields, and maybe a
// repository to add the unit to. fill completes the unit; it runs within the request, so it must be quick. Nil adds no
// values.
func NoArtifact[T any](fill func(ctx context.Context, c *T) error) Creator[T] {
	return steps[T, bareInput]{
		fills: true,
		check: func(ctx context.Context, q *request, in *input, c *T, extra *bareInput) (err error) {
			extra.to, err = unitSaver{q}.destination(ctx, c, extra.Repository, in.faults)
			extra.to.keepPlaces = !extra.Overwrite
			return err
		},
		run: func(ctx context.Context, q *request, _ *input, c *T, extra *bareInput) (any, error) {
			if fill != nil {
				if err := fill(ctx, c); err != nil {
					return nil, err
				}
			}
			if err := (unitSaver{q}).validate(ctx, c); err != nil {
				return nil, err
			}
			return unitSaver{q}.save(ctx, c, extra.to)
		},
	}.creator().adjust(func(c *creation) { c.onlyContent("NoArtifact") })
}

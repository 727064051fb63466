package rest

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
)

type publisher[T, A any] struct {
	task *tasking.Task[A]
	args func(p *T) A
}

// Publish returns the [Creator] of publications: it reads the type's own fields, and a repository, whose latest version
// is meant, or a repository version, and dispatches a plugin's task. args makes the task's arguments from the
// publication as it shall be; the version is in its RepositoryVersionID. The repository is reserved as shared.
func Publish[T, A any](t *tasking.Task[A], args func(p *T) A) Creator[T] {
	return &publisher[T, A]{t, args}
}

func (p *publisher[T, A]) creates(*T) {}

func (p *publisher[T, A]) compile(v *view) *creation {
	fields := append([]*field{
		{name: "repository_version", form: refForm, nullable: true, ref: versionKind, doc: "The version to publish."},
		{
			name: "repository", form: refForm, nullable: true, ref: string(models.RepositoryMaster),
			doc: "The repository whose latest version to publish.",
		},
	}, v.shape.input()...)
	return &creation{fields: fields, async: true, run: func(ctx context.Context, c *call) error {
		row := v.typ.New()
		repository, err := v.readPublication(ctx, c, row)
		if err != nil {
			return err
		}
		typed, ok := row.(any).(*T)
		if !ok {
			return fmt.Errorf("rest: publish: %T is not what the view %s serves", row, v.path)
		}
		o := &tasking.Options{Shared: tasking.On(repository)}
		ticket, err := p.task.Dispatch(ctx, c.queue(), p.args(typed), o)
		if err != nil {
			return err
		}
		return c.accept(ticket.TaskID)
	}}
}

// readPublication parses a body into a publication and returns its repository.
func (v *view) readPublication(ctx context.Context, c *call, row models.Row) (models.Row, error) {
	b, err := readBody(c.w, c.r, nil)
	if err != nil {
		return nil, err
	}
	faults := FieldErrors{}
	b.expect(faults, v.create.fields)
	if err := c.decode(ctx, v.shape.input(), b, row, creating, faults); err != nil {
		return nil, err
	}
	version, err := c.sourceVersion(ctx, b, faults)
	if err != nil {
		return nil, err
	}
	pub, ok := row.(models.AnyPublication)
	if !ok {
		return nil, fmt.Errorf("rest: %T is no publication", row)
	}
	if pub.AsPublication().Checkpoint && !isEmpty(b["repository_version"]) {
		faults.add(NonField, "A checkpoint is always of the latest version: specify 'repository', not 'repository_version'.")
	}
	if err := c.checkRow(ctx, v, row, faults); err != nil {
		return nil, err
	}
	pub.AsPublication().RepositoryVersionID = version.ID
	return models.Cast(ctx, c.db, models.RepositoryMaster, version.RepositoryID)
}

// sourceVersion returns the version that the repository or repository_version of a body means. Without a fault it is
// not nil.
func (c *call) sourceVersion(ctx context.Context, b body, faults FieldErrors) (*models.RepositoryVersion, error) {
	repository, version := b["repository"], b["repository_version"]
	switch {
	case isEmpty(repository) && isEmpty(version):
		faults.add(NonField, "Either the 'repository' or 'repository_version' need to be specified")
		return nil, nil
	case !isEmpty(repository) && !isEmpty(version):
		faults.add(NonField, "Either the 'repository' or 'repository_version' need to be specified but not both.")
		return nil, nil
	case isEmpty(repository):
		id, err := c.reference(ctx, "repository_version", versionKind, version, faults)
		if err != nil || id == uuid.Nil {
			return nil, err
		}
		return models.VersionByID(ctx, c.db, id)
	}
	id, err := c.reference(ctx, "repository", string(models.RepositoryMaster), repository, faults)
	if err != nil || id == uuid.Nil {
		return nil, err
	}
	return models.LatestVersion(ctx, c.db, id)
}

func isEmpty(v any) bool { return v == nil || v == "" }

// reference returns the key of the row that a member of a body names, or the zero key with a fault.
func (c *call) reference(ctx context.Context, name, kind string, raw any, faults FieldErrors) (uuid.UUID, error) {
	f := &field{name: name, form: refForm}
	text, reasons := f.parse(raw)
	var id uuid.UUID
	if reasons == nil {
		var err error
		if id, reasons, err = c.api.resolve(ctx, c.db, kind, fmt.Sprint(text)); err != nil {
			return uuid.Nil, err
		}
	}
	if reasons != nil {
		faults.add(name, reasons...)
		return uuid.Nil, nil
	}
	return id, nil
}

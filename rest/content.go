package rest

import (
	"context"
	"errors"
	"fmt"
	"mime/multipart"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/tasking"
)

type singleArtifact[T any] struct {
	fill func(ctx context.Context, c *T, a *models.Artifact) error
}

// SingleArtifact returns the [Creator] of content that consists of one file: a request brings the file, or the href of
// an artifact, a relative_path and the type's own fields, and maybe a repository to add the unit to. fill completes the
// unit from its artifact; it runs within the request, so it must be quick. Nil does nothing. Fields that are called
// like a digest on the wire, such as sha256, are filled in without it. Answers show the artifact and its digests.
func SingleArtifact[T any](fill func(ctx context.Context, c *T, a *models.Artifact) error) Creator[T] {
	return &singleArtifact[T]{fill}
}

func (s *singleArtifact[T]) creates(*T) {}

func (s *singleArtifact[T]) compile(v *view) *creation {
	digests := v.digestFields()
	for _, f := range digests {
		f.readOnly, f.required = true, false
	}
	cr := &creation{files: true, single: true, async: true, fields: slices.Clone(v.shape.input())}
	if !slices.ContainsFunc(cr.fields, func(f *field) bool { return f.name == "relative_path" }) {
		cr.fields = append(cr.fields, &field{
			name: "relative_path", form: textForm, required: true, maxLen: 255, doc: "Path of the file in the unit.",
		})
	}
	cr.fields = append(cr.fields,
		&field{name: "artifact", form: refForm, ref: artifactKind, doc: "The artifact, if it was uploaded before."},
		&field{
			name: "repository", form: refForm, ref: string(models.RepositoryMaster), doc: "A repository to add the unit to.",
		})
	cr.run = func(ctx context.Context, c *call) error {
		row := v.typ.New()
		typed, ok := row.(any).(*T)
		if !ok {
			return fmt.Errorf("rest: %T is not what the view %s serves", row, v.path)
		}
		up := &upload{}
		defer up.abort()
		b, err := readBody(c.w, c.r, up.take(ctx, c))
		if err != nil {
			return err
		}
		in, err := v.readContent(ctx, c, b, row, up)
		if err != nil {
			return err
		}
		artifact, err := in.save(ctx, c, up)
		if err != nil {
			return err
		}
		for _, f := range digests {
			f.assign(row, artifact.Get(hashlib.Algorithm(f.name)))
		}
		if s.fill != nil {
			if err := s.fill(ctx, typed, artifact); err != nil {
				return err
			}
		}
		return v.dispatchContent(ctx, c, row, in, artifact)
	}
	return cr
}

// digestFields returns the fields of a unit that are called like a digest on the wire.
func (v *view) digestFields() []*field {
	var list []*field
	for _, f := range v.shape.fields {
		if f.own && f.form == textForm && slices.Contains(digestOrder(), hashlib.Algorithm(f.name)) {
			list = append(list, f)
		}
	}
	return list
}

// contentInput is what a request for a unit said besides the unit's own fields.
type contentInput struct {
	path       string
	artifact   *models.Artifact // nil if a file was uploaded
	repository models.Row       // nil if none
}

// readContent parses the body of a request for a unit into row and what does not belong there.
func (v *view) readContent(ctx context.Context, c *call, b body, row models.Row, up *upload) (*contentInput, error) {
	faults := FieldErrors{}
	b.expect(faults, v.create.fields)
	if err := c.decode(ctx, v.shape.input(), b, row, creating, faults); err != nil {
		return nil, err
	}
	in := &contentInput{}
	in.readPath(b, faults)
	_, given := b["artifact"]
	if given == (up.writer != nil) {
		faults.add(NonField, "Exactly one of upload, artifact, file, file_url must be specified.")
	} else if given {
		id, err := c.reference(ctx, "artifact", artifactKind, b["artifact"], faults)
		if err != nil {
			return nil, err
		}
		if id != uuid.Nil {
			if in.artifact, err = c.artifact(ctx, id); err != nil {
				return nil, err
			}
		}
	}
	if raw := b["repository"]; !isEmpty(raw) {
		id, err := c.reference(ctx, "repository", string(models.RepositoryMaster), raw, faults)
		if err != nil {
			return nil, err
		}
		if id != uuid.Nil {
			if in.repository, err = c.accepting(ctx, v, id, faults); err != nil {
				return nil, err
			}
		}
	}
	return in, c.checkRow(ctx, v, row, faults)
}

func (in *contentInput) readPath(b body, faults FieldErrors) {
	f := &field{name: "relative_path", form: textForm}
	path, reasons := f.parse(b["relative_path"])
	switch text, ok := path.(string); {
	case faults["relative_path"] != nil:
	case b["relative_path"] == nil:
		faults.add("relative_path", msgRequired)
	case reasons != nil:
		faults.add("relative_path", reasons...)
	case !ok || !models.ValidPath(text):
		faults.add("relative_path", "Relative path is not in canonical form. "+text)
	default:
		in.path = text
	}
}

// accepting returns a repository if it can hold units of the view.
func (c *call) accepting(ctx context.Context, v *view, id uuid.UUID, faults FieldErrors) (models.Row, error) {
	row, err := models.Cast(ctx, c.db, models.RepositoryMaster, id)
	if err != nil {
		return nil, fmt.Errorf("rest: repository for content: %w", err)
	}
	repoView := c.api.byType[models.RepositoryMaster][row.PulpType()]
	if repoView == nil || !slices.Contains(c.db.Registry().Accepts(repoView.typ), v.typ.Name()) {
		faults.add("repository", fmt.Sprintf("Repository type '%s' does not support content type '%s'.",
			row.PulpType(), v.typ.Name()))
	}
	return row, nil
}

// save returns the artifact of the unit, with its row.
func (in *contentInput) save(ctx context.Context, c *call, up *upload) (*models.Artifact, error) {
	if in.artifact != nil {
		return in.artifact, nil
	}
	obj, err := up.writer.Commit()
	if err != nil {
		return nil, err
	}
	a := &models.Artifact{Size: obj.Size, Digests: obj.Digests}
	return a, models.SaveArtifacts(ctx, c.db, c.api.store, []*models.Artifact{a})
}

func (v *view) dispatchContent(ctx context.Context, c *call, row models.Row, in *contentInput, a *models.Artifact,
) error {
	args, err := v.pack(row, v.columns)
	if err != nil {
		return err
	}
	args.Artifact, args.RelativePath = &a.ID, in.path
	o := &tasking.Options{}
	if in.repository != nil {
		args.Repository = new(in.repository.PulpID())
		o.Exclusive = tasking.On(in.repository)
	}
	ticket, err := generalCreate.Dispatch(ctx, c.queue(), args, o)
	if err != nil {
		return err
	}
	return c.accept(ticket.TaskID)
}

// take returns the function that streams the file of a request into the store.
func (up *upload) take(ctx context.Context, c *call) fileFunc {
	return func(name string, part *multipart.Part) error {
		switch {
		case name != "file":
			return FieldErrors{name: {msgUnexpected}}
		case up.writer != nil:
			return FieldErrors{name: {"Only one file can be uploaded at a time."}}
		}
		w, err := c.api.store.NewArtifactWriter(ctx, nil)
		if err != nil {
			return err
		}
		up.writer = w
		if _, err := w.ReadFrom(part); err != nil {
			if _, ours := errors.AsType[pulperr.Kind](err); ours {
				return err
			}
			return readFault(err, "Multipart form parse error - the body is malformed or was cut off")
		}
		return nil
	}
}

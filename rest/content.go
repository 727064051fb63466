package rest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// contentInput is what the body of a content unit has besides the unit's own fields.
type contentInput struct {
	Path       string    `json:"relative_path" rest:"required,max=255" doc:"Path of the file in the unit."`
	Artifact   uuid.UUID `json:"artifact" rest:"ref=artifact" doc:"The artifact, if it was uploaded before."`
	Repository uuid.UUID `json:"repository" rest:"ref=repository" doc:"A repository to add the unit to."`

	repository models.Row // nil if none
}

// SingleArtifact returns the [Creator] of content that consists of one file: a request brings the file, or the href of
// an artifact, a relative_path and the type's own fields, and maybe a repository to add the unit to. fill completes the
// unit from its artifact; it runs within the request, so it must be quick. Nil adds no values. Fields that are called
// like a digest on the wire, such as sha256, are filled in without it. Answers show the artifact and its digests.
func SingleArtifact[T any](fill func(ctx context.Context, c *T, a *models.Artifact) error) Creator[T] {
	return Creator[T]{compile: func(v *view) *creation {
		digests := digestFields(v.answers.fields)
		// The server computes the digests, so a request must not give them.
		for _, f := range digests {
			f.ReadOnly, f.Required = true, false
		}
		create := newCreator(true, func(ctx context.Context, q *request, in *input, c *T, extra *contentInput) error {
			return extra.check(ctx, q, v, in, c)
		}, func(ctx context.Context, q *request, in *input, c *T, extra *contentInput) (any, error) {
			artifact, err := extra.artifact(ctx, q, in)
			if err != nil {
				return nil, err
			}
			for _, f := range digests {
				f.Assign(c, artifact.Get(hashlib.Algorithm(f.Name)))
			}
			if fill != nil {
				if err := fill(ctx, c, artifact); err != nil {
					return nil, err
				}
			}
			return extra.dispatch(ctx, q, v, c, artifact)
		}).compile(v)
		create.single = true
		if create.master != models.ContentMaster {
			create.fault("only content is created by rest.SingleArtifact; use rest.Create")
		}
		return create
	}}
}

// digestFields returns the fields of a unit that are called like a digest on the wire.
func digestFields(fields []*schema.Field) []*schema.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f *schema.Field) bool {
		return !f.Own || f.Form != schema.Text || !slices.Contains(core.Algorithms(), hashlib.Algorithm(f.Name))
	})
}

// check adds the faults of the path, of the artifact and of the repository.
func (c *contentInput) check(ctx context.Context, q *request, v *view, in *input, row any) error {
	for _, f := range v.answers.fields {
		if f.Name == "relative_path" {
			c.Path = fmt.Sprint(f.Value(row)) // the unit has the path among its own fields
		}
	}
	switch {
	case in.faults["relative_path"] != nil:
	case c.Path == "":
		in.faults.Add("relative_path", wire.MsgRequired)
	case !models.ValidPath(c.Path):
		in.faults.Add("relative_path", "Relative path is not in canonical form. "+c.Path)
	}
	// An artifact that is null counts as given: the client meant to name one.
	if in.has("artifact") == (in.upload != nil) {
		in.faults.Add(NonField, "Exactly one of upload, artifact, file, file_url must be specified.")
	}
	// A repository that does not exist was refused when its href was resolved.
	if c.Repository == uuid.Nil {
		return nil
	}
	var err error
	if c.repository, err = models.Cast(ctx, q.db, models.RepositoryMaster, c.Repository); err != nil {
		return fmt.Errorf("rest: repository for content: %w", err)
	}
	repository := q.view(models.RepositoryMaster, c.repository.PulpType())
	if repository == nil || !slices.Contains(q.db.Registry().Accepts(repository.typ.AnyType), v.typ.Name()) {
		in.faults.Add("repository", fmt.Sprintf("Repository type '%s' does not support content type '%s'.",
			c.repository.PulpType(), v.typ.Name()))
	}
	return nil
}

// artifact returns the artifact of the unit, with its row.
func (c *contentInput) artifact(ctx context.Context, q *request, in *input) (*models.Artifact, error) {
	if in.upload != nil {
		return in.upload.Save(ctx)
	}
	a := new(models.Artifact)
	// The href was resolved within the domain, so the key is enough here.
	err := q.db.Bun().NewSelect().Model(a).Where("pulp_id = ?", c.Artifact).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) { // it was deleted after its href was read
		return nil, wire.NotFound("Artifact")
	}
	if err != nil {
		return nil, fmt.Errorf("rest: read artifact: %w", err)
	}
	return a, nil
}

// dispatch dispatches the task that saves a unit.
func (c *contentInput) dispatch(
	ctx context.Context, q *request, v *view, unit any, a *models.Artifact,
) (*Accepted, error) {
	row, ok := unit.(models.Row)
	if !ok {
		return nil, fmt.Errorf("rest: %T is not a row", unit)
	}
	args, err := rowWriter{v}.pack(row, v.columns)
	if err != nil {
		return nil, err
	}
	args.Artifact, args.RelativePath = &a.ID, c.Path
	o := &tasking.DispatchOptions{}
	if c.repository != nil {
		args.Repository = new(c.repository.PulpID())
		// The task makes a new version of the repository.
		o.Exclusive = tasking.On(c.repository)
	}
	return q.ticket(work.GeneralCreate.Dispatch(ctx, q.tasks(), args, o))
}

// artifactInput is what the body of an artifact has besides the file, all to be verified.
type artifactInput struct {
	Size   *int64  `json:"size" rest:"min=0" doc:"Size in bytes."`
	MD5    *string `json:"md5" rest:"blank" doc:"The md5 digest, to be verified."`
	SHA1   *string `json:"sha1" rest:"blank" doc:"The sha1 digest, to be verified."`
	SHA224 *string `json:"sha224" rest:"blank" doc:"The sha224 digest, to be verified."`
	SHA256 *string `json:"sha256" rest:"blank" doc:"The sha256 digest, to be verified."`
	SHA384 *string `json:"sha384" rest:"blank" doc:"The sha384 digest, to be verified."`
	SHA512 *string `json:"sha512" rest:"blank" doc:"The sha512 digest, to be verified."`
}

// createArtifact verifies size and digests of the uploaded file before the bytes get their place in the store. In the
// body the file may come before them.
func createArtifact(ctx context.Context, r *Request[models.Artifact], in *artifactInput) (*core.Artifact, error) {
	if r.upload == nil {
		return nil, FieldErrors{"file": {"No file was submitted."}}
	}
	expect, err := in.expect(r.DB.Checksums())
	if err != nil {
		return nil, err
	}
	if err := mismatch(expect.Check(r.upload.Digests(), r.upload.Size())); err != nil {
		return nil, err
	}
	sha256 := r.upload.Digests().SHA256
	exists := FieldErrors{NonField: {"Artifact with sha256 checksum of '" + sha256 + "' already exists."}}
	// Asked before the bytes are committed, which would be wasted work for a file that is there.
	n, err := r.DB.Bun().NewSelect().Model((*models.Artifact)(nil)).Where("sha256 = ?", sha256).
		Where("pulp_domain_id = ?", r.DB.Domain().ID).Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("rest: look for the artifact: %w", err)
	}
	if n > 0 {
		return nil, exists
	}
	a, isNew, err := r.upload.save(ctx)
	if err != nil {
		return nil, err
	}
	// Another request has saved the same bytes after the look-up above.
	if !isNew {
		return nil, exists
	}
	out := core.ArtifactOf(r.DB, r.links, a)
	r.request.location = string(out.Href)
	return &out, nil
}

// expect returns size and digests that the file must have.
func (in *artifactInput) expect(allowed *hashlib.Checksums) (*hashlib.Expect, error) {
	expect := &hashlib.Expect{Size: in.Size}
	faults := FieldErrors{}
	for i, given := range []*string{in.MD5, in.SHA1, in.SHA224, in.SHA256, in.SHA384, in.SHA512} {
		alg := core.Algorithms()[i]
		switch {
		case given == nil || *given == "":
		case !allowed.Allowed(alg):
			faults.Add(NonField, "Checksum algorithms "+string(alg)+" are not allowed.")
		case len(*given) != alg.HexLen() || strings.Trim(strings.ToLower(*given), "0123456789abcdef") != "":
			faults.Add(string(alg), fmt.Sprintf("Ensure this field is a digest of %d hex characters.", alg.HexLen()))
		default:
			expect.Digests.Set(alg, *given)
		}
	}
	return expect, faults.OrNil()
}

// mismatch turns the error of a wrong size or digest into Pulp's words.
func mismatch(err error) error {
	if d, ok := errors.AsType[*hashlib.DigestMismatchError](err); ok {
		return FieldErrors{NonField: {"The " + string(d.Algorithm) + " checksum did not match."}}
	}
	if _, ok := errors.AsType[*hashlib.SizeMismatchError](err); ok {
		return FieldErrors{NonField: {"The size did not match."}}
	}
	return err
}

package rest

import (
	"context"
	"errors"
	"fmt"
	"mime/multipart"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/storage"
)

// Upload is the file that a request brought. Its bytes are on their way into the store; they are dropped after the
// request unless Save was called.
type Upload struct {
	name     string
	writer   *storage.Writer
	db       *models.DB
	store    *storage.Store
	artifact *models.Artifact // nil until it is saved
}

// Name returns what the client called the file, without folders.
func (u *Upload) Name() string { return u.name }

// Open returns the bytes of the file, which is saved before, as by Save. The caller closes them.
//
// Errors: those of Save and of [File.Open].
func (u *Upload) Open(ctx context.Context) (*FileBytes, error) {
	f, err := u.File(ctx, u.name)
	if err != nil {
		return nil, err
	}
	return f.Open(ctx)
}

// File saves the file, as Save does, and returns it as what a unit has at relativePath.
func (u *Upload) File(ctx context.Context, relativePath string) (*File, error) {
	a, err := u.Save(ctx)
	if err != nil {
		return nil, err
	}
	return &File{RelativePath: relativePath, Name: u.name, Artifact: a, DB: u.db, Store: u.store}, nil
}

// Size returns the number of bytes.
func (u *Upload) Size() int64 { return u.writer.Size() }

// Digests returns the digests of all allowed algorithms.
func (u *Upload) Digests() hashlib.Digests { return u.writer.Digests() }

// Save puts the file into the store and returns its artifact, which is an older one if the file was there already.
// Further calls return the same artifact.
func (u *Upload) Save(ctx context.Context) (*models.Artifact, error) {
	if u.artifact != nil {
		return u.artifact, nil
	}
	a, _, err := u.save(ctx)
	if err != nil {
		return nil, err
	}
	u.artifact = a
	return a, nil
}

// Temporary puts the file into the store as a temporary file, for a task that gets its ID, and compares it with what
// expect says, if it is not nil. The task turns it into an artifact by [models.ArtifactFromTemporaryFile], or deletes
// it; one that is left is removed after TMPFILE_PROTECTION_TIME, and stays if that is 0. An upload is either saved or
// temporary. Mirrors PulpTemporaryFile.init_and_validate and save.
//
// Errors: FieldErrors for a file of another size or with other digests; Unsupported for a digest that is not allowed.
func (u *Upload) Temporary(ctx context.Context, expect *hashlib.Expect) (*models.TemporaryFile, error) {
	tf, err := models.CommitTemporaryFile(ctx, u.db, u.store, u.writer, expect)
	return tf, mismatch(err)
}

// save is Save; isNew is false for an artifact that existed.
func (u *Upload) save(ctx context.Context) (a *models.Artifact, isNew bool, err error) {
	obj, err := u.writer.Commit()
	if err != nil {
		return nil, false, err
	}
	id := models.NewID()
	a = &models.Artifact{Size: obj.Size, Digests: obj.Digests}
	a.ID = id
	err = models.SaveArtifacts(ctx, u.db, u.store, []*models.Artifact{a})
	// SaveArtifacts replaces the key by that of an artifact with the same bytes, if there is one.
	return a, a.ID == id, err
}

// SaveUpload reads the form of a request to a route, which has a file in one of its fields, completes a content unit
// from the file and dispatches the task that saves both: what [SingleArtifact] does, for clients with a form of their
// own. The path of the file in the unit is what the client calls the file. Further fields of the form are not read, and
// a further file is refused. repository may be nil; see also [SaveContent].
//
// Errors: FieldErrors for the field if it has no file, or its name cannot be a path; those of the unit's
// [FileInitializer] and of its validators; those of SaveContent.
func SaveUpload[X, T any](
	ctx context.Context, r *Request[T], field string, unit *X, repository models.AnyRepository,
) (*Accepted, error) {
	row, ok := any(unit).(models.AnyContent)
	if !ok {
		return nil, fmt.Errorf("rest: %T is not content; give SaveUpload a row of a content type", unit)
	}
	in := &input{}
	// The file is dropped unless it was saved.
	defer in.close()
	if _, err := wire.ReadBody(r.request.w, r.HTTP, in.take(ctx, r.request, field)); err != nil {
		return nil, err
	}
	if in.upload == nil {
		return nil, FieldErrors{field: {"No file was submitted."}}
	}
	if !models.ValidPath(in.upload.name) {
		return nil, FieldErrors{field: {"Relative path is not in canonical form. " + in.upload.name}}
	}
	f, err := in.upload.File(ctx, in.upload.name)
	if err != nil {
		return nil, err
	}
	digests, err := digestFieldsOf(r.DB.Registry(), typeOf(r.DB.Registry(), row))
	if err != nil {
		return nil, err
	}
	if err := completeFrom(ctx, unit, f, digests, nil); err != nil {
		return nil, err
	}
	return SaveContent(ctx, r, unit, &NewContent{Files: []*File{f}, Repository: repository})
}

// take returns the function that streams the file in a field of a request into the store.
func (in *input) take(ctx context.Context, q *request, field string) wire.FileFunc {
	return func(name string, part *multipart.Part) error {
		switch {
		case name != field:
			return FieldErrors{name: {wire.MsgUnexpected}}
		case in.upload != nil:
			return FieldErrors{name: {"Only one file can be uploaded at a time."}}
		}
		w, err := q.store.NewArtifactWriter(ctx, nil)
		if err != nil {
			return err
		}
		// The field is set before the bytes are read, so that close drops them if the body is cut off.
		in.upload = &Upload{name: part.FileName(), writer: w, db: q.db, store: q.store}
		if _, err := w.ReadFrom(part); err != nil {
			// An error with a kind comes from the store. The client has caused every other one by its body.
			if _, ours := errors.AsType[pulperr.Kind](err); ours {
				return err
			}
			return wire.BodyFault(err, "Multipart form parse error - the body is malformed or was cut off")
		}
		return nil
	}
}

// close drops a file that was not saved.
func (in *input) close() {
	if in.upload != nil {
		_ = in.upload.writer.Abort() // bytes that stay behind are swept later
	}
}

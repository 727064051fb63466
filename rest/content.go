package rest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/rest/internal/work"
	"github.com/pulpgo/pulpcore/tasking"
)

// singleInput is what the body of a content unit with one file has besides the unit's own fields.
type singleInput struct {
	Path       string    `json:"relative_path" rest:"required,max=255" doc:"Path of the file in the unit."`
	Artifact   uuid.UUID `json:"artifact" rest:"ref=artifact" doc:"The artifact, if it was uploaded before."`
	FileURL    string    `json:"file_url" doc:"An http or https URL that a task fetches the file from."`
	Repository uuid.UUID `json:"repository" rest:"ref=repository" doc:"A repository to add the unit to."`
	Overwrite  bool      `json:"overwrite" rest:"default=true" doc:"Whether the unit may take the place of another one."`

	Network *work.NetworkConfig `json:"downloader_config" doc:"How file_url is fetched; without one it has no effect."`

	to     destination
	source *work.Source // of FileURL, nil if none
}

// SingleArtifact returns the [Creator] of content that consists of one file. A request brings the file, the href of an
// artifact, or as file_url the URL of the file; a relative_path and the type's own fields; and maybe a repository to
// add the unit to. It is answered with 202, and the created unit is in the created_resources of the task. Answers show
// the artifact and its digests.
//
// When the bytes are in the store, fields that are called like a digest on the wire, such as sha256, are set; then fill
// completes the unit from its file. It runs within the request, so it must be quick. With fill nil the type's own
// [FileInitializer] does that, if it has one. The validators see the completed unit.
//
// With overwrite false, adding the unit to the repository fails if another unit has its place there, see
// [models.CheckOverwrite]. downloader_config has the network settings of a remote, for the file_url.
//
// A file_url is taken only with fill nil: a task fetches the file, and a task knows the type and not the Creator. User
// and password in the URL are used as such and stored encrypted.
func SingleArtifact[T any](fill func(ctx context.Context, c *T, f *File) error) Creator[T] {
	return Creator[T]{compile: func(v *view) *creation {
		digests := digestFields(v.answers.fields)
		// The server computes the digests, so a request must not give them.
		for _, f := range digests {
			f.ReadOnly, f.Required = true, false
		}
		create := steps[T, singleInput]{
			files: true, fills: true,
			check: func(ctx context.Context, q *request, in *input, c *T, extra *singleInput) error {
				return extra.check(ctx, q, v, in, c)
			},
			run: func(ctx context.Context, q *request, in *input, c *T, extra *singleInput) (any, error) {
				args := work.FileArgs{RelativePath: extra.Path, Source: extra.source}
				if extra.source == nil {
					f, err := extra.file(ctx, q, in)
					if err != nil {
						return nil, err
					}
					if err := completeFrom(ctx, c, f, digests, fill); err != nil {
						return nil, err
					}
					args.Artifact = &f.Artifact.ID
				}
				return unitSaver{q}.save(ctx, c, extra.to, args)
			},
		}.creator().compile(v)
		create.single = true
		if fill != nil {
			create.fields = slices.DeleteFunc(create.fields, func(f *schema.Field) bool {
				return f.Name == "file_url" || f.Name == "downloader_config"
			})
		}
		create.onlyContent("SingleArtifact")
		return create
	}}
}

// onlyContent notes a fault if the view is for another master.
func (c *creation) onlyContent(name string) {
	if c.master != models.ContentMaster {
		c.fault("only content is created by rest.%s; use rest.Create", name)
	}
}

// digestFields returns the fields of a unit that are called like a digest on the wire.
func digestFields(fields []*schema.Field) []*schema.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f *schema.Field) bool {
		return !f.Own || f.Form != schema.Text || !slices.Contains(core.Algorithms(), hashlib.Algorithm(f.Name))
	})
}

// digestFieldsOf is [digestFields] of a type whose view is not at hand.
func digestFieldsOf(r *models.Registry, t models.AnyType) ([]*schema.Field, error) {
	if t == nil {
		return nil, errors.New("rest: no plugin lists the type of the unit; add it to Models")
	}
	fields, faults := schema.FieldsOf(r, t)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("rest: type %q: %w", t.Name(), err)
	}
	return digestFields(fields), nil
}

// completeFrom completes a unit from its file and validates it.
func completeFrom[T any](
	ctx context.Context, c *T, f *File, digests []*schema.Field, fill func(ctx context.Context, c *T, f *File) error,
) error {
	for _, d := range digests {
		d.Assign(c, f.Artifact.Get(hashlib.Algorithm(d.Name)))
	}
	row, ok := any(c).(models.Row)
	if !ok {
		return fmt.Errorf("rest: %T is not a row", c)
	}
	own, ok := any(c).(FileInitializer)
	var err error
	switch {
	case fill != nil:
		err = fill(ctx, c, f)
	case ok:
		err = own.InitializeFromFile(ctx, f)
	}
	if err != nil {
		return err
	}
	return checker{db: f.DB}.validate(ctx, row)
}

// completeFetched completes a unit in the task that has fetched its file. It is [completeFrom] for a type that is known
// by its name only.
func completeFetched(ctx context.Context, env *tasking.Env, t models.AnyType, unit models.AnyContent, at work.FileArgs,
	a *models.Artifact,
) error {
	digests, err := digestFieldsOf(env.DB.Registry(), t)
	if err != nil {
		return err
	}
	for _, d := range digests {
		d.Assign(unit, a.Get(hashlib.Algorithm(d.Name)))
	}
	f := &File{RelativePath: at.RelativePath, Name: at.Source.Name(), Artifact: a, DB: env.DB, Store: env.Store}
	if own, ok := unit.(FileInitializer); ok {
		if err := own.InitializeFromFile(ctx, f); err != nil {
			return err
		}
	}
	return checker{db: env.DB}.validate(ctx, unit)
}

// check adds the faults of the path, of the file and of the repository.
func (c *singleInput) check(ctx context.Context, q *request, v *view, in *input, row any) (err error) {
	for _, f := range v.answers.fields {
		if f.Name == "relative_path" && !f.ReadOnly {
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
	sources := 0
	// An artifact that is null counts as given: the client meant to name one.
	for _, given := range []bool{in.has("artifact"), in.has("file_url"), in.upload != nil} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		in.faults.Add(NonField, "Exactly one of upload, artifact, file, file_url must be specified.")
	}
	if c.FileURL != "" && in.faults["file_url"] == nil {
		var reason string
		if c.source, reason = sourceOf(c.FileURL); reason != "" {
			in.faults.Add("file_url", reason)
		} else {
			c.source.Network = c.Network
			c.checkNetwork(q, in.faults)
		}
	}
	c.to, err = unitSaver{q}.destination(ctx, row, c.Repository, in.faults)
	c.to.keepPlaces = !c.Overwrite
	return err
}

// checkNetwork adds the faults of downloader_config: the checks of remotes judge a remote with the same settings.
func (c *singleInput) checkNetwork(q *request, faults FieldErrors) {
	if c.Network == nil {
		return
	}
	if c.source.Username+c.source.Password != "" && c.Network.Username != nil {
		faults.Add("downloader_config", "username: The file_url has credentials already.")
	}
	found := wire.ValidationFaults(c.source.Config(q.db.Checksums()).Validate())
	for _, name := range slices.Sorted(maps.Keys(found)) {
		for _, reason := range found[name] {
			faults.Add("downloader_config", name+": "+reason)
		}
	}
}

// sourceOf reads a file_url, or returns the reason why it is refused.
func sourceOf(raw string) (*work.Source, string) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "Enter a valid URL." // the parser's error quotes the password
	}
	s := &work.Source{}
	if u.User != nil {
		s.Username = u.User.Username()
		s.Password, _ = u.User.Password()
		u.User = nil
	}
	s.URL = u.String()
	// No import paths: a file on this machine is not the client's.
	if fault, ok := errors.AsType[*pulperr.ValidationError](download.CheckURL(s.URL, nil)); ok {
		return nil, fault.Reason
	}
	return s, ""
}

// destination is where a new unit goes besides its table.
type destination struct {
	repository models.Row // nil for none
	keepPlaces bool       // no unit of the repository may be replaced
}

// unitSaver is what the creators of content share.
type unitSaver struct{ *request }

// destination returns the repository that a unit is added to, none for the zero key.
func (q unitSaver) destination(
	ctx context.Context, unit any, id uuid.UUID, faults FieldErrors,
) (to destination, err error) {
	// A repository that does not exist was refused when its href was resolved.
	if id == uuid.Nil {
		return to, nil
	}
	row, err := models.Cast(ctx, q.db, models.RepositoryMaster, id)
	if err != nil {
		return to, fmt.Errorf("rest: repository for content: %w", err)
	}
	content, ok := unit.(models.Row)
	if !ok {
		return to, fmt.Errorf("rest: %T is not a row", unit)
	}
	registry := q.db.Registry()
	t, repository := typeOf(registry, content), typeOf(registry, row)
	if t != nil && repository != nil && !slices.Contains(registry.Accepts(repository), t.Name()) {
		faults.Add("repository", wrongRepository(repository.Name(), t.Name())["repository"]...)
	}
	to.repository = row
	return to, nil
}

// file returns the file of the unit, which is in the store then.
func (c *singleInput) file(ctx context.Context, q *request, in *input) (*File, error) {
	if in.upload != nil {
		return in.upload.File(ctx, c.Path)
	}
	a, err := unitSaver{q}.artifact(ctx, c.Artifact)
	if err != nil {
		return nil, err
	}
	return &File{RelativePath: c.Path, Artifact: a, DB: q.db, Store: q.store}, nil
}

// artifact returns the row of an artifact whose href was resolved within the domain, so the key is enough here.
func (q unitSaver) artifact(ctx context.Context, id uuid.UUID) (*models.Artifact, error) {
	a := new(models.Artifact)
	err := q.db.Bun().NewSelect().Model(a).Where("pulp_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) { // it was deleted after its href was read
		return nil, wire.NotFound("Artifact")
	}
	if err != nil {
		return nil, fmt.Errorf("rest: read artifact: %w", err)
	}
	return a, nil
}

// save dispatches the task that saves a unit with its files and adds it to a repository, if there is one.
func (q unitSaver) save(
	ctx context.Context, unit any, to destination, files ...work.FileArgs,
) (*Accepted, error) {
	row, ok := unit.(models.AnyContent)
	if !ok {
		return nil, fmt.Errorf("rest: %T is not content", unit)
	}
	t := typeOf(q.db.Registry(), row)
	if t == nil {
		return nil, fmt.Errorf("rest: no plugin lists the content type %T; add it to Models", unit)
	}
	args, err := pack(t, row, schema.ColumnsOf(q.db.Registry(), t))
	if err != nil {
		return nil, err
	}
	args.Files = files
	o := &tasking.DispatchOptions{}
	if to.repository != nil {
		args.Repository, args.KeepPlaces = new(to.repository.PulpID()), to.keepPlaces
		// The task makes a new version of the repository.
		o.Exclusive = tasking.On(to.repository)
	}
	return q.ticket(work.GeneralCreate.Dispatch(ctx, q.tasks(), args, o))
}

package gomod

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// uploadInput is what the body of an upload has besides the file.
type uploadInput struct {
	Repository uuid.UUID `json:"repository" rest:"ref=repository" doc:"A repository to add the module version to."`
}

// upload creates a module version from its zip, which names module and version.
func upload(ctx context.Context, r *rest.Request[Module], in *uploadInput) (*rest.Accepted, error) {
	up := r.Upload()
	if up == nil {
		return nil, rest.FieldErrors{"file": {"This field is required."}}
	}
	if up.Size() > modzip.MaxZipFile {
		return nil, rest.FieldErrors{"file": {fmt.Sprintf("A module zip has at most %d bytes.", int64(modzip.MaxZipFile))}}
	}
	f, err := up.File(ctx, "")
	if err != nil {
		return nil, err
	}
	path, err := f.CopyTo(ctx, r.DB.Settings().Core().WorkingDirectory)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	m := r.Row
	mod, err := m.read(path)
	if err != nil {
		return nil, rest.FieldErrors{"file": {pulperr.Message(err)}}
	}
	f.RelativePath = m.file("zip")
	with := &rest.NewContent{Files: []*rest.File{f}}
	if in.Repository != uuid.Nil {
		row, err := models.Cast(ctx, r.DB, models.RepositoryMaster, in.Repository)
		if err != nil {
			return nil, err
		}
		with.Repository = row.(models.AnyRepository)
	}
	for kind, body := range map[string][]byte{"info": m.info(), "mod": mod} {
		a, err := models.NewArtifact(ctx, r.DB, r.Store, bytes.NewReader(body), nil)
		if err != nil {
			return nil, err
		}
		with.Files = append(with.Files, &rest.File{RelativePath: m.file(kind), Artifact: a})
	}
	return rest.SaveContent(ctx, r, m, with)
}

// read sets the fields of a module version from its zip, and returns its go.mod.
func (m *Module) read(file string) (mod []byte, err error) {
	r, err := zip.OpenReader(file)
	if err != nil || len(r.File) == 0 {
		return nil, pulperr.Public(pulperr.Invalid, "The file is not a zip, or has no files.")
	}
	defer r.Close()
	// Each name begins with "<module>@<version>/", which the check of the zip proves.
	var version string
	m.Path, version, _ = strings.Cut(r.File[0].Name, "@")
	m.Version, _, _ = strings.Cut(version, "/")
	if err := checkVersion(m.Path, m.Version); err != nil {
		return nil, pulperr.Public(pulperr.Invalid, "The zip is of module %q and version %q: %v", m.Path, m.Version, err)
	}
	if t, err := module.PseudoVersionTime(m.Version); err == nil {
		m.Time = &t
	}
	if mod, err = checkZip(m.Path, m.Version, file); err != nil {
		return nil, err
	}
	if path := modfile.ModulePath(mod); path != m.Path {
		return nil, m.invalid("the go.mod in the zip is for module %q", path)
	}
	return mod, m.verify(mod, file)
}

// Package minimal is a whole plugin in less than a hundred lines of code: a content type, a remote, a repository, a
// sync and their REST views. Start a plugin of your own from a copy of it.
//
// A remote names a manifest, a list of "path,sha256,size" lines. The sync declares one [Content] for each line, and the
// stages of the library download, store and associate it. [Plugin] is given to pulpcore.Open:
//
//	app, err := pulpcore.Open(ctx, set, minimal.Plugin())
//
// The type names are those of a plugin "note", so content lies at /pulp/api/v3/content/note/notes/.
package minimal

import (
	"context"
	"io/fs"
	"net/url"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// Content is one file, unique by path and digest.
type Content struct {
	models.Content
	RelativePath string `json:"relative_path" pulp:"natural,repo" doc:"Path within the repository."`
	Digest       string `json:"digest" pulp:"natural,len=64" doc:"SHA-256, lowercase hex."`
}

// The other types of the plugin have no fields of their own.
type (
	Remote     struct{ models.Remote }     // URL names a manifest
	Repository struct{ models.Repository } // one file per relative path
	SyncArgs   = stages.SyncArgs[Remote, Repository]
)

// A type or a task is a value, by which its rows are read and written and the task is dispatched.
var (
	Contents     = models.Define[Content]("note.note")
	Remotes      = models.Define[Remote]("note.note")
	Repositories = models.Define[Repository]("note.note", models.Accepts(Contents), models.SyncsFrom(Remotes))
	Sync         = tasking.Define[SyncArgs]("note.sync")
	filters      = rest.Filters{"relative_path": rest.NameFilter()}
	actions      = []rest.Action[Repository]{rest.Sync(Sync)}
)

// Plugin describes this plugin to pulpcore.Open.
func Plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name:    "note",
		Version: "1.0.0",
		Models:  []models.AnyType{Contents, Remotes, Repositories},
		Tasks:   []tasking.Binding{Sync.Bind(synchronize)},
		Views: []rest.View{
			rest.ViewSet[Content]{Type: Contents, Name: "notes", Filters: filters},
			rest.ViewSet[Remote]{Type: Remotes, Name: "note"},
			rest.ViewSet[Repository]{Type: Repositories, Name: "note", Actions: actions},
		},
	}
}

// synchronize is the task [Sync]: it makes a new repository version from the lines of the manifest.
func synchronize(ctx context.Context, env *tasking.Env, a SyncArgs) error {
	remote, err := Remotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repo, err := Repositories.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	version := stages.DeclarativeVersion{Repository: repo, First: &manifest{env, remote}, Mirror: a.Mirror}
	_, _, err = version.Create(ctx, env)
	return err
}

// manifest is the first stage: it declares one Content per line of the remote's manifest.
type manifest struct {
	env    *tasking.Env
	remote *Remote
}

func (m *manifest) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	base, err := url.Parse(m.remote.URL)
	if err != nil {
		return pulperr.Public(pulperr.Invalid, "remote %q: the url cannot be parsed", m.remote.Name)
	}
	res, err := m.env.Fetch(ctx, m.remote, m.remote.URL, nil)
	if err != nil {
		return err
	}
	return m.env.Progress(ctx, "Parsing Metadata Lines", "sync.parsing.metadata", func(p *tasking.Progress) error {
		for e, err := range readManifest(res.Path) {
			if err != nil {
				return err
			}
			if !fs.ValidPath(e.Path) {
				return pulperr.Public(pulperr.Invalid, "manifest line %d: %q is not a relative path", e.Line, e.Path)
			}
			dc := &stages.DeclarativeContent{
				Content: &Content{RelativePath: e.Path, Digest: e.SHA256},
				Artifacts: []*stages.DeclarativeArtifact{{
					Artifact:     &models.Artifact{Size: e.Size, Digests: hashlib.SHA256Hex(e.SHA256)},
					URLs:         []string{base.ResolveReference(&url.URL{Path: e.Path}).String()},
					RelativePath: e.Path,
					Remote:       m.remote,
					Deferred:     m.remote.Policy != models.Immediate,
				}},
			}
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			p.Add(1)
		}
		return nil
	})
}

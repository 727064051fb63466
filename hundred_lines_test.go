package pulpcore_test

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

// This file is a whole plugin: content, remote, repository, sync and REST views. It may not grow beyond a hundred
// lines of code; TestHundredLines counts them.

// Note is one file, unique by path and digest.
type Note struct {
	models.Content
	RelativePath string `json:"relative_path" pulp:"natural,repo" doc:"Path within the repository."`
	Digest       string `json:"digest" pulp:"natural,len=64" doc:"SHA-256, lowercase hex."`
}

type (
	NoteRemote     struct{ models.Remote }     // URL names a PULP_MANIFEST
	NoteRepository struct{ models.Repository } // one file per relative path
	NoteSyncArgs   = stages.SyncArgs[NoteRemote, NoteRepository]
)

var (
	Notes        = models.Define[Note]("note.note")
	NoteRemotes  = models.Define[NoteRemote]("note.note")
	Notebooks    = models.Define[NoteRepository]("note.note", models.Accepts(Notes), models.SyncsFrom(NoteRemotes))
	NoteSync     = tasking.Define[NoteSyncArgs]("note.sync")
	noteFilters  = rest.Filters{"relative_path": rest.NameFilter()}
	noteSyncings = []rest.Action[NoteRepository]{rest.Sync(NoteSync)}
)

// NotePlugin describes this plugin to pulpcore.Open.
func NotePlugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name:    "note",
		Version: "1.0.0",
		Models:  []models.AnyType{Notes, NoteRemotes, Notebooks},
		Tasks:   []tasking.Binding{NoteSync.Bind(synchronize)},
		Views: []rest.View{
			rest.ViewSet[Note]{Type: Notes, Name: "notes", Filters: noteFilters},
			rest.ViewSet[NoteRemote]{Type: NoteRemotes, Name: "note"},
			rest.ViewSet[NoteRepository]{Type: Notebooks, Name: "note", Actions: noteSyncings},
		},
	}
}

func synchronize(ctx context.Context, env *tasking.Env, a NoteSyncArgs) error {
	remote, err := NoteRemotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repo, err := Notebooks.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	version := stages.DeclarativeVersion{Repository: repo, First: &manifest{env, remote}, Mirror: a.Mirror}
	_, _, err = version.Create(ctx, env)
	return err
}

// manifest is the first stage: it declares one Note per line of the remote's manifest.
type manifest struct {
	env    *tasking.Env
	remote *NoteRemote
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
				return pulperr.Public(pulperr.Invalid, "manifest line %d: %q is no relative path", e.Line, e.Path)
			}
			dc := &stages.DeclarativeContent{
				Content: &Note{RelativePath: e.Path, Digest: e.SHA256},
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

// Package file is a plugin for plain files: repositories of files that are listed in a PULP_MANIFEST upstream, and
// published with a manifest of their own.
package file

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/download"
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
	Digest       string `bun:"sha256" json:"sha256" pulp:"natural,len=64" doc:"SHA-256, lowercase hex."`
}

// The plugin's other models.
type (
	// Remote is an upstream whose URL names a PULP_MANIFEST.
	Remote struct{ models.Remote }

	// Repository holds one file per relative path.
	Repository struct{ models.Repository }

	// Publication serves the files of a version and a manifest of them.
	Publication struct {
		models.Publication
		Manifest string `json:"manifest" doc:"File name of the manifest. Default \"PULP_MANIFEST\"."`
	}

	// Distribution serves a publication, or the newest one of a repository.
	Distribution struct{ models.Distribution }
)

// The arguments of the plugin's tasks.
type (
	// SyncArgs are the arguments of [Sync].
	SyncArgs = stages.SyncArgs[Remote, Repository]

	// PublishArgs are the arguments of [Publish].
	PublishArgs = stages.PublishArgs[Publication]
)

// The plugin's types and tasks.
var (
	Files         = models.Define[Content]("file.file")
	Remotes       = models.Define[Remote]("file.file")
	Repositories  = models.Define[Repository]("file.file", models.Accepts(Files), models.SyncsFrom(Remotes))
	Publications  = models.Define[Publication]("file.file")
	Distributions = models.Define[Distribution]("file.file")

	Sync    = tasking.Define[SyncArgs]("file.synchronize")
	Publish = tasking.Define[PublishArgs]("file.publish")
)

// migrations are the tables of the types. TestMigrations fails if they lag behind, and writes the next one.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Plugin describes this plugin to pulpcore.Open.
func Plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name:    "file",
		Version: pulpcore.Version, // clients decide by it which features they offer
		Models:  []models.AnyType{Files, Remotes, Repositories, Publications, Distributions},

		Migrations: migrations,

		Tasks: []tasking.Binding{Sync.Do(synchronize), Publish.Do(publish)},
		Views: []rest.Mount{
			rest.ViewSet[Content]{Type: Files, Name: "files", Filters: rest.Filters{
				"relative_path": rest.Name, "sha256": rest.Name,
			}},
			rest.ViewSet[Remote]{Type: Remotes, Name: "file"},
			rest.ViewSet[Repository]{
				Type: Repositories, Name: "file",
				Actions: []rest.Action[Repository]{rest.Sync(Sync)},
			},
			rest.ViewSet[Publication]{Type: Publications, Name: "file", Create: rest.Publish(Publish, publishArgs)},
			rest.ViewSet[Distribution]{Type: Distributions, Name: "file"},
		},
	}
}

func synchronize(ctx context.Context, env *tasking.Env, a SyncArgs) error {
	remote, err := Remotes.Get(ctx, env.DB, a.Remote)
	if err != nil {
		return err
	}
	repo, err := Repositories.Get(ctx, env.DB, a.Repository)
	if err != nil {
		return err
	}
	version := stages.DeclarativeVersion{Repository: repo, First: &manifestStage{env, remote}, Mirror: a.Mirror}
	_, err = version.Create(ctx, env)
	return err
}

// manifestStage is the first stage: it declares one Content per line of the remote's manifest.
type manifestStage struct {
	env    *tasking.Env
	remote *Remote
}

// Run implements [stages.Stage].
func (m *manifestStage) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	base, err := url.Parse(m.remote.URL)
	if err != nil {
		return pulperr.Public(pulperr.Invalid, "remote %q: the url cannot be parsed", m.remote.Name)
	}
	path, err := m.fetch(ctx)
	if err != nil {
		return err
	}
	return m.env.Progress(ctx, "Parsing Metadata Lines", "sync.parsing.metadata", func(p *tasking.Progress) error {
		for e, err := range OpenManifest(path) {
			if err != nil {
				shown := download.Redact(m.remote.URL)
				return fmt.Errorf("%w: %w", pulperr.Public(pulperr.KindOf(err), "%s: %s", shown, pulperr.Message(err)), err)
			}
			// Not JoinPath: it would read "100%41.txt" as "100A.txt".
			location := base.ResolveReference(&url.URL{Path: e.Path, RawQuery: base.RawQuery})
			dc := &stages.DeclarativeContent{
				Content: &Content{RelativePath: e.Path, Digest: e.SHA256},
				Artifacts: []*stages.DeclarativeArtifact{{
					Artifact:     &models.Artifact{Size: e.Size, Digests: hashlib.SHA256Hex(e.SHA256)},
					URLs:         []string{location.String()},
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

func (m *manifestStage) fetch(ctx context.Context) (path string, err error) {
	err = m.env.Progress(ctx, "Downloading Metadata", "sync.downloading.metadata", func(p *tasking.Progress) error {
		res, err := m.env.Fetch(ctx, m.remote, m.remote.URL, nil)
		if err != nil {
			return err
		}
		path = res.Path
		p.Add(1)
		return nil
	})
	return path, err
}

// publishArgs makes the task's arguments of what a client asked for.
func publishArgs(p *Publication) PublishArgs {
	return PublishArgs{RepositoryVersion: p.RepositoryVersionID, Publication: *p}
}

func publish(ctx context.Context, env *tasking.Env, a PublishArgs) error {
	version, err := models.VersionByID(ctx, env.DB, a.RepositoryVersion)
	if err != nil {
		return err
	}
	pub := &a.Publication
	pub.RepositoryVersionID, pub.PassThrough = version.ID, true
	if pub.Manifest == "" {
		pub.Manifest = "PULP_MANIFEST"
	}
	return models.Publish(ctx, env.DB, env.Store, pub, func(p *models.NewPublication) error {
		r, w := io.Pipe()
		written := make(chan error, 1)
		go func() {
			err := writeManifest(ctx, env.DB, version, w)
			w.CloseWithError(err)
			written <- err
		}()
		err := p.Metadata(ctx, pub.Manifest, r)
		r.CloseWithError(errors.New("file: the manifest is not read any more"))
		return errors.Join(err, <-written)
	})
}

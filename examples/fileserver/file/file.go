// Package file is a plugin for plain files: repositories of files that are listed in a PULP_MANIFEST upstream, and
// published with a manifest of their own.
package file

import (
	"embed"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
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
	Repository struct {
		models.Repository
		Autopublish bool    `json:"autopublish" rest:"default=false" doc:"Whether each new version is published."`
		Manifest    *string `json:"manifest" rest:"default=PULP_MANIFEST" doc:"Path of the manifest of such publications."`
	}

	// Publication serves the files of a version and a manifest of them. Without a name there is no manifest.
	Publication struct {
		models.Publication
		Manifest *string `json:"manifest" rest:"default=PULP_MANIFEST" doc:"Path of the manifest, null for none."`
	}

	// Distribution serves a publication, or the newest one of a repository or of a version.
	Distribution struct{ models.Distribution }
)

var _ content.PublicationServer = (*Distribution)(nil)

// NeedsPublication reports true: versions without a publication are not served. It implements
// [content.PublicationServer].
func (d *Distribution) NeedsPublication() bool { return true }

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

	Sync    = tasking.Define[SyncArgs]("pulp_file.app.tasks.synchronizing.synchronize")
	Publish = tasking.Define[PublishArgs]("pulp_file.app.tasks.publishing.publish")
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

		// Without migrations the tables are derived from the types and cannot change later. A plugin needs them from its
		// first release on.
		Migrations: migrations,

		Tasks: []tasking.Binding{Sync.Bind(synchronize), Publish.Bind(publish)},
		Views: []rest.View{
			rest.ViewSet[Content]{Type: Files, Name: "files", Filters: rest.Filters{
				"relative_path": rest.NameFilter(), "sha256": rest.NameFilter(),
			}},
			rest.ViewSet[Remote]{Type: Remotes, Name: "file"},
			rest.ViewSet[Repository]{
				Type: Repositories, Name: "file",
				// checkSync runs in the request, so that the client gets its error at once and not from a failed task.
				Actions: []rest.Action[Repository]{rest.Sync(Sync, checkSync)},
			},
			rest.ViewSet[Publication]{Type: Publications, Name: "file", Create: rest.Publish(Publish, publishArgs)},
			rest.ViewSet[Distribution]{Type: Distributions, Name: "file"},
		},
	}
}

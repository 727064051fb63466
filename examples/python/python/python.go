// Package python is a plugin for packages of Python. It mirrors indexes that speak PEP 503 or PEP 691, takes uploads of
// twine, and serves repositories as indexes to pip.
package python

import (
	"context"
	"embed"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// Package is a file that pip can install: a wheel or an sdist. A file that its index has yanked is another unit than
// the same file before, because units never change.
type Package struct {
	models.Content
	Filename       string          `json:"filename" pulp:"repo" rest:"readonly" doc:"Name of the file."`
	SHA256         string          `bun:"sha256" json:"sha256" pulp:"natural,len=64" doc:"SHA-256, lowercase hex."`
	Yanked         bool            `json:"yanked" pulp:"natural" rest:"readonly" doc:"Whether the index has withdrawn it."`
	Name           string          `json:"name" pulp:"index" rest:"readonly" doc:"Normalized name of the project."`
	Version        string          `json:"version" rest:"readonly" doc:"Version of the project."`
	RequiresPython string          `json:"requires_python" rest:"readonly" doc:"Versions of Python that it needs."`
	Size           int64           `json:"size" rest:"readonly" doc:"Size in bytes, 0 if it is not known."`
	Hashes         hashlib.Digests `json:"hashes" rest:"readonly" doc:"All known digests by algorithm."`
}

// Remote is an index; its URL is the one that pip is given, whose last part is mostly simple/.
type Remote struct {
	models.Remote
	Projects []string `json:"projects" rest:"required" doc:"Names of the projects to sync."`
}

// Repository holds one file of each name.
type Repository struct{ models.Repository }

// Distribution serves a repository as an index, see [Distribution.ContentHandler].
type Distribution struct{ models.Distribution }

// HeaderGuard permits requests with a certain header. Pip sends one if its index URL has a name and a password:
// Authorization, with the word "Basic" and base64 of both.
type HeaderGuard struct {
	models.ContentGuard
	HeaderName  string                `json:"header_name" rest:"required" doc:"Name of the header."`
	HeaderValue secrets.EncryptedText `json:"header_value" rest:"required" doc:"Its value."`
}

// Permit implements [content.Guard].
func (g *HeaderGuard) Permit(_ context.Context, r *content.Request) error {
	values := r.HTTP.Header.Values(g.HeaderName)
	if len(values) != 1 || !settings.NewSecret(g.HeaderValue.Reveal()).Matches(values[0]) {
		return pulperr.Public(pulperr.Forbidden, "header %s is missing or wrong", g.HeaderName)
	}
	return nil
}

// Settings are the settings of the plugin.
type Settings struct {
	MaxIndexBytes int64 // PYTHON_MAX_INDEX_BYTES: the largest page of an upstream's index, 0 for any; default 16 MiB
	AllowUploads  bool  // PYTHON_ALLOW_UPLOADS: whether clients may add packages of their own; default true
}

// The arguments of the tasks.
type (
	// SyncArgs are the arguments of [Sync].
	SyncArgs = stages.SyncArgs[Remote, Repository]

	// ProjectArgs are the arguments of [SyncProject].
	ProjectArgs struct {
		SyncArgs
		Project string `json:"project"`
	}
)

// The plugin's settings, types and tasks.
var (
	config = settings.Define("python", Settings{MaxIndexBytes: 16 << 20, AllowUploads: true})

	Packages      = models.Define[Package]("python.python")
	Remotes       = models.Define[Remote]("python.python")
	Repositories  = models.Define[Repository]("python.python", models.Accepts(Packages), models.SyncsFrom(Remotes))
	Distributions = models.Define[Distribution]("python.python")
	HeaderGuards  = models.Define[HeaderGuard]("python.header")

	Sync        = tasking.Define[SyncArgs]("python.sync")
	SyncProject = tasking.Define[ProjectArgs]("python.sync_project")
)

//go:embed migrations/*.sql
var migrations embed.FS

// Plugin describes this plugin to pulpcore.Open.
func Plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name:       "python",
		Version:    "1.0.0",
		Models:     []models.AnyType{Packages, Remotes, Repositories, Distributions, HeaderGuards},
		Migrations: migrations,
		Tasks:      []tasking.Binding{Sync.Bind(synchronize), SyncProject.Bind(syncProject)},
		Settings:   []settings.AnySection{config},
		Views: []rest.View{
			rest.ViewSet[Package]{Type: Packages, Name: "packages", Filters: rest.Filters{
				"name": rest.ExactFilter(), "version": rest.ExactFilter(), "filename": rest.NameFilter(),
				"sha256": rest.ExactFilter(), "yanked": rest.BoolFilter(),
			}},
			rest.ViewSet[Remote]{Type: Remotes, Name: "python"},
			rest.ViewSet[Repository]{Type: Repositories, Name: "python", Actions: []rest.Action[Repository]{
				rest.Sync(Sync), rest.Post("sync_projects", syncProjects),
			}},
			rest.ViewSet[Distribution]{Type: Distributions, Name: "pypi"},
			rest.ViewSet[HeaderGuard]{Type: HeaderGuards, Name: "header"},
		},
		API: []rest.Route{
			{Pattern: "POST /pulp_python/legacy/{repository}/", Mount: rest.Answer(upload), Summary: "Upload with twine"},
			{Pattern: "GET /pulp_python/projects/{$}", Mount: rest.Answer(projects), Summary: "List all projects"},
		},
	}
}

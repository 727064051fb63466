// Package gomod is a Go module proxy: a plugin whose content is versions of modules, and whose distributions speak the
// GOPROXY protocol. It is an example of content with several files, of distributions that pull units from their remote
// when a client asks for them first, and of handlers that make answers of the database. README.md says how to run it.
package gomod

import (
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
)

// Module is one version of a module, with the files .info, .mod and .zip. The hashes have the form of go.sum.
type Module struct {
	models.Content
	Path    string     `json:"module" pulp:"natural,repo" rest:"readonly" doc:"Path of the module."`
	Version string     `json:"version" pulp:"natural,repo" rest:"readonly" doc:"Canonical version."`
	Time    *time.Time `json:"time" rest:"readonly" doc:"Time of the commit, null if it is unknown."`
	ModHash string     `json:"mod_hash" rest:"readonly" doc:"Hash of the go.mod file, as in go.sum."`
	ZipHash string     `json:"zip_hash" rest:"readonly" doc:"Hash of the zip, as in go.sum; empty if it was never here."`
}

// The plugin's other models.
type (
	// Remote is a GOPROXY, whose URL is the base of its paths.
	Remote struct {
		models.Remote
		Modules []string `json:"modules" doc:"Modules to sync: path@version, or a path for all versions in its list."`
	}
	// Repository holds each version of a module once.
	Repository struct{ models.Repository }
	// Distribution serves a repository. With a remote it also serves, and adds to the repository, what that has.
	Distribution struct{ models.Distribution }
	// SyncArgs are the arguments of [Sync].
	SyncArgs = stages.SyncArgs[Remote, Repository]
)

// The plugin's types and tasks.
var (
	Modules       = models.Define[Module]("gomod.module")
	Remotes       = models.Define[Remote]("gomod.gomod")
	Repositories  = models.Define[Repository]("gomod.gomod", models.Accepts(Modules), models.SyncsFrom(Remotes))
	Distributions = models.Define[Distribution]("gomod.gomod", models.PullsFrom(Remotes))
	Sync          = tasking.Define[SyncArgs]("gomod.sync")
)

// Plugin describes this plugin to pulpcore.Open.
func Plugin() *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name:    "gomod",
		Version: "1.0.0",
		Models:  []models.AnyType{Modules, Remotes, Repositories, Distributions},
		Tasks:   []tasking.Binding{Sync.Bind(synchronize)},
		Views: []rest.View{
			rest.ViewSet[Module]{
				Type: Modules, Name: "modules", Create: rest.Create(true, upload),
				Filters: rest.Filters{"module": rest.NameFilter().On("path"), "version": rest.NameFilter()},
			},
			rest.ViewSet[Remote]{Type: Remotes, Name: "gomod"},
			rest.ViewSet[Repository]{
				Type: Repositories, Name: "gomod", Actions: []rest.Action[Repository]{rest.Sync(Sync)},
			},
			rest.ViewSet[Distribution]{Type: Distributions, Name: "gomod"},
		},
	}
}

// Validate finds entries of modules that name none. It implements [models.Validator].
func (r *Remote) Validate() error {
	for _, entry := range r.Modules {
		path, version, one := strings.Cut(entry, "@")
		if module.CheckPath(path) != nil || one && checkVersion(path, version) != nil {
			return pulperr.Field("modules", `%q is no module; write it as "example.com/m" or "example.com/m@v1.0.0"`, entry)
		}
	}
	return nil
}

// target is what a path of the GOPROXY protocol asks for.
type target struct {
	module  string
	version string // canonical; empty for "list" and "latest"
	kind    string // "list", "latest", "info", "mod" or "zip"
}

// maxName bounds paths and versions together: the database has an index on them.
const maxName = 900

// parsePath reads a path below the base of a proxy. Capital letters are escaped by "!" there.
func parsePath(p string) (t target, ok bool) {
	escaped, query, found := strings.Cut(p, "/@")
	path, err := module.UnescapePath(escaped)
	if !found || err != nil {
		return t, false
	}
	switch query {
	case "latest":
		return target{module: path, kind: "latest"}, true
	case "v/list":
		return target{module: path, kind: "list"}, true
	}
	name, isFile := strings.CutPrefix(query, "v/")
	dot := strings.LastIndexByte(name, '.')
	if !isFile || dot < 0 {
		return t, false
	}
	t = target{module: path, kind: name[dot+1:]}
	if t.version, err = module.UnescapeVersion(name[:dot]); err != nil || checkVersion(path, t.version) != nil {
		return t, false
	}
	return t, t.kind == "info" || t.kind == "mod" || t.kind == "zip"
}

// checkVersion refuses versions that are not canonical or do not fit the path, as v2.0.0 of a module without "/v2".
func checkVersion(path, version string) error {
	if n := len(path) + len(version); n > maxName {
		return pulperr.Public(pulperr.Invalid, "path and version have %d bytes; more than %d are not supported", n, maxName)
	}
	if err := module.Check(path, version); err != nil {
		return err
	}
	if canonical := module.CanonicalVersion(version); canonical != version {
		return pulperr.Public(pulperr.Invalid, "the version %q is not canonical; write %q", version, canonical)
	}
	return nil
}

// file returns the path of a file of the module version below the base of a proxy.
func (m *Module) file(kind string) string {
	// Both are valid, so nothing is left that cannot be escaped.
	path, _ := module.EscapePath(m.Path)
	version, _ := module.EscapeVersion(m.Version)
	return path + "/@v/" + version + "." + kind
}

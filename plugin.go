package pulpcore

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

// Plugin is what a plugin brings to an App: a value that is given to [Open]. Only Name and Version are required.
type Plugin struct {
	Name string // short and unique; the part before the dot in the names of its types
	// Version is what the status shows, and what decides which workers may execute the plugin's tasks, see
	// [tasking.Options]. It begins with a number, behind a "v" or not: "1.10.0", "3.81.0rc1", "v2.0-dev".
	Version string

	Models     []models.AnyType
	Migrations fs.FS             // see models.Set; nil derives the tables from Models
	Tasks      []tasking.Binding // named "<Name>.<task>", or "pulp_<Name>.<task>" as in Pulp
	Views      []rest.Mount
	API        []rest.Route    // further routes, mounted with the REST API
	Content    []content.Route // further routes, mounted with the content app

	Settings         []settings.AnySection
	Defaults         []settings.Assignment     // defaults for other settings than its own
	Overlay          []settings.Assignment     // settings that it decides; see settings.Plugin
	ValidateSettings func(*settings.Set) error // further checks; nil means none

	Checksums []hashlib.Algorithm // that ALLOWED_CONTENT_CHECKSUMS must contain; sha256 always does
}

// versionBegins is what makes versions comparable.
var versionBegins = regexp.MustCompile(`^v?[0-9]`)

// blueprint is what plugins and settings say once they were checked.
type blueprint struct {
	set      *settings.Set
	registry *models.Registry
	tasks    []tasking.Binding
	views    []rest.Mount
	routes   []rest.Route
	content  []content.Route
	versions map[string]string
}

// check puts plugins and settings together and reports all faults at once.
func check(set *settings.Set, plugins []*Plugin) (*blueprint, error) {
	if set == nil {
		return nil, pulperr.Public(pulperr.Invalid, "pulpcore: open: the settings are nil")
	}
	b := &blueprint{versions: map[string]string{"core": Version}}
	faults := []error{checkUnsupported(set)}
	if some, err := enabled(set, plugins); err != nil {
		faults = append(faults, err)
	} else {
		plugins = some
	}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	var sets []models.Set
	var sections []settings.Plugin
	taskOwner := map[string]string{}
	for i, p := range plugins {
		if p == nil {
			fault("plugin %d is nil", i+1)
			continue
		}
		faults = append(faults, p.names(i+1)...)
		for _, t := range p.Tasks {
			if owner, ok := taskOwner[t.Name()]; ok {
				fault("plugin %q: task %q is bound by plugin %q already", p.Name, t.Name(), owner)
			}
			taskOwner[t.Name()] = p.Name
		}
		sets = append(sets, models.Set{Plugin: p.Name, Types: p.Models, Migrations: p.Migrations})
		sections = append(sections, settings.Plugin{
			Name: p.Name, Sections: p.Settings, Defaults: p.Defaults, Overlay: p.Overlay, Validate: p.ValidateSettings,
		})
		b.versions[p.Name] = p.Version
		b.tasks = append(b.tasks, p.Tasks...)
		b.views = append(b.views, p.Views...)
		b.routes = append(b.routes, p.API...)
		b.content = append(b.content, p.Content...)
	}
	var err error
	b.registry, err = models.NewRegistry(sets...)
	faults = append(faults, err)
	b.set, err = set.With(sections...)
	faults = append(faults, err)
	merged := b.set
	if merged == nil { // faults of the settings shall not hide those of the plugins
		merged = set
	}
	faults = append(faults, checksums(merged, plugins)...)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("pulpcore: open: %w: %w", pulperr.Invalid, err)
	}
	return b, nil
}

// names checks what the plugin, which is the n-th, calls itself and its tasks.
func (p *Plugin) names(n int) (faults []error) {
	switch {
	case p.Name == "":
		faults = append(faults, fmt.Errorf("plugin %d has no name", n))
	case p.Version == "":
		faults = append(faults, fmt.Errorf("plugin %q has no version", p.Name))
	case !versionBegins.MatchString(p.Version):
		faults = append(faults, fmt.Errorf("plugin %q: the version %q does not begin with a number", p.Name, p.Version))
	}
	for _, t := range p.Tasks {
		if !strings.HasPrefix(t.Name(), p.Name+".") && !strings.HasPrefix(t.Name(), "pulp_"+p.Name+".") {
			faults = append(faults, fmt.Errorf(`plugin %q: the name of task %q does not start with "%[1]s." or "pulp_%[1]s."`,
				p.Name, t.Name()))
		}
	}
	return faults
}

// checksums makes sure that every checksum a plugin needs is allowed.
func checksums(set *settings.Set, plugins []*Plugin) []error {
	var faults []error
	for _, p := range plugins {
		if p == nil {
			continue
		}
		for _, a := range p.Checksums {
			if !set.Core().Checksums.Allowed(a) {
				faults = append(faults, fmt.Errorf("plugin %q needs the checksum %s, which ALLOWED_CONTENT_CHECKSUMS does not have",
					p.Name, a))
			}
		}
	}
	return faults
}

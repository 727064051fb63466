package pulpcore

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

// blueprint is what plugins and settings say once they were checked.
type blueprint struct {
	set      *settings.Set
	registry *models.Registry
	front    *front
	tasks    []tasking.Binding
	views    []rest.View
	routes   []rest.Route
	content  []content.Route
	versions map[string]string
}

// versionBegins is what makes versions comparable.
var versionBegins = regexp.MustCompile(`^v?[0-9]`)

// checker puts plugins and settings together and collects what is wrong with them. It opens nothing.
type checker struct {
	opts    *Options
	plugins []*Plugin
	faults  []error
}

func (c *checker) add(faults ...error) { c.faults = append(c.faults, faults...) }

func (c *checker) fault(format string, args ...any) { c.add(fmt.Errorf(format, args...)) }

// check puts plugins and settings together and reports all faults at once.
func check(set *settings.Set, opts *Options, plugins []*Plugin) (*blueprint, error) {
	if set == nil {
		return nil, pulperr.Public(pulperr.Invalid, "pulpcore: open: the settings are nil; load them with settings.Load")
	}
	c := &checker{opts: opts}
	c.add(checkUnsupported(set))
	for i, p := range plugins {
		if p == nil {
			c.fault("plugin %d is nil; leave it out", i+1)
			continue
		}
		c.plugins = append(c.plugins, p)
	}
	some, err := enabled(set, c.plugins)
	if err != nil {
		c.add(err)
	} else {
		c.plugins = some
	}
	b := c.gather()
	b.set, err = set.With(c.sections()...)
	c.add(err)
	merged := b.set
	if merged == nil { // faults of the settings shall not hide those of the plugins
		merged = set
	}
	c.checkPlugins(merged)
	c.checkParts(merged, b)
	if faults := flatten(c.faults); len(faults) > 0 {
		text := "pulpcore: open: %w: %w"
		if len(faults) > 1 {
			text = fmt.Sprintf("pulpcore: open: %%w: %d faults\n%%w", len(faults))
		}
		return nil, fmt.Errorf(text, pulperr.Invalid, errors.Join(faults...))
	}
	return b, nil
}

// gather puts together what the plugins bring.
func (c *checker) gather() *blueprint {
	b := &blueprint{versions: map[string]string{"core": Version}}
	sets := make([]models.PluginModels, 0, len(c.plugins))
	for _, p := range c.plugins {
		sets = append(sets, p.set())
		b.versions[p.Name] = p.Version
		b.tasks = append(b.tasks, p.Tasks...)
		b.views = append(b.views, p.Views...)
		b.routes = append(b.routes, p.API...)
		b.content = append(b.content, p.Content...)
	}
	registry, faults := models.Check(sets...)
	b.registry = registry
	c.add(faults...)
	return b
}

func (c *checker) sections() []settings.Plugin {
	list := make([]settings.Plugin, 0, len(c.plugins))
	for _, p := range c.plugins {
		list = append(list, settings.Plugin{
			Name: p.Name, Sections: p.Settings, Defaults: p.Defaults, Overlay: p.Overlay, Validate: p.ValidateSettings,
		})
	}
	return list
}

// checkPlugins checks what belongs to a plugin alone: its version, its tasks and its checksums.
func (c *checker) checkPlugins(set *settings.Set) {
	owner := map[string]string{}
	for _, p := range c.plugins {
		fault := func(format string, args ...any) {
			c.fault("plugin %q: "+format, append([]any{p.Name}, args...)...)
		}
		if !versionBegins.MatchString(p.Version) {
			fault("the version %q does not begin with a number; set Version, as in \"1.0.0\"", p.Version)
		}
		for _, t := range p.Tasks {
			if !strings.HasPrefix(t.Name(), p.Name+".") && !strings.HasPrefix(t.Name(), "pulp_"+p.Name+".") {
				fault("task %q: the name does not start with the plugin's; change it in tasking.Define to "+
					"\"%s.…\" or \"pulp_%[1]s.…\"", t.Name(), p.Name)
			}
			if other, ok := owner[t.Name()]; ok && other != p.Name {
				fault("task %q: it is bound by plugin %q already; bind it in one of them", t.Name(), other)
			}
			owner[t.Name()] = p.Name
		}
		o := &tasking.WorkerOptions{
			Bindings: p.Tasks, Command: c.opts.TaskCommand, IgnoreSubprocess: c.opts.IgnoreSubprocess,
		}
		for _, err := range tasking.CheckBindings(o) {
			fault("%w", err)
		}
		for _, a := range p.Checksums {
			if !set.Core().Checksums.Allowed(a) {
				fault("it needs the checksum %s; add that to ALLOWED_CONTENT_CHECKSUMS", a)
			}
		}
	}
}

// checkParts checks what the plugins bring against the parts of the App that take it.
func (c *checker) checkParts(set *settings.Set, b *blueprint) {
	var faults []error
	b.front, faults = newFront(set.Core())
	c.add(faults...)
	api := make([]rest.Part, 0, len(c.plugins))
	served := make([]content.Part, 0, len(c.plugins))
	for _, p := range c.plugins {
		api = append(api, rest.Part{Plugin: p.Name, Views: p.Views, Routes: p.API})
		served = append(served, content.Part{Plugin: p.Name, Routes: p.Content})
	}
	c.add(rest.Check(b.registry, restSettings(set), api...)...)
	c.add(content.Check(b.registry, contentSettings(set), served...)...)
}

// flatten returns every single fault of a list, each once, sorted by their texts.
func flatten(faults []error) []error {
	var all []error
	var walk func(err error)
	walk = func(err error) {
		var list interface{ Unwrap() []error }
		switch {
		case err == nil:
		case errors.As(err, &list) && errors.Join(list.Unwrap()...).Error() == strings.TrimPrefix(err.Error(), "settings: "):
			for _, e := range list.Unwrap() {
				walk(e)
			}
		default:
			all = append(all, err)
		}
	}
	for _, err := range faults {
		walk(err)
	}
	slices.SortStableFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return slices.CompactFunc(all, func(a, b error) bool { return a.Error() == b.Error() })
}

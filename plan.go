package pulpcore

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/internal/routes"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// plan is the checked configuration of an App: the settings with the plugins' sections, and everything that the plugins
// bring. It holds no open resources.
type plan struct {
	set      *settings.Set
	registry *models.Registry
	front    *front
	tasks    []tasking.Binding
	views    []rest.View
	routes   []rest.Route
	content  []content.Route
	versions map[string]string
	plugins  []*Plugin // whose Init is called

	logHandlers map[string]slog.Handler // of the host and the plugins
}

// versionBegins matches versions that can be compared: workers decide by them which of them may execute a task.
var versionBegins = regexp.MustCompile(`^v?[0-9]`)

// compiler makes a plan and collects the faults of plugins and settings. It does no I/O.
type compiler struct {
	opts    *Options
	plugins []*Plugin
	faults  []error
}

func (c *compiler) add(faults ...error) { c.faults = append(c.faults, faults...) }

func (c *compiler) fault(format string, args ...any) { c.add(fmt.Errorf(format, args...)) }

// compile makes a plan of settings and plugins, and reports all of their faults at once.
func compile(set *settings.Set, opts *Options, plugins []*Plugin) (*plan, error) {
	if set == nil {
		return nil, pulperr.Public(pulperr.Invalid, "pulpcore: open: the settings are nil; load them with settings.Load")
	}
	c := &compiler{opts: opts}
	c.add(checkUnsupported(set))
	for i, p := range plugins {
		if p == nil {
			c.fault("plugin %d is nil; leave it out", i+1)
			continue
		}
		c.plugins = append(c.plugins, p)
	}
	enabled, err := enabledPlugins(set, c.plugins)
	if err != nil {
		// All plugins are checked then, so that the same error reports their faults, too.
		c.add(err)
	} else {
		c.plugins = enabled
	}
	p := c.gather()
	p.set, err = set.With(c.sections()...)
	c.add(err)
	merged := p.set
	if merged == nil { // the settings have faults; those of the plugins are still found with the host's settings alone
		merged = set
	}
	p.logHandlers = c.gatherLogHandlers()
	c.add(merged.CheckLogHandlers(slices.Collect(maps.Keys(p.logHandlers))...)...)
	c.checkPlugins(merged)
	c.checkParts(merged, p)
	if faults := flatten(c.faults); len(faults) > 0 {
		text := "pulpcore: open: %w: %w"
		if len(faults) > 1 {
			text = fmt.Sprintf("pulpcore: open: %%w: %d faults\n%%w", len(faults))
		}
		return nil, fmt.Errorf(text, pulperr.Invalid, errors.Join(faults...))
	}
	return p, nil
}

// gather collects what the plugins bring.
func (c *compiler) gather() *plan {
	p := &plan{
		versions: map[string]string{"core": Version}, tasks: rest.Tasks(), views: guardViews(), plugins: c.plugins,
	}
	sets := []models.PluginModels{guards.Models()}
	for _, plugin := range c.plugins {
		sets = append(sets, plugin.set())
		p.versions[plugin.Name] = plugin.Version
		p.tasks = append(p.tasks, plugin.Tasks...)
		p.views = append(p.views, plugin.Views...)
		p.routes = append(p.routes, plugin.API...)
		p.content = append(p.content, plugin.Content...)
	}
	registry, faults := models.Check(sets...)
	p.registry = registry
	c.add(faults...)
	return p
}

// gatherLogHandlers returns the log handlers of the host and the plugins by their names.
func (c *compiler) gatherLogHandlers() map[string]slog.Handler {
	all, owner := map[string]slog.Handler{}, map[string]string{}
	add := func(who string, handlers map[string]slog.Handler) {
		for _, name := range slices.Sorted(maps.Keys(handlers)) {
			switch {
			case handlers[name] == nil:
				c.fault("%s: the log handler %q is nil; leave it out", who, name)
			case owner[name] != "":
				c.fault("%s: the log handler %q is registered by %s already; rename one of them", who, name, owner[name])
			default:
				all[name], owner[name] = handlers[name], who
			}
		}
	}
	add("the host", c.opts.LogHandlers)
	for _, p := range c.plugins {
		add(fmt.Sprintf("plugin %q", p.Name), p.LogHandlers)
	}
	return all
}

func (c *compiler) sections() []settings.Plugin {
	list := make([]settings.Plugin, 0, len(c.plugins))
	for _, p := range c.plugins {
		list = append(list, settings.Plugin{
			Name: p.Name, Sections: p.Settings, Defaults: p.Defaults, Overlay: p.Overlay, Validate: p.ValidateSettings,
		})
	}
	return list
}

// checkPlugins checks versions, tasks and checksums of the plugins.
func (c *compiler) checkPlugins(set *settings.Set) {
	// The work directory is of no plugin. It is checked once, and not with the tasks of each plugin.
	c.add(worker.CheckBindings(&worker.Options{WorkDir: set.Core().WorkingDirectory})...)
	owner := map[string]string{}
	for _, t := range rest.Tasks() {
		owner[t.Name()] = "core"
	}
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
		o := &worker.Options{
			Bindings: p.Tasks, Command: c.opts.TaskCommand, IgnoreSubprocess: c.opts.IgnoreSubprocess,
		}
		for _, err := range worker.CheckBindings(o) {
			fault("%w", err)
		}
		for _, a := range p.Checksums {
			if !set.Core().Checksums.Allowed(a) {
				fault("it needs the checksum %s; add that to ALLOWED_CONTENT_CHECKSUMS", a)
			}
		}
	}
}

// checkParts checks views, routes and hooks against the parts of the App that serve them.
func (c *compiler) checkParts(set *settings.Set, p *plan) {
	var faults []error
	p.front, faults = newFront(set.Core())
	c.add(faults...)
	api := []rest.Part{{Plugin: "core", Views: guardViews()}}
	served := make([]content.Part, 0, len(c.plugins))
	for _, plugin := range c.plugins {
		api = append(api, rest.Part{Plugin: plugin.Name, Views: plugin.Views, Routes: plugin.API})
		served = append(served, content.Part{Plugin: plugin.Name, Routes: plugin.Content})
		c.add(proxyconf.Check(plugin.proxyPart())...)
	}
	before := len(c.faults)
	c.add(rest.Check(p.registry, restOptions(set.Core()), api...)...)
	c.add(content.Check(p.registry, contentOptions(set.Core()), served...)...)
	if len(c.faults) == before {
		c.checkPatterns(set)
	}
}

// checkPatterns finds routes of the API and of the content app that clash with each other. Both have checked their own.
func (c *compiler) checkPatterns(set *settings.Set) {
	mux, owners, nothing := http.NewServeMux(), routes.Owners{}, http.NotFoundHandler()
	for _, own := range []string{set.Core().APIRoot, set.Core().ContentPathPrefix} {
		c.add(owners.Register(mux, "", "path of the App", own, nothing))
	}
	for _, plugin := range c.plugins {
		for _, r := range plugin.API {
			if err := owners.Register(mux, plugin.Name, "route", r.Pattern, nothing); err != nil {
				c.fault("plugin %q: %w", plugin.Name, err)
			}
		}
		for _, r := range plugin.Content {
			if err := owners.Register(mux, plugin.Name, "content route", r.Pattern, nothing); err != nil {
				c.fault("plugin %q: %w", plugin.Name, err)
			}
		}
	}
}

// flatten splits joined errors into single faults. It sorts them by their texts and drops repetitions.
func flatten(faults []error) []error {
	var all []error
	var walk func(err error)
	walk = func(err error) {
		var list interface{ Unwrap() []error }
		switch {
		case err == nil:
		// Only a plain list is split. An error that puts its own text around others would lose that text.
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
	// Each package returns the faults of all plugins. A fault begins with the name of its plugin, so sorting groups them.
	slices.SortStableFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return slices.CompactFunc(all, func(a, b error) bool { return a.Error() == b.Error() })
}

// enabledPlugins returns the plugins that ENABLED_PLUGINS selects; without that setting, all.
func enabledPlugins(set *settings.Set, plugins []*Plugin) ([]*Plugin, error) {
	names := set.Core().EnabledPlugins
	if names == nil {
		return plugins, nil
	}
	var enabled []*Plugin
	missing := slices.Clone(names)
	for _, p := range plugins {
		if slices.Contains(names, p.Name) {
			enabled = append(enabled, p)
		}
		missing = slices.DeleteFunc(missing, func(n string) bool { return n == p.Name })
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("ENABLED_PLUGINS names %q, which this program does not have; drop them, "+
			"or give their plugins to Open", missing)
	}
	return enabled, nil
}

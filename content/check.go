package content

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/pulpgo/pulpcore/internal/hook"
	"github.com/pulpgo/pulpcore/models"
)

// Part is what one plugin gives to the content app.
type Part struct {
	Plugin string // its name
	Routes []Route
}

// Check returns every fault of opts, of the routes of plugins, and of the hooks that the registry's types have for the
// content app, without a database. Each fault of a plugin begins with its name and ends with the remedy. The registry
// may be one with faults, see [models.Check]. Check makes no handler: it calls no Mount. The Routes of opts come before
// those of the parts.
func Check(registry *models.Registry, opts *Options, parts ...Part) []error {
	var o Options
	if opts != nil {
		o = *opts
	}
	faults := o.fill()
	m := newRouteMux(o.Prefix, http.NotFoundHandler())
	for _, p := range append([]Part{{Routes: o.Routes}}, parts...) {
		for _, route := range p.Routes {
			// Mount needs an App, which does not exist before the database is open. Any handler shows whether the pattern fits.
			err := m.add(p.Plugin, route, http.NotFoundHandler())
			if err != nil && p.Plugin != "" {
				err = fmt.Errorf("plugin %q: %w", p.Plugin, err)
			}
			if err != nil {
				faults = append(faults, err)
			}
		}
	}
	for t := range registry.Types() {
		plugin, _, _ := strings.Cut(t.Name(), ".")
		for _, err := range append(checkHooks(t), checkPulls(registry, t)...) {
			faults = append(faults, fmt.Errorf("plugin %q: type %q: %w", plugin, t.Name(), err))
		}
	}
	return faults
}

// checkHooks finds hooks that are missing or are hooks by their name only.
func checkHooks(t models.AnyType) []error {
	row := reflect.TypeOf(t.New())
	switch t.Master() {
	case models.ContentGuardMaster:
		guard := reflect.TypeFor[Guard]()
		if _, ok := row.MethodByName("Permit"); !ok {
			return []error{fmt.Errorf("%s has no method Permit, so it would refuse every request; add "+
				"Permit(context.Context, *content.Request) error, see content.Guard", row.Elem())}
		}
		return hook.Faults(row, guard)
	case models.DistributionMaster:
		return hook.Faults(row, reflect.TypeFor[Handler](), reflect.TypeFor[Lister](), reflect.TypeFor[HeaderSetter](),
			reflect.TypeFor[PublicationServer](), reflect.TypeFor[PullThrough]())
	}
	return nil
}

// checkPulls finds distributions that would pull without a remote.
func checkPulls(registry *models.Registry, t models.AnyType) []error {
	if _, pulls := t.New().(PullThrough); !pulls || len(registry.PullsFrom(t)) > 0 {
		return nil
	}
	return []error{errors.New("it has the method RemoteUnit, which is never called, because no such distribution can " +
		"have a remote; give models.Define a models.PullsFrom")}
}

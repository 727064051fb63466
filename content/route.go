package content

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/pulpgo/pulpcore/internal/routes"
)

// Route is a route of a plugin, beside or below the content app's own. It wins over the base paths of distributions.
// Content guards are not asked: a route that answers with what a distribution serves calls [App.Guarded] first, and one
// of another kind has to protect its own answers. Temporary files of a form that a handler parsed are removed when it
// returns.
type Route struct {
	Pattern string // as http.ServeMux has them: "/pulp/container/{name}/manifests/{tag}"
	Handler http.Handler
	// Mount makes the handler, in place of Handler, if it needs the App: its database, or [App.ServeFile].
	Mount func(a *App) http.Handler
}

// newRoutes returns the mux of plugins' routes, or nil without any. core answers other requests. Routes that clash with
// each other or hide the app's own paths are faults.
func newRoutes(a *App, prefix string, core http.Handler, list []Route) (m *routeMux, faults []error) {
	if len(list) == 0 {
		return nil, nil
	}
	m = newRouteMux(prefix, core)
	for _, route := range list {
		h := route.Handler
		if h == nil && route.Mount != nil {
			h = route.Mount(a)
		}
		if err := m.add("", route, h); err != nil {
			faults = append(faults, err)
		}
	}
	return m, faults
}

// routeMux takes the routes of plugins beside the content app's own.
type routeMux struct {
	mux    *http.ServeMux
	owners routes.Owners
	prefix string
}

func newRouteMux(prefix string, core http.Handler) *routeMux {
	m := &routeMux{http.NewServeMux(), routes.Owners{}, prefix}
	m.mux.Handle(prefix, core)
	if prefix != "/" {
		// core answers paths outside of the prefix with its own 404.
		m.mux.Handle("/", core)
	}
	return m
}

// add registers a route of a plugin with its handler, unless it cannot be.
func (m *routeMux) add(plugin string, route Route, h http.Handler) error {
	if (route.Handler == nil) == (route.Mount == nil) {
		return fmt.Errorf("content route %q: give it either a Handler or a Mount", route.Pattern)
	}
	if route.Pattern == m.prefix || route.Pattern == "/" {
		return fmt.Errorf("content route %q conflicts with the content app; choose another pattern", route.Pattern)
	}
	if err := m.owners.Register(m.mux, plugin, "content route", route.Pattern, h); err != nil {
		return err
	}
	// A pattern that differs by its method alone is no conflict for the mux.
	for _, p := range []string{m.prefix, m.prefix + "any/path/at/all"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := &http.Request{Method: method, URL: &url.URL{Path: p}}
			if _, pattern := m.mux.Handler(r); pattern == route.Pattern {
				return fmt.Errorf("content route %q hides the content app below %s; choose a narrower pattern", pattern, m.prefix)
			}
		}
	}
	return nil
}

// hides reports whether the request would go to a plugin's route if p were its path. A nil mux has no routes.
func (m *routeMux) hides(r *http.Request, p string) bool {
	if m == nil {
		return false
	}
	// Patterns may name a method and a host.
	_, pattern := m.mux.Handler(&http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Path: p}})
	return pattern != m.prefix
}

// accepts reports whether the mux may get a path. It would redirect others to their clean form, but a path with an
// empty or dotted segment is not a file here, and neither is the prefix without its slash. A nil mux gets none.
func (m *routeMux) accepts(p string) bool {
	if m == nil {
		return false
	}
	return routes.IsClean(p) && p+"/" != m.prefix
}

package content

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
)

// Route is a route of a plugin, beside or below the content app's own. It wins over the base paths of distributions.
// Content guards are not asked: what a route serves it protects itself. Temporary files of a form that a handler parsed
// are removed when it returns.
type Route struct {
	Pattern string // as http.ServeMux has them: "/pulp/container/{name}/manifests/{tag}"
	Handler http.Handler
	// Mount makes the handler, in place of Handler, if it needs the App: its database, or [App.ServeFile].
	Mount func(a *App) http.Handler
}

// mount makes the mux of the plugins' routes. Routes that clash with each other or hide the app's own are faults.
func (a *App) mount(routes []Route) error {
	if len(routes) == 0 {
		return nil
	}
	mux := http.NewServeMux()
	core := http.HandlerFunc(a.serveCore)
	faults := []error{handle(mux, a.opts.Prefix, core)}
	if a.opts.Prefix != "/" {
		faults = append(faults, handle(mux, "/", core)) // which says that it is not found
	}
	for _, route := range routes {
		h := route.Handler
		if (h == nil) == (route.Mount == nil) {
			faults = append(faults, fmt.Errorf("route %q: give either a handler or a mount", route.Pattern))
			continue
		}
		if h == nil {
			h = route.Mount(a)
		}
		faults = append(faults, handle(mux, route.Pattern, h))
	}
	// A pattern that differs by its method alone is no conflict for the mux.
	for _, p := range []string{a.opts.Prefix, a.opts.Prefix + "any/path/at/all"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := &http.Request{Method: method, URL: &url.URL{Path: p}}
			if _, pattern := mux.Handler(r); pattern != a.opts.Prefix {
				faults = append(faults, fmt.Errorf("route %q hides the content app", pattern))
			}
		}
	}
	a.mux = mux
	return errors.Join(faults...)
}

// registered is where the mux says in which file, this one, a pattern was registered.
const registered = ` \(registered at [^)]*\)`

// handle registers a pattern; what the mux panics with becomes an error.
func handle(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("route %q: %s", pattern, regexp.MustCompile(registered).ReplaceAllString(fmt.Sprint(p), ""))
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// routed reports whether the request would go to a plugin's route if p were its path.
func (a *App) routed(r *http.Request, p string) bool {
	if a.mux == nil {
		return false
	}
	_, pattern := a.mux.Handler(&http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Path: p}})
	return pattern != a.opts.Prefix
}

// routable reports whether the mux may see a path. It would redirect others to what it takes them for, but a path
// with an empty or dotted segment is not a file here, and neither is the prefix without its slash.
func (a *App) routable(p string) bool {
	clean := path.Clean(p)
	return p == clean && p+"/" != a.opts.Prefix || p == clean+"/"
}

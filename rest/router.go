package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"

	"github.com/pulpgo/pulpcore/internal/formfiles"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Access is the accounts that may use a route.
type Access uint8

// The accesses of a route. The default is the narrowest one, which the API has itself.
const (
	Authorized Access = iota // accounts that the API's [Authorizer] lets in; without one, superusers
	Accounts                 // every active account
	Anybody                  // no log-in is asked for; the route does its own authentication, if any
)

// Route is a handler of a plugin's own beside the viewsets. It is given the request as it came, body unread, after
// authentication unless it is open to Anybody. Temporary files of a form that it parsed are removed when it returns.
type Route struct {
	// Path begins with a slash. If it ends with one, everything below it belongs to the handler too.
	Path string
	// Handler answers all methods.
	Handler http.Handler
	// Allow is who may use the route. Default: Authorized.
	Allow Access
}

// router leads requests to operations and routes.
type router struct {
	mux   *chi.Mux
	gate  *gate
	taken []string // paths
}

// newRouter returns the handler of the operations and of the routes of plugins.
func newRouter(c *compiler, g *gate, parts []Part) http.Handler {
	rt := &router{mux: chi.NewRouter(), gate: g}
	rt.mux.Use(formfiles.Handler) // for authenticators that look into forms
	base := c.links.Base
	// One handler per path knows all its methods, so that any other is answered with 405 and the list of them.
	byPath := map[string]map[string]*operation{}
	var lists []string
	for _, o := range c.ops {
		if byPath[o.Path] == nil {
			byPath[o.Path] = map[string]*operation{}
		}
		if byPath[o.Path][o.Method] != nil {
			c.fault("%s %s is served twice; rename one of the views or actions", o.Method, base+o.Path)
		}
		byPath[o.Path][o.Method] = o
		if o.Paged && !strings.Contains(o.Path, "{") {
			lists = append(lists, o.Path)
		}
	}
	// The root lists the hrefs of all lists. It is not in the document.
	byPath[""] = map[string]*operation{"GET": root(lists)}
	// The paths are sorted, so that the fault of a clash names the same path at each start.
	for _, p := range slices.Sorted(maps.Keys(byPath)) {
		rt.mux.Handle(base+p, newEndpoint(g, c.site, p, byPath[p]))
		// The root ends with a slash, so every route below it would clash with it.
		if p != "" {
			rt.taken = append(rt.taken, base+p)
		}
	}
	docs := base + "docs/api.json"
	rt.mux.Handle(docs, newDocuments(c))
	rt.taken = append(rt.taken, docs)
	for _, part := range parts {
		c.plugin = part.Plugin
		for _, route := range part.Routes {
			rt.mount(c, route)
			rt.taken = append(rt.taken, route.Path)
		}
	}
	rt.mux.NotFound(rt.notFound)
	return rt.mux
}

// mount adds a handler of a plugin, unless its path is taken.
func (rt *router) mount(c *compiler, route Route) {
	before := len(c.faults)
	if route.Allow > Anybody {
		c.fault("route %q: access %d is not known; use Authorized, Accounts or Anybody", route.Path, route.Allow)
	}
	if route.Handler == nil {
		c.fault("route %q: there is no handler; set Handler", route.Path)
	}
	if fault := pathFault(route.Path); fault != "" {
		c.fault("route %q: %s", route.Path, fault)
	}
	if len(c.faults) > before {
		return
	}
	for _, other := range rt.taken {
		above := strings.HasSuffix(route.Path, "/") && strings.HasPrefix(other, route.Path)
		below := strings.HasPrefix(route.Path, other) && strings.HasSuffix(other, "/")
		if above || below || route.Path == other {
			c.fault("route %q clashes with %q; choose another path", route.Path, other)
			return
		}
	}
	inner := formfiles.Handler(route.Handler)
	h := func(w http.ResponseWriter, r *http.Request) {
		r, err := rt.gate.admit(r, route.Allow, &Permission{Operation: "route " + route.Path})
		if err != nil {
			wire.WriteError(w, r, rt.gate.log, err)
			return
		}
		inner.ServeHTTP(w, r)
	}
	rt.mux.HandleFunc(route.Path, h)
	if strings.HasSuffix(route.Path, "/") {
		rt.mux.HandleFunc(route.Path+"*", h)
	}
}

// pathFault returns the fault of a route's path with its remedy, or "".
func pathFault(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	// Patterns are looked for first: a route with braces would be reported as not canonical, which hides the cause.
	if i := strings.IndexAny(p, "{}*"); i >= 0 {
		return fmt.Sprintf("a path is no pattern, so %q has no meaning in it; write %q, and the handler gets all paths below",
			p[i:i+1], strings.TrimSuffix(path.Dir("/"+p[:i]+"x"), "/")+"/")
	}
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		return fmt.Sprintf("a path has no %q; let the handler read the query", p[i:i+1])
	}
	switch {
	case clean == "/":
		return "everything lies below it; choose a path of the plugin's own"
	case p != clean:
		return fmt.Sprintf("the path is not in canonical form; write %q", clean)
	}
	return ""
}

// notFound answers for paths that are not served. If only the last slash is missing, it redirects the client.
func (rt *router) notFound(w http.ResponseWriter, r *http.Request) {
	// Django redirects such requests (APPEND_SLASH).
	if !strings.HasSuffix(r.URL.Path, "/") && rt.mux.Match(chi.NewRouteContext(), r.Method, r.URL.Path+"/") {
		u := *r.URL
		u.Path += "/"
		u.RawPath = ""
		w.Header().Set("Location", u.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("<!doctype html>\n<html lang=\"en\">\n<head><title>Not Found</title></head>\n" +
		"<body><h1>Not Found</h1><p>The requested resource was not found on this server.</p></body>\n</html>\n"))
}

// documents serves the API document.
type documents struct {
	gate   *gate
	byHref func() ([]byte, error) // whole hrefs as path parameters
	byPath func() ([]byte, error) // ordinary paths
}

// newDocuments returns the document of the operations. It is written when a client asks for it first.
func newDocuments(c *compiler) *documents {
	doc := &schema.Document{Base: c.links.Base, Versions: c.opts.Versions, Components: c.components}
	for _, o := range c.ops {
		doc.Operations = append(doc.Operations, o.Operation)
	}
	render := func(hrefs bool) func() ([]byte, error) {
		return sync.OnceValues(func() ([]byte, error) { return json.Marshal(doc.Render(hrefs)) })
	}
	return &documents{c.gate, render(true), render(false)}
}

func (d *documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		wire.WriteError(w, r, d.gate.log, notAllowed(r))
		return
	}
	render := d.byHref
	if r.URL.Query().Has("pk_path") {
		render = d.byPath
	}
	b, err := render()
	if err != nil {
		wire.WriteError(w, r, d.gate.log, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client is gone if this fails
}

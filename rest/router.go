package rest

import (
	"encoding/json"
	"maps"
	"net/http"
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

// router leads requests to operations.
type router struct {
	mux  *chi.Mux
	gate *gate
}

// newRouter returns the handler of the operations and of the routes of plugins.
func newRouter(c *compiler, g *gate, parts []Part) *routeMux {
	rt := &router{mux: chi.NewRouter(), gate: g}
	rt.mux.Use(anyMethod, formfiles.Handler) // the latter for authenticators that look into forms
	base := c.links.Base
	// One handler per path knows all its methods, so that any other is answered with 405 and the list of them.
	byPath := map[string]map[string]*operation{}
	var lists []string
	for _, o := range c.ops {
		if byPath[o.Path] == nil {
			byPath[o.Path] = map[string]*operation{}
		}
		if other := byPath[o.Path][o.Method]; other != nil {
			c.fault("%s: %s %s is served by %s already; rename one of the views or actions", c.ownerOf(o), o.Method, base+o.Path,
				c.ownerOf(other))
		}
		byPath[o.Path][o.Method] = o
		if o.Paged && !strings.Contains(o.Path, "{") {
			lists = append(lists, o.Path)
		}
	}
	// The root lists the hrefs of all lists. It is not in the document.
	byPath[""] = map[string]*operation{"GET": root(lists)}
	for p, methods := range byPath {
		rt.mux.Handle(base+p, newEndpoint(g, c.site, p, methods))
	}
	rt.mux.NotFound(rt.notFound)
	own := append(slices.Sorted(maps.Keys(byPath)), "docs/api.json")
	for i, p := range own {
		own[i] = base + p
	}
	routes := newRoutes(c, g, rt.mux, own, parts)
	// The document comes last: routes add what they say about themselves.
	rt.mux.Handle(base+"docs/api.json", newDocuments(c))
	return routes
}

// anyMethod leads requests to the handler of their path whatever their method is. Chi answers methods that it does not
// know without asking the handler, so the answer would lack the header Allow.
func anyMethod(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Each handler takes all methods, so any method that chi knows finds it.
		chi.RouteContext(r.Context()).RouteMethod = http.MethodGet
		next.ServeHTTP(w, r)
	})
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

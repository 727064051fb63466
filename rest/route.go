package rest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/formfiles"
	"github.com/pulpgo/pulpcore/internal/routes"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Route is a handler of a plugin's own beside the viewsets. It is given the request as it came, body unread, after
// authentication unless it is open to Anybody. Temporary files of a form that it parsed are removed when it returns.
type Route struct {
	// Pattern is a path as [http.ServeMux] has them, with a method in front or without:
	// "POST /pulp_python/legacy/{repository}/". The more specific one of two patterns wins; [http.Request.PathValue]
	// returns what {repository} stands for. A slash at the end takes all paths below. Hosts cannot be given.
	Pattern string
	// Handler answers the requests.
	Handler http.Handler
	// Mount makes the handler, in place of Handler, if it needs the API: its database, its queue, its store. [Answer]
	// makes it of a function.
	Mount func(a *API) http.Handler
	// Allow is who may use the route. Default: Authorized.
	Allow Access
	// Summary describes the route in the API document, in a few words. Default: it is not in the document.
	Summary string
}

// Answer returns the Mount of a route that answers as an action does: fn gets the request as an action gets it, without
// a Row and an Upload, so that it can call [SaveContent] and [Resolve]; it reads the body of Request.HTTP itself. Its
// answer is written as JSON, with status 202 for [Accepted] and [AcceptedGroup], 204 for [Empty], else 200. Its error
// is answered like that of an action.
//
// In a route without authentication, see [Access], [Resolve] does not ask the [Authorizer].
func Answer[O any](fn func(ctx context.Context, r *Request[Empty]) (*O, error)) func(a *API) http.Handler {
	status := usualStatus(reflect.TypeFor[O]())
	return func(a *API) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := permissionOf(r.Context())
			q := &request{site: a.site, w: w, r: r, db: a.site.db, user: p.User, permission: p}
			out, err := fn(r.Context(), newRequest[Empty](q, nil))
			if err != nil {
				a.WriteError(w, r, err)
				return
			}
			answer := &reply{status: status}
			if status != http.StatusNoContent {
				answer.body = out
			}
			answer.write(w)
		})
	}
}

// routeMux leads requests to the routes of plugins, and all others to the operations.
type routeMux struct {
	mux    *http.ServeMux // also has the paths of the operations, so that the more specific pattern wins
	core   http.Handler
	added  map[string]bool // patterns of routes
	owners routes.Owners
	mounts []func(a *API)
}

// newRoutes returns a mux with the routes of plugins. own are the paths of the operations, which core serves.
func newRoutes(c *compiler, g *gate, core http.Handler, own []string, parts []Part) *routeMux {
	m := &routeMux{mux: http.NewServeMux(), core: core, added: map[string]bool{}, owners: routes.Owners{}}
	m.mux.Handle("/", core)
	for _, p := range own {
		if strings.HasSuffix(p, "/") {
			p += "{$}" // the path alone, and not what lies below
		}
		m.mux.Handle(p, core)
	}
	for _, part := range parts {
		c.plugin = part.Plugin
		for _, route := range part.Routes {
			m.add(c, g, own, route)
		}
	}
	c.plugin = ""
	return m
}

// ServeHTTP leads a request to its route.
func (m *routeMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would redirect paths to their clean form. Operations have no other paths, and neither have routes.
	if len(m.added) > 0 && routes.IsClean(r.URL.Path) {
		// It would also redirect to an operation's path with a slash at its end, which core does in Django's way.
		if _, pattern := m.mux.Handler(r); m.added[pattern] {
			m.mux.ServeHTTP(w, r)
			return
		}
	}
	m.core.ServeHTTP(w, r)
}

// add adds a route, unless it cannot be.
func (m *routeMux) add(c *compiler, g *gate, own []string, route Route) {
	before := len(c.faults)
	if route.Allow > Anybody {
		c.fault("route %q: access %d is not known; use Authorized, Accounts or Anybody", route.Pattern, route.Allow)
	}
	if (route.Handler == nil) == (route.Mount == nil) {
		c.fault("route %q: there is no handler; set either Handler or Mount", route.Pattern)
	}
	method, path := splitPattern(route.Pattern)
	if fault := pathFault(path); fault != "" {
		c.fault("route %q: %s", route.Pattern, fault)
	}
	if above := slices.IndexFunc(own, func(p string) bool { return isAbove(path, p) }); above >= 0 {
		c.fault("route %q clashes with %q, which the API serves below it; choose another path", route.Pattern, own[above])
	}
	if len(c.faults) > before {
		return
	}
	h := &admitted{gate: g, allow: route.Allow, pattern: route.Pattern}
	// The authenticator may read a form, too.
	if err := m.owners.Register(m.mux, c.plugin, "route", route.Pattern, formfiles.Handler(h)); err != nil {
		c.fault("%w", err)
		return
	}
	m.added[route.Pattern] = true
	if route.Handler != nil {
		h.handler = formfiles.Handler(route.Handler)
	} else {
		m.mounts = append(m.mounts, func(a *API) { h.handler = formfiles.Handler(route.Mount(a)) })
	}
	if route.Summary != "" {
		c.add(&operation{Operation: routeOperation(c.plugin, method, path, &route)})
	}
}

// mount makes the handlers that need the API.
func (m *routeMux) mount(a *API) {
	for _, fn := range m.mounts {
		fn(a)
	}
}

// admitted is a handler for accounts that may use it.
type admitted struct {
	gate    *gate
	allow   Access
	pattern string
	handler http.Handler
}

// ServeHTTP authenticates the client and calls the handler.
func (h *admitted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, err := h.gate.admit(r, h.allow, &Permission{Operation: "route " + h.pattern})
	if err != nil {
		wire.WriteError(w, r, h.gate.log, err)
		return
	}
	h.handler.ServeHTTP(w, r)
}

// splitPattern splits "POST /x/" into its method, which may be empty, and its path.
func splitPattern(pattern string) (method, path string) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		return "", pattern
	}
	return method, strings.TrimLeft(path, " \t")
}

// isAbove reports whether all paths below other are below the path of a route too: it would hide what the API answers
// for paths that it does not serve.
func isAbove(path, other string) bool {
	return strings.HasSuffix(path, "/") && !strings.Contains(path, "{") && strings.HasPrefix(other, path)
}

// pathFault returns the fault of a route's path with its remedy, or "".
func pathFault(p string) string {
	literal, _, _ := strings.Cut(p, "{")
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Sprintf("%q does not begin with a slash; write the path only, behind the method if there is one", p)
	case literal == "/":
		return "everything lies below it; choose a path of the plugin's own"
	case !routes.IsClean(literal):
		return "the path is not in canonical form; write it without empty segments and dots"
	}
	if i := strings.IndexAny(p, "?#*"); i >= 0 {
		return fmt.Sprintf("a path has no %q; let the handler read the query, and write {name...} for the rest of a path",
			p[i:i+1])
	}
	return ""
}

// wildcard matches a wildcard of a pattern.
var wildcard = regexp.MustCompile(`\{(\w*)(\.\.\.|\$)?\}`)

// routeOperation describes a route in the API document.
func routeOperation(plugin, method, path string, route *Route) schema.Operation {
	o := schema.Operation{
		Method: method, Path: wildcard.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "{$1}"), Absolute: true,
		Tag: "Routes", Summary: route.Summary, Anonymous: route.Allow == Anybody, Foreign: true,
	}
	if plugin != "" {
		o.Tag = "Routes: " + plugin
	}
	if method == "" {
		o.Method = http.MethodGet // the document has no entry for all methods
	}
	words := strings.FieldsFunc(o.Path, func(r rune) bool { return strings.ContainsRune("/{}.-~", r) })
	o.ID = strings.Join(append(words, strings.ToLower(o.Method)), "_")
	return o
}

// Package rest is the REST API: an [http.Handler] that speaks Pulp 3's wire format.
//
// A plugin declares a [ViewSet] per type and gets list, read, create, update and delete with Pulp's paths, filters,
// errors and asynchronous replies. A [Resource] serves rows that have no master, such as the tasks of the core. Further
// operations are an [Action] each, see [Post] and [Do]; a [Creator], a [Filter] and [Computed] change one step.
//
// The fields of a struct describe what requests may give and what answers show. They are read once, when [New] is
// called; requests are parsed, answers rendered and the OpenAPI document written from the same description.
//
// # Fields
//
// A field is on the wire under its json name, and described there by its doc tag. Its type decides what JSON it is: an
// href or a PRN for a uuid.UUID, write-only text for [secrets.EncryptedText], RFC 3339 for time.Time, an array or
// object for slices, maps and structs. A pointer takes null. The words of the tag rest are separated by commas:
//
//	required        a request that creates or replaces the row must have it; implied by pulp:"natural" without default=
//	readonly        answers have it and requests must not
//	default=VALUE   value of a field that a request leaves out, as text: default=PULP_MANIFEST, default=true
//	min=1           smallest number
//	max=255         longest text, in characters
//	verbatim        spaces around a text belong to it
//	blank           a text may be empty
//	choices=a|b     the texts that are allowed
//	ref=repository  kind of row that a uuid.UUID refers to, required for it: a master (content, repository, remote,
//	                publication, distribution, contentguard), repositoryversion, artifact, task,
//	                taskgroup, taskschedule, appstatus
//
// The same tags are read from the input of an action, see [Post]. The tags of models are described at [models.Define].
//
// A [secrets.EncryptedText] is write-only: answers have hidden_fields, which shows of each secret whether it is set. A
// member that is computed from other rows is a [Computed]; one that is in requests only belongs to the input of
// [Create] or of an action. PATCH keeps the value of a member that is left out; null is a value of its own.
//
// # Validation
//
// Fields are checked by their tags and all faults reported together, as [FieldErrors]. Then come the methods of the
// type: models.Validator for what depends on several fields, [ContextValidator] for what depends on other rows. Content
// is completed from its file before them, see [SingleArtifact]. A [Serializer] applies the same rules without HTTP.
//
// Repositories, remotes and distributions are updated and deleted by tasks that reserve them, because a sync or a
// publication may use them. The tasks run within the request if the row is free; an update that changes nothing makes
// none. Other operations on locked rows are actions that dispatch a task of the plugin and return [Request.Accept].
//
// Work that takes time or needs reservations is answered with 202 and a task. The tasks of this package are bound by
// [Tasks], which the workers need.
package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// Options are the parts of an [API] that have defaults.
type Options struct {
	// Root is the path below which the API is mounted, with a slash at both ends. Default "/pulp/".
	Root string
	// Views are the viewsets of all plugins.
	Views []View
	// Routes are further handlers of plugins.
	Routes []Route
	// Versions are the versions of the components by name: "core" and the plugins. Clients decide by them what they
	// offer. Default none.
	Versions map[string]string
	// Auth returns the account of a request. Default [BasicAuth]; a process that serves other pages with accounts shares
	// one instance.
	Auth Authenticator
	// Authorizer decides what accounts may do. Default: superusers everything, others nothing.
	Authorizer Authorizer
	// Hosts are the names under which the API may be asked; a request for another one is answered with 400. Nil allows
	// the names of this machine: see [webserver.Hosts].
	Hosts *webserver.Hosts
	// Origins are the other origins whose pages may make a browser change data. Requests from elsewhere with another
	// method than GET, HEAD and OPTIONS are answered with 403, those for Routes too. Nil trusts none.
	Origins *webserver.Origins
	// Limits are how long clients may keep a connection without sending or taking anything. Nil has the defaults; those
	// of a handler around the API win.
	Limits *webserver.Limits
	// ContentOrigin is scheme and host of the content app, without a trailing slash. Empty makes base_url a path.
	ContentOrigin string
	// ContentHasOwnOrigin refuses requests that come to ContentOrigin with 403, for there is no sandbox around served
	// files there.
	ContentHasOwnOrigin bool
	// ContentPathPrefix is the path below which content is served. Default "/pulp/content/".
	ContentPathPrefix string
	// AllowedImportPaths are the folders that file:// URLs of remotes may point into. Default none.
	AllowedImportPaths []string
	// PageSize is the number of entries of a page without the parameter limit. Default 100.
	PageSize int
	// EventStreams is the number of clients that can follow events at a time; more are answered with 503. Default 100.
	EventStreams int
	// KeepAlive is the time without an event after which a stream of events sends a comment, so that no proxy closes the
	// connection. Default 15 s.
	KeepAlive time.Duration
	// CacheConnected reports whether the cache answers, for the status. Default: it does not.
	CacheConnected func(ctx context.Context) bool
	// Log receives what goes wrong on this side. Default: nowhere.
	Log *slog.Logger
}

// FieldErrors names what is wrong with the fields of a request, by their names on the wire; "non_field_errors" is the
// request as a whole. It is of kind Invalid and answered with 400. Of more than 100 reasons, or more than 16 KiB of
// text, the answer has the first ones and the number of the others.
type FieldErrors = wire.FieldErrors

// NonField is the key of [FieldErrors] for what concerns no single field.
const NonField = wire.NonField

// API is the REST API. It is an [http.Handler] for the paths below its root and those of its routes, and safe for
// concurrent use.
type API struct {
	site    *site
	gate    *gate
	routes  *routeMux
	handler http.Handler
}

const (
	defaultRoot     = "/pulp/"
	defaultPageSize = 100
)

// New checks all views and routes and returns the API. db must be bound to a domain.
//
// Errors: Invalid, naming every fault of every view and route.
func New(db *models.DB, queue *tasking.Queue, store *storage.Store, opts *Options) (*API, error) {
	a, faults := build(db.Registry(), opts, nil)
	if db.Domain() == nil {
		faults = append(faults, errors.New("the database handle is bound to no domain; make it with DB.InDomain"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("rest: %w: %w", pulperr.Invalid, err)
	}
	a.site.db, a.site.queue, a.site.store = db, queue, store
	if a.gate.auth == nil {
		a.gate.auth = BasicAuth(db, &BasicAuthOptions{Log: a.site.log})
	}
	a.routes.mount(a)
	return a, nil
}

// DB returns the database handle, for routes of plugins.
func (a *API) DB() *models.DB { return a.site.db }

// Queue returns the queue that tasks are dispatched to, for routes of plugins.
func (a *API) Queue() *tasking.Queue { return a.site.queue }

// Store returns the store, for routes of plugins.
func (a *API) Store() *storage.Store { return a.site.store }

// WriteError answers a request with an error as the operations of the API do: by its kind, with the public text of the
// error and nothing else of it. It is for routes of plugins.
func (a *API) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	wire.WriteError(w, r, a.site.log, err)
}

// Part is what one plugin gives to the API.
type Part struct {
	Plugin string // its name
	Views  []View
	Routes []Route
}

// Check returns every fault that [New] would find in opts and the parts of plugins, without a database. Each fault of a
// part begins with the plugin's name and ends with the remedy. The registry may be one with faults, see [models.Check].
// The Views and Routes of opts come before those of the parts.
func Check(registry *models.Registry, opts *Options, parts ...Part) []error {
	_, faults := build(registry, opts, parts)
	return faults
}

// compiler turns views into operations and collects their faults.
type compiler struct {
	registry   *models.Registry
	opts       *Options
	links      *links.Links
	site       *site
	gate       *gate
	masters    map[models.Master]*master
	components *schema.Components
	ops        []*operation
	owners     map[*operation]string // the plugins of operations; none for those of the core
	plugin     string                // whose views or routes are compiled; "" if they are given without a plugin
	faults     []error
}

func (c *compiler) add(o *operation) {
	c.ops = append(c.ops, o)
	if c.plugin != "" {
		if c.owners == nil {
			c.owners = map[*operation]string{}
		}
		c.owners[o] = c.plugin
	}
}

// ownerOf names who has added an operation, for a fault.
func (c *compiler) ownerOf(o *operation) string {
	if plugin := c.owners[o]; plugin != "" {
		return fmt.Sprintf("plugin %q", plugin)
	}
	return "the API itself"
}

func (c *compiler) refs() query.References { return query.References{Links: c.links} }

func (c *compiler) fault(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if c.plugin != "" {
		err = fmt.Errorf("plugin %q: %w", c.plugin, err)
	}
	c.faults = append(c.faults, err)
}

// build assembles the parts that need no database.
func build(registry *models.Registry, given *Options, parts []Part) (*API, []error) {
	opts := &Options{}
	// complete changes the copy: the caller may use its Options for another API.
	if given != nil {
		*opts = *given
	}
	faults := opts.complete()
	l := links.New(opts.Root + "api/v3/")
	s := &site{links: l, views: map[*links.Type]*view{}, opts: opts, log: opts.Log}
	c := &compiler{
		registry: registry, opts: opts, links: l, site: s, masters: masterTable(l),
		components: schema.NewComponents(), faults: faults,
	}
	c.gate = newGate(opts)
	addAnswers(c.components)
	parts = append([]Part{{Views: opts.Views, Routes: opts.Routes}}, parts...)
	for _, p := range parts {
		c.plugin = p.Plugin
		for i, v := range p.Views {
			if v == nil {
				c.fault("view %d is nil; leave it out", i+1)
				continue
			}
			v.mount(c)
		}
	}
	c.plugin = ""
	mountCore(c)
	// The router comes last, because it serves and describes the operations that the parts above have added.
	routes := newRouter(c, c.gate, parts)
	c.gate.next = routes
	return &API{s, c.gate, routes, opts.Limits.Handler(c.gate)}, c.faults
}

// complete sets the defaults and returns the faults of the options.
func (o *Options) complete() (faults []error) {
	o.Root = cmp.Or(o.Root, defaultRoot)
	if !strings.HasPrefix(o.Root, "/") || !strings.HasSuffix(o.Root, "/") || strings.ContainsAny(o.Root, "{}*?#") {
		faults = append(faults, fmt.Errorf("root %q is not a path between two slashes; write it as in \"/pulp/\"", o.Root))
		o.Root = defaultRoot // the faults of the other options are reported as well
	}
	o.ContentPathPrefix = cmp.Or(o.ContentPathPrefix, "/pulp/content/")
	if o.PageSize < 0 || o.PageSize > query.MaxPage {
		faults = append(faults, fmt.Errorf("page size %d is not between 0 and %d; change it", o.PageSize, query.MaxPage))
	}
	o.PageSize = cmp.Or(o.PageSize, defaultPageSize)
	o.EventStreams = cmp.Or(o.EventStreams, defaultEventStreams)
	o.KeepAlive = cmp.Or(o.KeepAlive, defaultKeepAlive)
	if err := o.Limits.Validate(); err != nil {
		faults = append(faults, err)
	}
	if o.Authorizer == nil {
		o.Authorizer = superusers{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return faults
}

// ServeHTTP answers a request. It panics with [http.ErrAbortHandler], as handlers do to cut the connection, if a
// handler panics when part of the answer was sent already.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A host that routes with chi has left its own state in the context; ours starts with the whole path.
	ctx := context.WithValue(r.Context(), chi.RouteCtxKey, nil)
	a.handler.ServeHTTP(w, r.WithContext(ctx))
}

// Package rest is the REST API: an [http.Handler] that speaks Pulp 3's wire format.
//
// A plugin mounts a [ViewSet] per type and gets list, read, create, update and delete with Pulp's paths, filters,
// errors and asynchronous replies; it adds only what is special, as an [Action]. What a view accepts and answers is
// read from the fields of the type's struct, once, when [New] is called; requests are parsed, answers rendered and the
// OpenAPI document written from the same declarations.
//
// # Fields
//
// A field is on the wire under its json name, and described there by its doc tag. Its type decides what JSON it is: an
// href or a PRN for a uuid.UUID, write-only text for [secrets.EncryptedText], RFC 3339 for time.Time, an array or object
// for slices, maps and structs. A pointer takes null. The tag rest says more, in words separated by commas:
//
//	required        a request that creates or replaces the row must have it; implied by pulp:"natural"
//	readonly        answers have it and requests must not
//	default=VALUE   what a request means that leaves it out, as text: default=PULP_MANIFEST, default=true
//	min=1           smallest number
//	max=255         longest text, in characters
//	choices=a|b     the texts that are allowed
//	ref=repository  what a uuid.UUID refers to, which it needs: a master (content, repository, remote, publication,
//	                distribution, contentguard), repositoryversion, artifact, task, taskgroup, taskschedule, appstatus
//
// The same tags are read from the input of an action, see [Post]. The tags of models are described at [models.Define].
//
// Work that takes time or needs reservations is answered with 202 and a task. The tasks of this package are bound by
// [Tasks], which the workers need.
package rest

import (
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
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// Options are the parts of an [API] that have defaults.
type Options struct {
	// Root is the path below which the API is mounted, with a slash at both ends. Default "/pulp/".
	Root string
	// Views are the viewsets of all plugins.
	Views []Mount
	// Routes are further handlers of plugins.
	Routes []Route
	// Versions are the versions of the components by name: "core" and the plugins. Clients decide by them what they
	// offer. Default none.
	Versions map[string]string
	// Auth finds out who sends a request. Default [BasicAuth]; a process that serves something else with accounts shares
	// one.
	Auth Authenticator
	// Hosts are the names under which the API may be asked; a request for another one is answered with 400. Nil allows
	// those that mean this machine: see [webserver.Hosts].
	Hosts *webserver.Hosts
	// Origins are the other origins whose pages may make a browser change something. Requests from elsewhere with another
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
	// PageSize is the number of entries of a page if the client does not say. Default 100.
	PageSize int
	// EventStreams is the number of clients that can follow events at a time; more are answered with 503. Default 100.
	EventStreams int
	// CacheConnected tells whether the cache answers, for the status. Default: it does not.
	CacheConnected func(ctx context.Context) bool
	// Log receives what goes wrong on this side. Default: nowhere.
	Log *slog.Logger
}

// Access says who may use a route.
type Access uint8

// The accesses of a route. A route that does not declare one is closed to all but superusers, as the API is.
const (
	Superusers Access = iota // accounts with is_superuser
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
	// Allow says who may use the route. Default: Superusers.
	Allow Access
}

// API is the REST API. It is an [http.Handler] for the paths below its root and those of its routes, and safe for
// concurrent use.
type API struct {
	db      *models.DB
	queue   *tasking.Queue
	store   *storage.Store
	opts    Options
	log     *slog.Logger
	base    string // "/pulp/api/v3/"
	auth    Authenticator
	views   []*view
	byPath  map[string]*view // "repositories/file/file/"
	byPRN   map[string]*view // "file.filerepository"
	byType  map[models.Master]map[string]*view
	schemas schemas
	ops     []*operation
	router  *chi.Mux
	guard   *webserver.Guard
	limited http.Handler // all of it, for clients that move
	docs    *documents
	streams chan struct{} // a token for each stream of events
	alive   time.Duration // how often streams say that they are there
}

const (
	defaultRoot     = "/pulp/"
	defaultPageSize = 100
	maxPageSize     = 10000
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
	a.db, a.queue, a.store = db, queue, store
	if a.auth == nil {
		a.auth = BasicAuth(a.db, &BasicAuthOptions{Log: a.log})
	}
	a.docs = newDocuments(a)
	return a, nil
}

// Part is what one plugin gives to the API.
type Part struct {
	Plugin string // its name
	Views  []Mount
	Routes []Route
}

// Check returns every fault that [New] would find in opts and the parts of plugins, without a database. Each fault of a
// part begins with the plugin's name and ends with the remedy. The registry may be one with faults, see [models.Check].
// The Views and Routes of opts come before those of the parts.
func Check(registry *models.Registry, opts *Options, parts ...Part) []error {
	_, faults := build(registry, opts, parts)
	return faults
}

// build assembles what is known without a database.
func build(registry *models.Registry, opts *Options, parts []Part) (*API, []error) {
	a := &API{
		byPath: map[string]*view{}, byPRN: map[string]*view{}, byType: map[models.Master]map[string]*view{},
		schemas: schemas{},
	}
	if opts != nil {
		a.opts = *opts
	}
	c := &compiler{api: a, registry: registry}
	c.faults = a.setDefaults()
	parts = append([]Part{{Views: a.opts.Views, Routes: a.opts.Routes}}, parts...)
	for _, p := range parts {
		c.plugin = p.Plugin
		for i, m := range p.Views {
			if m == nil {
				c.fault("view %d is nil; leave it out", i+1)
				continue
			}
			m.mount(c)
		}
	}
	a.addViews()
	a.addCore()
	a.route(c, parts)
	return a, c.faults
}

func (a *API) setDefaults() (faults []error) {
	o := &a.opts
	if o.Root == "" {
		o.Root = defaultRoot
	}
	if !strings.HasPrefix(o.Root, "/") || !strings.HasSuffix(o.Root, "/") || strings.ContainsAny(o.Root, "{}*?#") {
		faults = append(faults, fmt.Errorf("root %q is not a path between two slashes; write it as in \"/pulp/\"", o.Root))
		o.Root = defaultRoot // so that the rest can be checked
	}
	if o.ContentPathPrefix == "" {
		o.ContentPathPrefix = "/pulp/content/"
	}
	if o.PageSize < 0 || o.PageSize > maxPageSize {
		faults = append(faults, fmt.Errorf("page size %d is not between 0 and %d; change it", o.PageSize, maxPageSize))
	}
	if o.PageSize == 0 {
		o.PageSize = defaultPageSize
	}
	if o.EventStreams == 0 {
		o.EventStreams = defaultEventStreams
	}
	a.alive = keepAlive
	a.streams = make(chan struct{}, max(0, o.EventStreams))
	if err := o.Limits.Validate(); err != nil {
		faults = append(faults, err)
	}
	a.log = o.Log
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.guard = a.newGuard()
	a.limited = o.Limits.Handler(http.HandlerFunc(a.enter))
	a.auth = o.Auth
	a.base = o.Root + "api/v3/"
	return faults
}

// ServeHTTP answers a request. It panics with [http.ErrAbortHandler], as handlers do to cut the connection, if a
// handler panics when part of the answer was sent already.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A host that routes with chi has left its own state in the context; ours starts with the whole path.
	ctx := context.WithValue(r.Context(), chi.RouteCtxKey, nil)
	a.limited.ServeHTTP(w, r.WithContext(ctx))
}

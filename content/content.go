// Package content serves what repositories hold: the content app. An [App] is an http.Handler that finds the
// distribution whose base path a request begins with, asks its content guard, and answers with a file of the
// distribution's publication or repository version, or with a listing.
//
// A distribution whose type is a [PullThrough] also serves what only its remote has.
//
// Bytes that are not here yet are fetched from their remote while the client reads them: once, however many clients
// ask at a time, hashed and stored on the way. A client never gets the whole of a file with wrong bytes: the last block
// is withheld until the digests were found right, and the connection is cut if they are wrong.
//
// For bytes of every source, ranges and conditions are answered by [http.ServeContent]. Memory does not grow with the
// number of files in a folder or with their size.
//
// Plugins take part by optional interfaces of their types ([Guard], [Handler], [Lister], [HeaderSetter]) and by
// routes of their own ([Route]).
package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/webserver"
)

// Defaults of the fields of [Options].
const (
	DefaultPrefix          = "/pulp/content/"
	DefaultPageSize        = 1000
	DefaultFailureCooldown = 5 * time.Minute
	DefaultGuardTimeout    = 30 * time.Second
	DefaultMaxFetches      = 64
	DefaultMaxFetchSize    = 32 << 30
	DefaultMaxHeldRange    = 32 << 20
)

// Options refine [New]. A nil *Options and the zero value of each field are the defaults.
type Options struct {
	Prefix string  // path below which everything is served, with a slash at both ends; default DefaultPrefix
	Routes []Route // of plugins
	Log    *slog.Logger

	// RedirectToObjectStorage sends clients to signed URLs where the store can sign. Nil is true.
	RedirectToObjectStorage *bool
	HideGuarded             bool // leave distributions with a content guard out of listings
	PageSize                int  // names on one page of a listing; default DefaultPageSize
	// GuardTimeout is how long a content guard may take; a request is answered with 503 then. Default
	// DefaultGuardTimeout.
	GuardTimeout time.Duration
	// Authorize decides for guards that leave the decision to the host, such as guards.RBAC. It returns what
	// [Guard.Permit] does. Nil refuses every request.
	Authorize func(ctx context.Context, r *Request, guard models.AnyContentGuard) error

	// AddContent adds units to a repository, see [PullThrough]. It dispatches a task, because the caller does not wait for
	// the new version. Default: units that were pulled are served, and not added.
	AddContent func(ctx context.Context, repository uuid.UUID, units []uuid.UUID) error

	// FailureCooldown is how long a remote is not asked again for a file of which it sent wrong bytes. Default
	// DefaultFailureCooldown; less than 0 is no time at all.
	FailureCooldown time.Duration
	// MaxFetches is how many files are fetched from remotes at a time; one remote has at most a quarter of the places.
	// Default DefaultMaxFetches.
	MaxFetches int
	// MaxHeldRange is the size in bytes up to which a range of a file that is not here yet is answered only when the
	// whole file was fetched and its digest found right. A range of a larger file is answered while the file comes, so
	// it may carry bytes of a file that turns out to be wrong; a range up to the end of the file never completes in
	// that case. Default DefaultMaxHeldRange; less than 0 is for no file.
	MaxHeldRange int64
	MaxFetchSize int64 // bytes of a fetched file of unknown size; default DefaultMaxFetchSize
	// WorkDir is a directory for the bytes of fetches that are under way. Default: none; requests for files that have to
	// be fetched are answered with 503 then.
	WorkDir            string
	AllowedImportPaths []string // directories that file URLs of remotes may point below

	// Origins are the other origins whose pages may make a browser send more than GET and HEAD to routes of plugins. Nil
	// trusts none.
	Origins *webserver.Origins
	// Limits are how long clients may keep a connection without sending or taking anything. Nil has the defaults; those
	// of a handler around the app win.
	Limits *webserver.Limits
	// OwnOrigin is an origin, "https://content.example.com", at which browsers reach content only. Answers to requests
	// there are sent without the Content-Security-Policy "sandbox", which keeps scripts in files away from the API.
	// Default: none.
	OwnOrigin string

	// ContentTypes are added to the table of content types, by file name extension with its dot in lower case.
	ContentTypes map[string]string
}

// App is the content app of one domain. It is an http.Handler, safe for concurrent use.
type App struct {
	db     *models.DB
	store  *storage.Store
	finder *lookup.Finder
	jobs   *jobs // fetches and what follows them
	files  *fileServer
	site   *site
	routes *routeMux // of plugins; nil without any
	border http.Handler

	authorize func(ctx context.Context, r *Request, guard models.AnyContentGuard) error
}

// New returns the content app for the domain that db is bound to. It starts no goroutine. The caller closes it, before
// the database, the store and the pool.
//
// Errors: Invalid, with every fault of the options.
func New(db *models.DB, store *storage.Store, downloads *download.Pool, opts *Options) (*App, error) {
	o := &Options{}
	if opts != nil {
		*o = *opts
	}
	var faults []error
	if db.Domain() == nil {
		faults = append(faults, errors.New("the database handle is bound to no domain; make it with DB.InDomain"))
	}
	faults = append(faults, o.fill()...)
	a := &App{db: db, store: store, finder: lookup.New(db), jobs: newJobs(), authorize: o.Authorize}
	fetches := newFetcher(db, store, downloads, a.jobs, o)
	pulls := newPuller(fetches)
	a.files = &fileServer{
		db: db, store: store, fetcher: fetches, pulls: pulls, log: o.Log, opts: o,
		redirect: (o.RedirectToObjectStorage == nil || *o.RedirectToObjectStorage) && store.CanSign(),
	}
	a.site = &site{
		app: a, db: db, finder: a.finder, files: a.files, log: o.Log, prefix: o.Prefix,
		guards:   &guards{db: db, log: o.Log, timeout: o.GuardTimeout},
		pulls:    pulls,
		adopter:  newAdopter(o, a.jobs),
		listings: &listings{db: db, prefix: o.Prefix, hideGuarded: o.HideGuarded, pageSize: o.PageSize},
	}
	routes, routeFaults := newRoutes(a, o.Prefix, a.site, o.Routes)
	// The mux passes requests on to the site, and the site asks the mux which paths a plugin covers.
	a.routes, a.site.routes = routes, routes
	a.border = newBorder(o, http.HandlerFunc(a.serveAll))
	if err := errors.Join(append(faults, routeFaults...)...); err != nil {
		return nil, fmt.Errorf("content: %w: %w", pulperr.Invalid, err)
	}
	return a, nil
}

// fill puts in the defaults and returns the fields that have no valid value as faults.
func (o *Options) fill() (faults []error) {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(o.Prefix, "/"), "/")
	// http.ServeMux would read braces as wildcards.
	valid := "/"+inner+"/" == o.Prefix && models.ValidPath(inner) && !strings.ContainsAny(inner, "{}")
	if o.Prefix != "/" && !valid {
		faults = append(faults, fmt.Errorf("prefix %q is not a canonical path between two slashes; write it as in %q",
			o.Prefix, DefaultPrefix))
		o.Prefix = DefaultPrefix // so that the rest can be checked
	}
	for _, n := range []struct {
		name  string
		value *int
		base  int
	}{{"page size", &o.PageSize, DefaultPageSize}, {"number of fetches", &o.MaxFetches, DefaultMaxFetches}} {
		if *n.value < 0 {
			faults = append(faults, fmt.Errorf("the %s is %d; make it positive, or 0 for %d", n.name, *n.value, n.base))
		}
		if *n.value <= 0 {
			*n.value = n.base
		}
	}
	if o.GuardTimeout < 0 {
		faults = append(faults, fmt.Errorf("the guard timeout is %v; make it positive, or 0 for %v", o.GuardTimeout,
			DefaultGuardTimeout))
	}
	if o.GuardTimeout <= 0 {
		o.GuardTimeout = DefaultGuardTimeout
	}
	if o.MaxFetchSize <= 0 {
		o.MaxFetchSize = DefaultMaxFetchSize
	}
	if o.MaxHeldRange == 0 {
		o.MaxHeldRange = DefaultMaxHeldRange
	}
	if o.FailureCooldown == 0 {
		o.FailureCooldown = DefaultFailureCooldown
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Authorize == nil {
		o.Authorize = func(context.Context, *Request, models.AnyContentGuard) error {
			return pulperr.Public(pulperr.Forbidden, "Access denied.")
		}
	}
	for ext := range o.ContentTypes {
		if !strings.HasPrefix(ext, ".") || strings.ToLower(ext) != ext {
			faults = append(faults, fmt.Errorf("content type of %q: an extension begins with a dot and is in lower case; "+
				"write %q", ext, "."+strings.ToLower(strings.TrimPrefix(ext, "."))))
		}
	}
	if err := o.Limits.Validate(); err != nil {
		faults = append(faults, err)
	}
	return faults
}

// DB returns the database handle, for handlers of plugins.
func (a *App) DB() *models.DB { return a.db }

// Store returns the store, for handlers of plugins.
func (a *App) Store() *storage.Store { return a.store }

// ServeHTTP answers a request. It panics with [http.ErrAbortHandler], as handlers do to cut the connection, if a file
// turns out to be wrong or incomplete when part of it was sent already, or if a handler panics then.
//
// Every answer, also of a plugin's handler or route, has X-Content-Type-Options: nosniff and, unless it is
// Options.OwnOrigin that was asked, Content-Security-Policy: sandbox. A handler can add policies and cannot take these
// away.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.border.ServeHTTP(w, r) }

func (a *App) serveAll(w http.ResponseWriter, r *http.Request) {
	if a.routes.accepts(r.URL.Path) {
		a.routes.mux.ServeHTTP(w, r)
		return
	}
	a.site.ServeHTTP(w, r)
}

// ServeFile returns a handler that answers with the file which a content artifact is, wherever its bytes are: for
// routes and content handlers of plugins. name decides the content type, unless header has one. A nil header is empty.
func (a *App) ServeFile(contentArtifactID uuid.UUID, name string, header http.Header) http.Handler {
	return a.files.serveByID(contentArtifactID, name, header)
}

// Close cuts all fetches short, waits for them and refuses new ones. Incomplete files are not stored. It may be
// called more than once. Call it once no request is served any more; see also [App.Drain].
func (a *App) Close() error {
	a.jobs.close()
	return a.finder.Close()
}

// Idle waits until no fetch from a remote is running. By then, what was fetched is stored, also if its clients have
// gone, and the tasks that add pulled units to repositories are dispatched. Fetches that begin meanwhile are waited for
// too; none is refused.
//
// Errors: the cause of ctx.
func (a *App) Idle(ctx context.Context) error { return a.jobs.idle(ctx) }

// Drain refuses new fetches and waits for the running ones, also if their clients have gone. When ctx is done it cuts
// the rest short, as Close does, and returns the cause of ctx.
func (a *App) Drain(ctx context.Context) error {
	err := a.jobs.drain(ctx)
	return errors.Join(err, a.Close())
}

// Package pulpcore assembles content servers like Pulp 3: content-addressed artifacts, versioned repositories, sync
// pipelines, tasks with resource reservations, publications, a REST API that Pulp's clients drive, and a content app.
//
// A host opens an [App] from settings and plugins, and runs it, or mounts its handlers in a server of its own:
//
//	set, err := settings.Load(settings.OptionalFile("/etc/pulp/settings.toml"), settings.Env("PULP_"))
//	app, err := pulpcore.Open(ctx, set, file.Plugin())
//	defer app.Close()
//	err = app.Run(ctx)
//
// Nothing else has to be installed: without settings everything is kept in SQLite and a folder.
// There is no global state; two Apps with different plugins and settings can live in one process.
//
// "Errors: NotFound" in a comment, here and in all packages, means that errors.Is(err, pulperr.NotFound) holds for what
// is returned then. A database, Redis, storage or upstream that does not answer is Unavailable: the same call may work
// later. Only [models.DB.Tx], and statements of your own, return what the database driver says.
package pulpcore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// App is a content server: everything that a set of plugins and settings make together. Make one with [Open]. Its
// methods are safe for concurrent use.
type App struct {
	set       *settings.Set
	log       *slog.Logger
	db        *models.DB
	store     *storage.Store
	queue     *tasking.Queue
	downloads *download.Pool
	bindings  []tasking.Binding
	versions  map[string]string
	api       http.Handler
	content   *content.App

	opts Options // for the workers

	front *front
	auth  rest.Authenticator

	contentRoutes *http.ServeMux // the patterns of plugins' content routes

	closing sync.Mutex
	closers []func() error // in the order of opening
}

// Options are what a host may bring along. The zero value of each field is its default.
type Options struct {
	Log   *slog.Logger   // default: what LOGGING says, on stderr
	Store *storage.Store // default: opened from STORAGE_URL. Once Open has succeeded, the App closes it.

	// Redis are the full connection options of the Redis that tasks are announced in, for Sentinel for example: a
	// MasterName and the addresses of the sentinels. Default: what REDIS_URL says.
	Redis *redis.UniversalOptions
	// RedisPrefix begins the names that the App uses in Redis. Each installation needs one of its own, or a database
	// number of its own, if several share a Redis; all processes of one need the same. Default "pulp".
	RedisPrefix string

	// TaskCommand returns a command that opens the same App and calls [App.RunIsolated]: usually this program itself
	// with an argument that means it. Plugins that have tasks with [tasking.BindingOptions].Subprocess need it, and a
	// store that more than one process can use.
	TaskCommand func() *exec.Cmd
	OnStuck     func(task *models.Task, dump string) // see [tasking.WorkerOptions]; default: only the log tells of it
	// IgnoreSubprocess executes such tasks in this process. It is meant for tests.
	IgnoreSubprocess bool

	// AccessLog receives a line for each request, see [webserver.AccessLog]. Default: Log if ACCESS_LOG is set, else
	// nothing does.
	AccessLog *slog.Logger

	// Tracer and Meter are OpenTelemetry's providers, to which tasks report whatever OTEL_ENABLED says. Default: nowhere.
	// The host shuts them down after it has closed the App. Two Apps in one process need a Meter each.
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// Open checks the settings and the plugins, connects to database, storage and Redis, and assembles the App. It reports
// all faults of settings and plugins in one error, a line each, before it opens or makes anything. An empty
// database gets its schema; one whose schema is older or newer than the plugins' is refused, see [Migrate]. The caller
// closes the App.
//
// Errors: Invalid for faults of settings and plugins, Conflict for the schema, Unavailable.
func Open(ctx context.Context, set *settings.Set, plugins ...*Plugin) (*App, error) {
	return OpenWith(ctx, set, nil, plugins...)
}

// OpenWith is [Open] with parts that the host brings along.
func OpenWith(ctx context.Context, set *settings.Set, opts *Options, plugins ...*Plugin) (app *App, err error) {
	if opts == nil {
		opts = &Options{}
	}
	b, err := check(set, opts, plugins)
	if err != nil {
		return nil, err
	}
	a := &App{set: b.set, log: opts.Log, versions: b.versions, front: b.front, opts: *opts}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.log == nil {
		a.log = b.set.Logger(os.Stderr)
	}
	for _, note := range b.set.Notes() {
		a.log.WarnContext(ctx, "a setting has no effect", "note", note)
	}
	for _, key := range withoutEffect(b.set) {
		a.log.WarnContext(ctx, "a setting has no effect yet", "setting", key)
	}
	if err := a.openDatabase(ctx, b); err != nil {
		return nil, err
	}
	if err := a.openParts(ctx, b, opts); err != nil {
		return nil, err
	}
	return a, nil
}

// Migrate brings the database schema up to what the plugins need and makes the default domain. Run it once per
// upgrade, before the new version's servers start; several at a time do no harm.
//
// Errors: Conflict if the schema is newer than the plugins; otherwise as [Open].
func Migrate(ctx context.Context, set *settings.Set, plugins ...*Plugin) error {
	b, err := check(set, &Options{IgnoreSubprocess: true}, plugins)
	if err != nil {
		return err
	}
	db, err := b.connect(ctx, b.set.Logger(os.Stderr))
	if err != nil {
		return err
	}
	return errors.Join(models.Migrate(ctx, db), db.Close())
}

// connect opens the database with the keys that protect its secrets.
func (b *blueprint) connect(ctx context.Context, log *slog.Logger) (*models.DB, error) {
	core := b.set.Core()
	// The key file is made where the library decides on its place. A host that names one has to provide it: a file
	// that is not there is more likely not mounted than not made yet.
	own := core.DBEncryptionKey == filepath.Join(core.DeployRoot, filepath.Base(core.DBEncryptionKey))
	keys, err := secrets.LoadKeyring(core.DBEncryptionKey, own)
	if err != nil {
		return nil, err
	}
	return models.OpenDB(ctx, core.DatabaseURL.Reveal(), &models.DBOptions{
		Registry: b.registry, Keys: keys, Checksums: core.Checksums, Log: log,
	})
}

func (a *App) openDatabase(ctx context.Context, b *blueprint) error {
	db, err := b.connect(ctx, a.log)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, db.Close)
	empty, err := models.Empty(ctx, db)
	if err != nil {
		return err
	}
	if empty {
		if err := models.Migrate(ctx, db); err != nil {
			return err
		}
	}
	if err := models.CheckSchema(ctx, db); err != nil {
		return err
	}
	a.db, err = db.InDomain(ctx, models.DefaultDomain)
	return err
}

func (a *App) openParts(ctx context.Context, b *blueprint, opts *Options) error {
	core := a.set.Core()
	var err error
	a.store = opts.Store
	if a.store == nil {
		a.store, err = storage.Open(ctx, core.StorageURL.Reveal(), &storage.Options{Checksums: core.Checksums, Log: a.log})
		if err != nil {
			return err
		}
		a.closers = append(a.closers, a.store.Close)
	}
	a.db = a.db.WithStore(a.store)
	if err := os.MkdirAll(core.WorkingDirectory, 0o700); err != nil {
		return fmt.Errorf("pulpcore: WORKING_DIRECTORY: %w: %w", pulperr.Unavailable, err)
	}
	a.auth = rest.BasicAuth(a.db, &rest.BasicAuthOptions{Log: a.log})
	a.downloads = download.NewPool(0)
	a.closers = append(a.closers, a.downloads.Close)
	queue, err := tasking.NewQueue(a.db, &tasking.QueueOptions{
		RedisURL: core.RedisURL.Reveal(), Redis: opts.Redis, Prefix: opts.RedisPrefix,
		Versions: a.versions, PreferDefer: core.TaskPreferDefer, Log: a.log, Tracer: opts.Tracer, Meter: opts.Meter,
	})
	if err != nil {
		return err
	}
	a.queue = queue
	a.closers = append(a.closers, queue.Close)
	if a.content, err = content.New(a.db, a.store, a.downloads, contentOptions(a, b)); err != nil {
		return err
	}
	a.closers = append(a.closers, a.content.Close)
	a.contentRoutes = http.NewServeMux()
	for _, r := range b.content {
		a.contentRoutes.Handle(r.Pattern, a.content) // content.New has refused patterns that clash
	}
	api, err := rest.New(a.db, a.queue, a.store, restOptions(a, b))
	if err != nil {
		return err
	}
	a.api = a.behindFront(a.Limits().Handler(api))
	a.bindings = append(b.tasks, rest.Tasks()...)
	if _, err := a.Worker(0); err != nil { // it starts nothing: faults of the tasks show here
		return err
	}
	if opts.Store != nil { // the host's until now, and used by everything opened since
		a.closers = slices.Insert(a.closers, 0, opts.Store.Close)
	}
	return nil
}

// API returns the REST API as a plain handler. Mount it where API_ROOT says, and at the routes of plugins beside it. In
// any server it refuses forged requests, see [App.Origins], and ends transfers that do not move, see [App.Limits].
func (a *App) API() http.Handler { return a.api }

// Content returns the content app as a plain handler. Mount it where CONTENT_PATH_PREFIX says, and at the content
// routes of plugins. In any server it keeps served files from acting on its origin, see [content.App.ServeHTTP], and
// ends transfers that do not move, see [App.Limits].
func (a *App) Content() http.Handler { return a.behindFront(a.content) }

// Work executes tasks, slots at a time, until ctx is done; then it lets running ones finish for TASK_GRACE_INTERVAL.
// With slots 0 the setting WORKERS decides. Once an hour it also removes leftovers of the store and, if the settings
// say so, old tasks and old temporary files.
//
// A process that serves the App's handlers too names the kinds of its servers, which then need no [App.Heartbeat]:
// [tasking.KindAPI], [tasking.KindContent].
func (a *App) Work(ctx context.Context, slots int, serves ...string) error {
	w, err := a.worker(slots, append([]string{tasking.KindWorker}, serves...)...)
	if err != nil {
		return err
	}
	return Together(ctx, w.Run, a.keepHouse)
}

// Run serves API and content app on LISTEN and executes tasks, until ctx is done.
func (a *App) Run(ctx context.Context) error {
	a.log.InfoContext(ctx, "serving", "addr", a.set.Core().Listen)
	return Together(ctx,
		func(ctx context.Context) error { return a.Serve(ctx, a.set.Core().Listen, a.Handler()) },
		func(ctx context.Context) error { return a.Work(ctx, 0, tasking.KindAPI, tasking.KindContent) },
	)
}

// Close releases everything the App opened. It may be called twice. End [App.Run], [App.Work] and the servers that use
// the handlers first.
func (a *App) Close() error {
	a.closing.Lock()
	defer a.closing.Unlock()
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i]())
	}
	a.closers = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pulpcore: close: %w", err)
	}
	return nil
}

// DB returns the database, bound to the default domain.
func (a *App) DB() *models.DB { return a.db }

// Store returns the storage of artifacts and temporary files.
func (a *App) Store() *storage.Store { return a.store }

// Queue returns where tasks are dispatched to.
func (a *App) Queue() *tasking.Queue { return a.queue }

// Origins returns who may make a browser change something, from CSRF_TRUSTED_ORIGINS. API and content app ask it
// themselves; a host puts its handler around pages of its own that change something.
func (a *App) Origins() *webserver.Origins { return a.front.origins }

// Auth returns who finds out who sends a request: HTTP basic authentication against the accounts in the database, see
// [rest.BasicAuth]. The API asks it; a host does so for pages of its own.
func (a *App) Auth() rest.Authenticator { return a.auth }

// Proxies returns whose word about clients is taken, from TRUSTED_PROXIES. API and content app ask them in any server,
// and so does all that [App.Serve] serves.
func (a *App) Proxies() *webserver.Proxies { return a.front.proxies }

// Limits returns how long a client may keep a connection without moving, from HTTP_BODY_TIMEOUT and its kin. API and
// content app keep them in any server. A host with a server of its own makes that by [webserver.Limits.Server], or sets
// ReadHeaderTimeout and IdleTimeout and puts [webserver.Limits.Handler] around its other handlers.
func (a *App) Limits() *webserver.Limits { return limits(a.set.Core()) }

// Settings returns the settings with what the plugins added.
func (a *App) Settings() *settings.Set { return a.set }

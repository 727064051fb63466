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
// No other software is needed: without settings the App keeps its data in SQLite and a folder.
// There is no global state; two Apps with different plugins and settings can live in one process.
//
// "Errors: NotFound" in a comment, here and in all packages, means that errors.Is(err, pulperr.NotFound) holds for what
// is returned then. A database, Redis, storage or upstream that does not answer is Unavailable: the same call may work
// later. Only [models.DB.Tx], and a caller's own statements, return errors of the database driver.
package pulpcore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os/exec"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
	"github.com/pulpgo/pulpcore/webserver"
)

// Version is the version of Pulp whose API this library speaks. The status reports it for the component "core", and
// clients decide by it which features they offer.
const Version = "3.81.0"

// App is a content server, made of settings and a set of plugins. Make one with [Open]. Its methods are safe for
// concurrent use.
type App struct {
	set     *settings.Set
	log     *slog.Logger
	db      *models.DB
	store   *storage.Store
	queue   *tasking.Queue
	auth    rest.Authenticator
	front   *front
	workers worker.Options // what all workers have in common; each adds its kinds and its slots

	api, content, all http.Handler
	served            *content.App // what content has inside
	patterns          []string     // of all that is served

	closing sync.Mutex
	plugins closers // the ends of their Init
	closers closers
}

// Options are parts and preferences of a host. The zero value of each field is its default.
type Options struct {
	// Log is written to in place of the standard error, besides the other handlers of LOGGING. It has its own level: of
	// LOGGING only the levels of named loggers apply to it. Default: standard error, as LOGGING configures it.
	Log *slog.Logger
	// LogHandlers are handlers that LOGGING can refer to by these names, see [settings.LogHandler].
	LogHandlers map[string]slog.Handler
	// Store holds artifacts and temporary files. Once Open has succeeded, the App closes it. Default: one opened from
	// STORAGE_URL.
	Store *storage.Store

	// Authenticator finds out who sends a request to the API, from a session or a token of the host for example. Requests
	// whose credentials it does not know are left to [rest.BasicAuth]. Default: that alone. Tasks record the ID of the
	// account that it returns.
	Authenticator rest.Authenticator
	// Authorizer decides what accounts may do. Default: [rest.SuperusersOnly].
	Authorizer rest.Authorizer

	// Redis are the full connection options of the Redis that tasks are announced in, for Sentinel for example: a
	// MasterName and the addresses of the sentinels. Default: those of REDIS_URL.
	Redis *redis.UniversalOptions
	// RedisPrefix begins the names that the App uses in Redis. Each installation needs one of its own, or a database
	// number of its own, if several share a Redis; all processes of one need the same. Default "pulp".
	RedisPrefix string

	// TaskCommand returns a command that opens the same App and calls [App.RunIsolated]: usually this program itself
	// with an argument that selects it. Plugins that have tasks with [tasking.BindingOptions].Subprocess need it, and a
	// store that more than one process can use.
	TaskCommand func() *exec.Cmd
	// OnStuck is called for a task that does not end after its cancellation, see [worker.Options]. Default: the
	// task is only logged.
	OnStuck func(task *models.Task, dump string)
	// IgnoreSubprocess executes tasks with Subprocess in this process. It is meant for tests.
	IgnoreSubprocess bool

	// IgnoreChecksums opens the App although artifacts lack digests of ALLOWED_CONTENT_CHECKSUMS, or have others. It is
	// meant for the command that calls [models.FixChecksums], and not for a server.
	IgnoreChecksums bool

	// AccessLog receives a line for each request, see [webserver.AccessLog]. Default: Log if ACCESS_LOG is set, else
	// requests are not logged.
	AccessLog *slog.Logger

	// Tracer and Meter are OpenTelemetry's providers, to which tasks report whether or not OTEL_ENABLED is set. Default:
	// none. The host shuts them down after it has closed the App. Two Apps in one process need a Meter each.
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// API returns the REST API as a plain handler. Mount it at API_ROOT and at the API routes of plugins. In any server it
// refuses forged requests, see [App.Origins], and ends transfers without progress, see [App.Limits].
func (a *App) API() http.Handler { return a.api }

// Content returns the content app as a plain handler. Mount it at CONTENT_PATH_PREFIX and at the content routes of
// plugins. In any server it keeps scripts in served files from acting on its origin, see [content.App.ServeHTTP], and
// ends transfers without progress, see [App.Limits].
func (a *App) Content() http.Handler { return a.content }

// Handler returns API and content app behind one handler, for a server without other handlers. The content app gets the
// paths below CONTENT_PATH_PREFIX and the content routes of plugins; the API gets all others.
func (a *App) Handler() http.Handler { return a.all }

// Register adds the App to a mux of the host's own: the API at API_ROOT, the content app at CONTENT_PATH_PREFIX, and
// the routes of plugins at their patterns. mux is an [http.ServeMux], or another router whose Handle takes its
// patterns; for one that does not, such as chi, mount [App.Handler] as its NotFound handler or at "/".
//
// It panics, as [http.ServeMux.Handle] does, if the host has registered a pattern that conflicts.
func (a *App) Register(mux interface {
	Handle(pattern string, h http.Handler)
},
) {
	for _, pattern := range a.patterns {
		mux.Handle(pattern, a.all)
	}
}

// DB returns the database, bound to the default domain.
func (a *App) DB() *models.DB { return a.db }

// Store returns the storage of artifacts and temporary files.
func (a *App) Store() *storage.Store { return a.store }

// Queue returns the queue that tasks are dispatched to.
func (a *App) Queue() *tasking.Queue { return a.queue }

// Origins returns the origins whose pages may send requests that change state, from CSRF_TRUSTED_ORIGINS. API and
// content app check it themselves; a host puts its handler around pages of its own that change state.
func (a *App) Origins() *webserver.Origins { return a.front.origins }

// Auth returns the API's authenticator: the one of [Options], if any, and HTTP basic authentication against the
// accounts in the database, see [rest.BasicAuth]. A host can use it for pages of its own.
func (a *App) Auth() rest.Authenticator { return a.auth }

// Proxies returns the proxies whose forwarding headers are trusted, from TRUSTED_PROXIES. API and content app use them
// in any server, and [App.Serve] does for all that it serves.
func (a *App) Proxies() *webserver.Proxies { return a.front.proxies }

// Limits returns how long a client may keep a connection without making progress, from HTTP_HEADER_TIMEOUT,
// HTTP_BODY_TIMEOUT, HTTP_SEND_TIMEOUT and HTTP_IDLE_TIMEOUT. API and content app keep them in any server. A host with
// a server of its own makes that by [webserver.Limits.Server], or sets ReadHeaderTimeout and IdleTimeout and puts
// [webserver.Limits.Handler] around its other handlers.
func (a *App) Limits() *webserver.Limits { return webserverLimits(a.set.Core()) }

// WaitForFetches waits until no file is fetched from a remote on demand. A client has the last byte of such a file
// before the file is stored; after this call it is, and the tasks that add pulled units to repositories are dispatched.
// New fetches are accepted meanwhile, and waited for too.
//
// Errors: the cause of ctx.
func (a *App) WaitForFetches(ctx context.Context) error { return a.served.Idle(ctx) }

// Log returns the App's logger, which LOGGING configures. A plugin or a host names its own logger after itself:
//
//	log := app.Log().With(settings.LoggerKey, "file")
//
// Its files are closed with the App.
func (a *App) Log() *slog.Logger { return a.log }

// Settings returns the settings, with the sections and defaults that the plugins added.
func (a *App) Settings() *settings.Set { return a.set }

// CreateAdmin makes a superuser named [AdminName] with a password, and reports whether it did. An account of that name,
// also one that another process made at the same moment, stays as it is. Hosts call it at their first start.
func (a *App) CreateAdmin(ctx context.Context, password string) (created bool, err error) {
	return createAdmin(ctx, a.db, password)
}

// SetAdminPassword gives the account named [AdminName] a new password. If there is no such account, it makes one as
// [App.CreateAdmin] does.
func (a *App) SetAdminPassword(ctx context.Context, password string) error {
	return setAdminPassword(ctx, a.db, password)
}

// Close releases everything the App opened. It may be called twice. End [App.Run], [App.Work] and the servers that use
// the handlers first.
func (a *App) Close() error {
	a.closing.Lock()
	defer a.closing.Unlock()
	// The plugins end first: what they started uses the database, the queue and the store.
	err := errors.Join(a.plugins.closeOnce(), a.closers.closeOnce())
	if err != nil {
		return fmt.Errorf("pulpcore: close: %w", err)
	}
	return nil
}

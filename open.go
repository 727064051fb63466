package pulpcore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// Open checks the settings and the plugins, connects to database, storage and Redis, and assembles the App. It reports
// all faults of settings and plugins in one error, a line each, before it opens or makes anything. An empty database
// gets its schema; one whose schema is older or newer than the plugins' is refused, see [Migrate], and so is one whose
// artifacts do not have the digests that ALLOWED_CONTENT_CHECKSUMS asks for, see [models.RequireChecksums]. The caller
// closes the App.
//
// Errors: Invalid for faults of settings, plugins and digests, Conflict for the schema, Unavailable.
func Open(ctx context.Context, set *settings.Set, plugins ...*Plugin) (*App, error) {
	return OpenWith(ctx, set, nil, plugins...)
}

// OpenWith is [Open] with options of the host.
func OpenWith(ctx context.Context, set *settings.Set, opts *Options, plugins ...*Plugin) (*App, error) {
	if opts == nil {
		opts = &Options{}
	}
	p, err := compile(set, opts, plugins)
	if err != nil {
		return nil, err
	}
	var opened closers
	log, err := p.openLog(opts, &opened)
	if err != nil {
		return nil, err
	}
	for _, note := range p.set.Notes() {
		log.WarnContext(ctx, "a setting has no effect", "note", note, settings.LoggerKey, "pulpcore")
	}
	for _, key := range withoutEffect(p.set) {
		log.WarnContext(ctx, "a setting has no effect yet", "setting", key,
			settings.LoggerKey, "pulpcore")
	}
	app, err := p.open(ctx, opts, log, &opened)
	if err != nil {
		return nil, errors.Join(err, opened.close())
	}
	if err := p.initPlugins(ctx, app); err != nil {
		// A host's store is not among what is opened here: if Open fails, the host still has it.
		return nil, errors.Join(err, app.plugins.closeOnce(), opened.close())
	}
	return app, nil
}

// openLog opens the App's logger.
func (p *plan) openLog(opts *Options, opened *closers) (*slog.Logger, error) {
	o := &settings.LogOptions{Handlers: p.logHandlers}
	if opts.Log != nil {
		o.Console = opts.Log.Handler()
	}
	log, files, err := p.set.OpenLog(o)
	if err != nil {
		return nil, err
	}
	opened.add(files.Close)
	return log, nil
}

// named returns the logger of a part of the library.
func named(log *slog.Logger, part string) *slog.Logger {
	return log.With(settings.LoggerKey, "pulpcore."+part)
}

// open opens the parts one after the other and makes the App of them. Also if it fails, opened closes the parts that it
// has opened.
func (p *plan) open(ctx context.Context, opts *Options, log *slog.Logger, opened *closers) (*App, error) {
	core := p.set.Core()
	// The database is opened first, so that it is closed after the queue and the content app, which use it.
	db, err := p.openDatabase(ctx, opts, log, opened)
	if err != nil {
		return nil, err
	}
	store := opts.Store
	if store == nil {
		o := &storage.Options{Checksums: core.Checksums, Log: named(log, "storage")}
		store, err = storage.Open(ctx, core.StorageURL.Reveal(), o)
		if err != nil {
			return nil, err
		}
		opened.add(store.Close)
	}
	// Hooks of models, such as OnNewVersion, write files through the handle that they are given.
	db = db.WithStore(store)
	// The folder is made here, so that a wrong WORKING_DIRECTORY fails at the start and not in the first task.
	if err := os.MkdirAll(core.WorkingDirectory, 0o700); err != nil {
		return nil, fmt.Errorf("pulpcore: WORKING_DIRECTORY: %w: %w", pulperr.Unavailable, err)
	}
	downloads := download.NewPool(0)
	opened.add(downloads.Close)
	queue, err := tasking.NewQueue(db, p.queueOptions(opts, log))
	if err != nil {
		return nil, err
	}
	opened.add(queue.Close)
	auth := rest.BasicAuth(db, &rest.BasicAuthOptions{Log: named(log, "rest")})
	if opts.Authenticator != nil {
		auth = rest.FirstOf(opts.Authenticator, auth)
	}
	served, err := content.New(db, store, downloads, p.contentOptions(opts, log, auth, queue))
	if err != nil {
		return nil, err
	}
	// Close waits for fetches from remotes, which write to store and database, so it is called before these are closed.
	opened.add(served.Close)
	api, err := rest.New(db, queue, store, p.restOptions(opts, log, auth, queue))
	if err != nil {
		return nil, err
	}
	front := p.front.withLog(accessLog(opts, core, named(log, "access")))
	apiHandler := front.handler(webserverLimits(core).Handler(api))
	contentHandler := front.handler(served)
	closing := *opened
	if opts.Store != nil {
		// A host's store becomes the App's only now: if Open fails, the host still has it. All parts use it, so it is
		// closed last.
		closing = closers{opts.Store.Close, opened.close}
	}
	return &App{
		set: p.set, log: log, db: db, store: store, queue: queue, auth: auth, front: front,
		workers: p.workerOptions(opts, log, store, downloads),
		api:     apiHandler, content: contentHandler, all: p.route(apiHandler, contentHandler),
		served: served, patterns: p.patterns(),
		closers: closing,
	}, nil
}

// initPlugins calls Init of the plugins. After an error, the App has the ends of those that succeeded.
func (p *plan) initPlugins(ctx context.Context, app *App) error {
	for _, plugin := range p.plugins {
		if plugin.Init == nil {
			continue
		}
		var end func() error
		err := contained(fmt.Sprintf("plugin %q: Init", plugin.Name), func() (err error) {
			end, err = plugin.Init(ctx, app)
			return err
		})
		if err != nil {
			return fmt.Errorf("pulpcore: %w", err)
		}
		if end != nil {
			app.plugins.add(func() error {
				return contained(fmt.Sprintf("plugin %q: the end of its work", plugin.Name), end)
			})
		}
	}
	return nil
}

// contained calls code of a plugin. A panic becomes an error with the stack: otherwise the database and the rest that
// the App holds would not be closed.
func contained(what string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v: %w\n%s", what, p, pulperr.Internal, debug.Stack())
		}
	}()
	if err := fn(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// openDatabase connects to the database, gives an empty one its schema, checks schema and digests, and returns a handle
// for the default domain.
func (p *plan) openDatabase(ctx context.Context, opts *Options, log *slog.Logger, opened *closers,
) (*models.DB, error) {
	db, err := p.connect(ctx, log)
	if err != nil {
		return nil, err
	}
	opened.add(db.Close)
	empty, err := models.Empty(ctx, db)
	if err != nil {
		return nil, err
	}
	// A program that embeds the App must start without a second command. Only Migrate upgrades a database with data.
	if empty {
		if err := models.Migrate(ctx, db); err != nil {
			return nil, err
		}
	}
	if err := models.CheckSchema(ctx, db); err != nil {
		return nil, err
	}
	if !opts.IgnoreChecksums {
		if err := models.RequireChecksums(ctx, db); err != nil {
			return nil, err
		}
	}
	return db.InDomain(ctx, models.DefaultDomain)
}

// connect opens the database with the keys that encrypt its secrets.
func (p *plan) connect(ctx context.Context, log *slog.Logger) (*models.DB, error) {
	core := p.set.Core()
	// The key file is created only at its default place. At a place that the host has configured, a missing file more
	// likely means that its volume is not mounted: a new key there would make the stored secrets unreadable.
	create := core.DBEncryptionKey == filepath.Join(core.DeployRoot, filepath.Base(core.DBEncryptionKey))
	keys, err := secrets.LoadKeyring(core.DBEncryptionKey, create)
	if err != nil {
		return nil, err
	}
	return models.OpenDB(ctx, core.DatabaseURL.Reveal(), &models.DBOptions{
		Registry: p.registry, Keys: keys, Checksums: core.Checksums, Settings: p.set,
		Log: named(log, "models"),
	})
}

// Migrate brings the database schema up to what the plugins need and makes the default domain. Run it once per
// upgrade, before the new version's servers start; several at a time do no harm.
//
// Errors: Conflict if the schema is newer than the plugins; otherwise as [Open].
func Migrate(ctx context.Context, set *settings.Set, plugins ...*Plugin) error {
	// This process executes no tasks, so it needs no command for them.
	p, err := compile(set, &Options{IgnoreSubprocess: true}, plugins)
	if err != nil {
		return err
	}
	db, err := p.connect(ctx, p.set.Logger(os.Stderr))
	if err != nil {
		return err
	}
	return errors.Join(models.Migrate(ctx, db), db.Close())
}

// closers close opened parts in reverse order.
type closers []func() error

func (c *closers) add(fn func() error) { *c = append(*c, fn) }

// closeOnce is close for parts that may be closed again, which has no effect.
func (c *closers) closeOnce() error {
	err := c.close()
	*c = nil
	return err
}

func (c closers) close() error {
	var errs []error
	for _, fn := range slices.Backward(c) {
		errs = append(errs, fn())
	}
	return errors.Join(errs...)
}

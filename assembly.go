package pulpcore

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/webserver"
)

// Version is what the status says of the component "core": the version of Pulp whose API this library speaks. Clients
// decide by it which features they offer.
const Version = "3.81.0"

// Heartbeat tells the other processes that this one is alive, until ctx is done. Servers that use the App's handlers
// without [App.Run] call it with the kinds of what they serve: [tasking.KindAPI], [tasking.KindContent] or both. The
// status lists each.
//
// It takes no tasks from the queue and does everything else that workers do. With KindAPI it executes the immediate
// tasks that this process dispatches; without it, and without a worker in the process, they wait for one. With either
// kind it receives the events and cancellations of other processes, ends the tasks of dead processes, and may get the
// lease to announce tasks that Redis has lost and to dispatch what schedules say.
//
// When ctx is done it waits for the immediate tasks that it executes.
//
// Errors: Invalid for no kind or another one; those of [tasking.Worker.Run].
func (a *App) Heartbeat(ctx context.Context, kinds ...string) error {
	if len(kinds) == 0 {
		return pulperr.Public(pulperr.Invalid, "name the kinds of servers that the heartbeat is for")
	}
	for _, kind := range kinds {
		if kind != tasking.KindAPI && kind != tasking.KindContent {
			return pulperr.Public(pulperr.Invalid, "there are no servers of the kind %q", kind)
		}
	}
	o := a.workerOptions(kinds...)
	o.NoTasks = true
	w, err := tasking.NewWorker(a.queue, o)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Worker returns a worker for the App's tasks that is not running yet, for hosts and tests that drive it themselves.
// With slots 0 the setting WORKERS decides, as in [App.Work]. It does only what a [tasking.Worker] does: it removes no
// leftovers, and does not schedule the purge that TASK_PROTECTION_TIME asks for.
func (a *App) Worker(slots int) (*tasking.Worker, error) {
	return a.worker(slots, tasking.KindWorker)
}

// worker returns a worker of several kinds, the first of which owns the tasks.
func (a *App) worker(slots int, kinds ...string) (*tasking.Worker, error) {
	o := a.workerOptions(kinds...)
	o.Slots = cmp.Or(slots, a.set.Core().Workers, max(2, runtime.GOMAXPROCS(0)))
	return tasking.NewWorker(a.queue, o)
}

// workerOptions returns the options of a worker of some kinds. Its TTL is the shortest one that the settings have for
// the kinds.
func (a *App) workerOptions(kinds ...string) *tasking.WorkerOptions {
	core := a.set.Core()
	o := &tasking.WorkerOptions{
		Bindings:    a.bindings,
		Kinds:       kinds,
		Name:        workerName(core.WorkerNameTemplate),
		Versions:    a.versions,
		Store:       a.store,
		WorkDir:     core.WorkingDirectory,
		Downloads:   a.downloads,
		ImportPaths: core.AllowedImportPaths,
		Grace:       core.TaskGraceInterval,
		Discard:     models.DiscardIncomplete,
		Log:         a.log,

		Command:          a.opts.TaskCommand,
		OnStuck:          a.opts.OnStuck,
		IgnoreSubprocess: a.opts.IgnoreSubprocess,
	}
	ttls := map[string]time.Duration{
		tasking.KindWorker: core.WorkerTTL, tasking.KindAPI: core.APIAppTTL, tasking.KindContent: core.ContentAppTTL,
	}
	for i, kind := range kinds {
		if i == 0 || ttls[kind] < o.TTL {
			o.TTL = ttls[kind]
		}
	}
	return o
}

// RunIsolated executes one task, for which a worker started this process by [Options].TaskCommand, and returns when its
// end has been reported. Close the App and exit then.
//
// Errors: those of [tasking.Worker.RunIsolated]. How the task ended is no error.
func (a *App) RunIsolated(ctx context.Context) error {
	w, err := a.Worker(0)
	if err != nil {
		return err
	}
	return w.RunIsolated(ctx)
}

// workerName fills in WORKER_NAME_TEMPLATE.
func workerName(template string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return strings.NewReplacer("{pid}", fmt.Sprint(os.Getpid()), "{hostname}", host, "{fqdn}", host).Replace(template)
}

// contentSettings returns what the settings say of the content app.
func contentSettings(set *settings.Set) *content.Options {
	core := set.Core()
	ownOrigin := ""
	if core.ContentHasOwnOrigin {
		ownOrigin = core.ContentOrigin
	}
	return &content.Options{
		Prefix:                  core.ContentPathPrefix,
		RedirectToObjectStorage: &core.RedirectToObjectStorage,
		HideGuarded:             core.HideGuardedDistributions,
		FailureCooldown:         core.RemoteContentFetchFailureCooldown,
		AllowedImportPaths:      core.AllowedImportPaths,
		WorkDir:                 core.WorkingDirectory,
		OwnOrigin:               ownOrigin,
		Limits:                  limits(core),
	}
}

func contentOptions(a *App, b *blueprint) *content.Options {
	o := contentSettings(a.set)
	o.Routes, o.Log, o.Origins = b.content, a.log, a.front.origins
	return o
}

// restSettings returns what the settings say of the API.
func restSettings(set *settings.Set) *rest.Options {
	core := set.Core()
	return &rest.Options{
		Root:                core.APIRoot,
		Limits:              limits(core),
		ContentOrigin:       core.ContentOrigin,
		ContentHasOwnOrigin: core.ContentHasOwnOrigin,
		ContentPathPrefix:   core.ContentPathPrefix,
		AllowedImportPaths:  core.AllowedImportPaths,
		PageSize:            core.PageSize,
	}
}

func restOptions(a *App, b *blueprint) *rest.Options {
	o := restSettings(a.set)
	o.Views, o.Routes, o.Versions = b.views, b.routes, a.versions
	o.Auth, o.Hosts, o.Origins, o.Log = a.auth, a.front.hosts, a.front.origins, a.log
	o.CacheConnected = cacheConnected(a)
	return o
}

func limits(core settings.Core) *webserver.Limits {
	return &webserver.Limits{
		HeaderTimeout: core.HTTPHeaderTimeout, BodyTimeout: core.HTTPBodyTimeout,
		SendTimeout: core.HTTPSendTimeout, IdleTimeout: core.HTTPIdleTimeout,
	}
}

// cacheConnected returns what the status says about Redis. The one inside of the process does not count: clients take a
// connection for a sign that content is cached.
func cacheConnected(a *App) func(ctx context.Context) bool {
	if a.opts.Redis == nil && a.set.Core().RedisURL.Reveal() == "" {
		return nil
	}
	return func(ctx context.Context) bool { return a.queue.Ping(ctx) == nil }
}

package pulpcore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/worker"
	"github.com/pulpgo/pulpcore/webserver"
)

// contentOptions returns the options of the content app that the settings decide.
func contentOptions(core settings.Core) *content.Options {
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
		Limits:                  webserverLimits(core),
	}
}

// restOptions returns the options of the API that the settings decide.
func restOptions(core settings.Core) *rest.Options {
	return &rest.Options{
		Root:                core.APIRoot,
		Limits:              webserverLimits(core),
		ContentOrigin:       core.ContentOrigin,
		ContentHasOwnOrigin: core.ContentHasOwnOrigin,
		ContentPathPrefix:   core.ContentPathPrefix,
		AllowedImportPaths:  core.AllowedImportPaths,
		PageSize:            core.PageSize,
	}
}

// webserverLimits returns the limits of connections that the settings decide.
func webserverLimits(core settings.Core) *webserver.Limits {
	return &webserver.Limits{
		HeaderTimeout: core.HTTPHeaderTimeout, BodyTimeout: core.HTTPBodyTimeout,
		SendTimeout: core.HTTPSendTimeout, IdleTimeout: core.HTTPIdleTimeout,
	}
}

func (p *plan) contentOptions(opts *Options, log *slog.Logger, auth rest.Authenticator, queue *tasking.Queue,
) *content.Options {
	o := contentOptions(p.set.Core())
	o.Routes, o.Log, o.Origins = p.content, named(log, "content"), p.front.origins
	o.Authorize = downloaders(auth, opts.Authorizer)
	o.AddContent = func(ctx context.Context, repository uuid.UUID, units []uuid.UUID) error {
		return rest.AddContent(ctx, queue, repository, units)
	}
	return o
}

func (p *plan) restOptions(
	opts *Options, log *slog.Logger, auth rest.Authenticator, queue *tasking.Queue,
) *rest.Options {
	o := restOptions(p.set.Core())
	o.Views, o.Routes, o.Versions = p.views, p.routes, p.versions
	o.Authorizer = opts.Authorizer
	o.Auth, o.Hosts, o.Origins, o.Log = auth, p.front.hosts, p.front.origins, named(log, "rest")
	// The status reports a connection to Redis only for a Redis outside of the process: clients read it as "content is
	// cached".
	if opts.Redis != nil || p.set.Core().RedisURL.Reveal() != "" {
		o.CacheConnected = func(ctx context.Context) bool { return queue.Ping(ctx) == nil }
	}
	return o
}

func (p *plan) queueOptions(opts *Options, log *slog.Logger) *tasking.QueueOptions {
	core := p.set.Core()
	return &tasking.QueueOptions{
		RedisURL: core.RedisURL.Reveal(), Redis: opts.Redis, Prefix: opts.RedisPrefix,
		Versions: p.versions, PreferDefer: core.TaskPreferDefer, Log: named(log, "tasking"),
		Tracer: opts.Tracer, Meter: opts.Meter,
	}
}

// workerOptions returns the options that all workers of the App have in common.
func (p *plan) workerOptions(
	opts *Options, log *slog.Logger, store *storage.Store, downloads *download.Pool,
) worker.Options {
	core := p.set.Core()
	return worker.Options{
		Bindings:    p.tasks,
		Name:        workerName(core.WorkerNameTemplate),
		Versions:    p.versions,
		Store:       store,
		WorkDir:     core.WorkingDirectory,
		Downloads:   downloads,
		ImportPaths: core.AllowedImportPaths,
		Grace:       core.TaskGraceInterval,
		Discard:     models.DiscardIncomplete,
		Log:         named(log, "tasking"),

		Command:          opts.TaskCommand,
		OnStuck:          opts.OnStuck,
		IgnoreSubprocess: opts.IgnoreSubprocess,
	}
}

// workerName fills in the placeholders of WORKER_NAME_TEMPLATE.
func workerName(template string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return strings.NewReplacer("{pid}", fmt.Sprint(os.Getpid()), "{hostname}", host, "{fqdn}", host).Replace(template)
}

// Package pulpcmd is the command line of a server: one binary with the REST API, the content app, workers, and the
// commands that an installation needs, for the plugins that a host chooses.
//
//	func main() {
//		p := &pulpcmd.Program{Name: "myserver", Plugins: []*pulpcore.Plugin{file.Plugin()}, SetLogger: slog.SetDefault}
//		p.Main()
//	}
//
// [Program.Run] lists the commands. examples/fileserver is such a program, and so is each one that cmd/pulpdist makes.
package pulpcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking/worker"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// Program is a server as a command. Its fields do not change while it runs.
type Program struct {
	// Name is the name of the binary, for usage and errors.
	Name string
	// Plugins are given to pulpcore.Open.
	Plugins []*pulpcore.Plugin
	// Defaults is a YAML document of settings that lie below the file and the environment, or nil. cmd/pulpdist embeds the
	// settings of a distribution here.
	Defaults []byte
	// Store opens the store of artifacts, for a host with other drivers than a folder. A nil func or a nil *storage.Store
	// leaves the store to the App. pulpcmd/s3 has one.
	Store func(ctx context.Context, set *settings.Set) (*storage.Store, error)
	// Proxy is given to pulpcore.ProxyConfig by the command proxy; nil is a proxy that listens on port 80, without TLS.
	Proxy *proxyconf.Options
	// Wrap returns the handler of a process that serves the API, given the App's own; nil leaves that one.
	Wrap func(out io.Writer, app *pulpcore.App, h http.Handler) (http.Handler, error)
	// SetLogger is called with the logger of the settings before anything else logs. A program gives slog.SetDefault,
	// because deprecation warnings have no other logger; nil leaves the process's logger alone.
	SetLogger func(*slog.Logger)
}

// ErrUsage means that the arguments are none of the program's commands. Errors of [Program.Run] with it have the list
// of commands in their text.
var ErrUsage = pulperr.Public(pulperr.Invalid, "usage")

// command is what a process does with its App.
type command func(ctx context.Context, out io.Writer, app *pulpcore.App) error

// Main runs the program with the arguments of the process until it ends or gets SIGINT or SIGTERM. It exits with 1
// after an error, which it prints to stderr. A second signal ends the process at once.
func (p *Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for running tasks
	err := p.Run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}

// Run executes one command, and returns when it has ended or ctx is done:
//
//	(none)          API, content app and workers in one process
//	api             only the REST API
//	content         only the content app
//	worker          only the workers
//	migrate         bring the database schema up to date
//	proxy SERVER    print a configuration of the reverse proxy SERVER, nginx or apache
//	task            one task, for a worker that starts it as a process of its own
//	check           print impossible states of tasks; an error if there are any
//	checksums       print which artifacts do not agree with ALLOWED_CONTENT_CHECKSUMS; an error if there are any
//	fix-checksums   compute missing digests, remove forbidden ones; may be stopped and run again
//	rotate-db-key   encrypt all secrets with the first key of the key file
//	reset-admin     make a new admin password and print it
//
// The first start of a process with the API makes the account admin and prints its password.
//
// Settings come, the later overriding the earlier, from Defaults, from the file that PULP_SETTINGS names or else
// /etc/pulp/settings.toml if that exists, and from variables PULP_….
//
// Errors: [ErrUsage]; those of settings.Load, pulpcore.OpenWith and of the command.
func (p *Program) Run(ctx context.Context, out io.Writer, args []string) (err error) {
	name := "all"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	// It needs the settings only: a configuration is often made on another machine than the database's.
	if name == "proxy" {
		return p.writeProxyConfig(out, args)
	}
	serve, ok := p.commands()[name]
	if len(args) > 0 || !ok && name != "migrate" {
		return p.usage()
	}
	set, err := p.Load()
	if err != nil {
		return err
	}
	if p.SetLogger != nil {
		p.SetLogger(set.Logger(os.Stderr))
	}
	// Before the App is opened, because Open refuses a database with an older schema.
	if name == "migrate" {
		return pulpcore.Migrate(ctx, set, p.Plugins...)
	}
	opts := &pulpcore.Options{
		TaskCommand: taskCommand,
		// Open refuses the database that these two are for.
		IgnoreChecksums: name == "checksums" || name == "fix-checksums",
	}
	if p.Store != nil {
		if opts.Store, err = p.Store(ctx, set); err != nil {
			return err
		}
	}
	app, err := pulpcore.OpenWith(ctx, set, opts, p.Plugins...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close()) }()
	return serve(ctx, out, app)
}

func (p *Program) usage() error {
	names := slices.Collect(maps.Keys(p.commands()))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "all" || name == "task" })
	names = append(names, "migrate", "proxy nginx", "proxy apache")
	slices.Sort(names)
	return fmt.Errorf("%w: %s [%s]", ErrUsage, p.Name, strings.Join(names, " | "))
}

// taskCommand is this program as the process of one task.
func taskCommand() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.Command(self, "task") //nolint:gosec // our own program
}

func (p *Program) commands() map[string]command {
	return map[string]command{
		"all": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			h, err := p.start(ctx, out, app, app.Handler())
			if err != nil {
				return err
			}
			return pulpcore.RunAll(ctx,
				func(ctx context.Context) error { return app.Serve(ctx, app.Settings().Core().Listen, h) },
				func(ctx context.Context) error { return app.Work(ctx, 0, worker.KindAPI, worker.KindContent) },
			)
		},
		"api": func(ctx context.Context, out io.Writer, app *pulpcore.App) error {
			h, err := p.start(ctx, out, app, app.API())
			if err != nil {
				return err
			}
			return serveRole(ctx, app, "api", h)
		},
		"content": func(ctx context.Context, _ io.Writer, app *pulpcore.App) error {
			return serveRole(ctx, app, "content", app.Content())
		},
		"worker": func(ctx context.Context, _ io.Writer, app *pulpcore.App) error { return app.Work(ctx, 0) },
		"task":   func(ctx context.Context, _ io.Writer, app *pulpcore.App) error { return app.RunIsolated(ctx) },

		"check":         check,
		"checksums":     p.reportChecksums,
		"fix-checksums": fixChecksums,
		"rotate-db-key": rotateKey,
		"reset-admin":   resetAdmin,
	}
}

// start prepares a process that serves the API.
func (p *Program) start(ctx context.Context, out io.Writer, app *pulpcore.App, h http.Handler) (http.Handler, error) {
	if err := firstStart(ctx, out, app); err != nil {
		return nil, err
	}
	if p.Wrap == nil {
		return h, nil
	}
	return p.Wrap(out, app, h)
}

func serveRole(ctx context.Context, app *pulpcore.App, kind string, h http.Handler) error {
	return pulpcore.RunAll(ctx,
		// The status lists a server, and other processes count it as alive, only while its heartbeat comes.
		func(ctx context.Context) error { return app.Heartbeat(ctx, kind) },
		func(ctx context.Context) error { return app.Serve(ctx, app.Settings().Core().Listen, h) },
	)
}

func (p *Program) writeProxyConfig(out io.Writer, args []string) error {
	if len(args) != 1 || args[0] != string(proxyconf.Nginx) && args[0] != string(proxyconf.Apache) {
		return p.usage()
	}
	set, err := p.Load()
	if err != nil {
		return err
	}
	conf, err := pulpcore.ProxyConfig(set, p.Proxy, p.Plugins...)
	if err != nil {
		return err
	}
	return conf.Write(out, proxyconf.Server(args[0]))
}

// Command embedded shows the parts of a content server inside another server: API and content app are handlers in the
// program's own mux, next to a page of its own, and a worker runs in the same process. An account for the API is made
// with App.CreateAdmin, which leaves an existing account alone; see the fileserver.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for running tasks
	if err := run(ctx, ":8080"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	set, err := settings.Load(settings.Env("PULP_"))
	if err != nil {
		return err
	}
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	if err != nil {
		return err
	}
	// Handlers and workers use the App until RunAll returns, so it is closed after that.
	defer app.Close()
	return pulpcore.RunAll(ctx,
		func(ctx context.Context) error { return app.Serve(ctx, addr, newMux(app)) },
		func(ctx context.Context) error { return app.Work(ctx, 4, "api", "content") }, // the status lists all three
	)
}

// newMux mounts the App's handlers next to the host's own.
func newMux(app *pulpcore.App) http.Handler {
	mux := http.NewServeMux()
	// The paths follow from API_ROOT and CONTENT_PATH_PREFIX, here their defaults. There is no http.StripPrefix around the
	// handlers, because they match whole paths.
	mux.Handle("/pulp/api/v3/", app.API())
	mux.Handle("/pulp/content/", app.Content())
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "This program has a content server inside: /pulp/content/ and /pulp/api/v3/status/")
	})
	return mux
}

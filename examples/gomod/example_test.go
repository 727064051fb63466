package gomod_test

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/gomod"
	"github.com/pulpgo/pulpcore/settings"
)

// A whole module proxy, but for its password.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	set, err := settings.Load(settings.Env("PULP_"))
	if err != nil {
		log.Fatal(err)
	}
	app, err := pulpcore.Open(ctx, set, gomod.Plugin())
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close()
	if _, err := app.CreateAdmin(ctx, "password"); err != nil {
		log.Print(err)
		return
	}
	if err := app.Run(ctx); err != nil {
		log.Print(err)
	}
}

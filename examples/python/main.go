// Command python is a package index for Python in one binary: it mirrors PyPI or another index, takes uploads of twine
// and serves pip. The plugin is in ./python.
//
//	ADMIN_PASSWORD=secret go run ./examples/python
//
// Everything is kept below ./pulp. To mirror two projects of PyPI, make a remote, a repository and a distribution, and
// sync; each request is answered with the pulp_href of the new object, or with a task that shows it:
//
//	api=http://localhost:24817/pulp/api/v3
//	post() { curl -s -u admin:secret -H 'Content-Type: application/json' "$@"; }
//	post $api/remotes/python/python/ -d '{"name": "pypi", "url": "https://<host of the index>/simple/",
//	    "policy": "on_demand", "projects": ["packaging", "idna"]}'
//	post $api/repositories/python/python/ -d '{"name": "main"}'
//	post $api/distributions/python/pypi/ -d '{"name": "main", "base_path": "main", "repository": "<href of main>"}'
//	post http://localhost:24817<href of main>sync/ -d '{"remote": "<href of pypi>", "mirror": true}'
//
// Then the programs of Python use it:
//
//	pip install --index-url http://localhost:24817/pulp/content/main/simple/ packaging
//	twine upload -u admin -p secret --repository-url http://localhost:24817/pulp_python/legacy/main/ dist/*
//
// Settings are read from the environment: those of Pulp with the prefix PULP_, and the plugin's own,
// PULP_PYTHON_MAX_INDEX_BYTES and PULP_PYTHON_ALLOW_UPLOADS.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("ADMIN_PASSWORD")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, password string) error {
	set, err := settings.Load(settings.Env("PULP_"))
	if err != nil {
		return err
	}
	app, err := pulpcore.Open(ctx, set, python.Plugin())
	if err != nil {
		return err
	}
	defer app.Close()
	if password != "" {
		if _, err := app.CreateAdmin(ctx, password); err != nil {
			return err
		}
	}
	return app.Run(ctx)
}

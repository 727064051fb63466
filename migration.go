package pulpcore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// WriteMigration writes the next migration of a plugin into a folder and returns its name, as in "0002_add_colour", or
// "" if the tables that the migrations in the folder make are what the plugin's types need. It is for authors of
// plugins, not for hosts: call it from a small program, or by way of [pulptest.Migrations] from a test. It needs no
// database. The folder is made if it is missing. Its files, and not the plugin's Migrations, count as the migrations so
// far. Read the new one before you release it.
//
// Needs are plugins to whose types the plugin's refer. Opts may be nil. [models.NextMigration] lists the changes that
// it can derive.
//
// Errors: Invalid for faults of the types and of the migrations; Unsupported for changes that have to be written by
// hand, all of them with what to write; Exists for a file of the same name.
//
// [pulptest.Migrations]: https://pkg.go.dev/github.com/pulpgo/pulpcore/pulptest#Migrations
func WriteMigration(ctx context.Context, dir string, p *Plugin, opts *models.MigrationOptions, needs ...*Plugin,
) (string, error) {
	m, err := NextMigration(ctx, dir, p, opts, needs...)
	if err != nil || m == nil {
		return "", err
	}
	return m.ID, m.Write(dir)
}

// NextMigration returns the migration that [WriteMigration] would write, or nil if none is needed.
//
// Errors: as [WriteMigration].
func NextMigration(ctx context.Context, dir string, p *Plugin, opts *models.MigrationOptions, needs ...*Plugin,
) (*models.NewMigration, error) {
	// A missing folder has no migrations yet, and Write makes it. A file in its place must not be taken for an empty
	// folder.
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, pulperr.Public(pulperr.Invalid, "%q is not a folder for migrations", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pulpcore: migrations: %w", err)
	}
	others := make([]models.PluginModels, len(needs))
	for i, n := range needs {
		others[i] = n.set()
	}
	set := p.set()
	set.Migrations = os.DirFS(dir)
	return models.NextMigration(ctx, set, opts, others...)
}

// set returns what the plugin brings to the database.
func (p *Plugin) set() models.PluginModels {
	return models.PluginModels{Plugin: p.Name, Types: p.Models, Migrations: p.Migrations}
}

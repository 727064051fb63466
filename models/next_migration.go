package models

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

// MigrationOptions are the parts of [NextMigration] that have defaults.
type MigrationOptions struct {
	// Name is the part of the file's name behind the number, of a-z, 0-9 and _. Default: "initial" for the first
	// migration, else what the first change is, as in "add_colour".
	Name string
	// Drop names the columns, each as "table.column", that may be dropped with their values. Default none.
	Drop []string
}

// NewMigration is a migration that is still to be saved.
type NewMigration struct {
	ID       string // "0002_add_colour"
	Up, Down string // what the two files hold
}

// Write makes the files <ID>.up.sql and <ID>.down.sql in a folder, and the folder if it is missing.
//
// Errors: Exists if one of the files is there.
func (m *NewMigration) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("models: write migration: %w", err)
	}
	up, down := filepath.Join(dir, m.ID+".up.sql"), filepath.Join(dir, m.ID+".down.sql")
	err := writeNew(down, m.Down)
	if err == nil {
		if err = writeNew(up, m.Up); err != nil {
			_ = os.Remove(down) // or a second call would find it and fail
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("models: write migration: %w: %w", pulperr.Exists, err)
	}
	if err != nil {
		return fmt.Errorf("models: write migration: %w", err)
	}
	return nil
}

// writeNew writes a file that does not exist, or none.
func writeNew(path, text string) error {
	// O_EXCL, because a migration that was released, and perhaps applied, must not be overwritten.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

var migrationName = regexp.MustCompile(`^[a-z0-9_]+$`)

// NextMigration returns the migration that takes a plugin's tables from what its migrations make to what its types
// need, or nil if there is no difference. It needs no database: it executes the migrations on an empty SQLite in memory
// and compares. What they do under {{if .postgres}} alone it does not see.
//
// It makes tables for new types, adds columns (NULL for pointers, JSON and bytes, else Go's zero value for rows that
// exist), indexes and natural keys, and removes indexes and keys that no type declares any more; of indexes only those
// that it named. It drops a column only if opts names it. A column of another type, a renamed column and a type that is
// gone are for a migration by hand, because only its author can decide about the values.
//
// PluginModels.Migrations holds the earlier migrations; nil, or a file system without files, means none. Needs are the
// other plugins to whose types those of the set refer. Opts may be nil.
//
// Errors: Invalid for faults of the types and of the migrations; Unsupported for changes that have to be written by
// hand, all of them with what to write.
func NextMigration(ctx context.Context, set PluginModels, opts *MigrationOptions, needs ...PluginModels,
) (*NewMigration, error) {
	if opts == nil {
		opts = &MigrationOptions{}
	}
	if opts.Name != "" && !migrationName.MatchString(opts.Name) {
		return nil, pulperr.Public(pulperr.Invalid, "the name %q of a migration is not of a-z, 0-9 and _", opts.Name)
	}
	// An empty folder is what a plugin has before its first migration.
	if set.Migrations != nil {
		if _, names := migrationFiles(set.Migrations); len(names) == 0 {
			set.Migrations = nil
		}
	}
	registry, err := NewRegistry(append(slices.Clone(needs), set)...)
	if err != nil {
		return nil, err
	}
	w := migrationWriter{registry, set}
	history, last, err := w.history(needs)
	if err != nil {
		return nil, err
	}
	d, err := w.difference(ctx, history, opts.Drop)
	if err != nil || len(d.up) == 0 {
		return nil, err
	}
	slices.Reverse(d.down)
	m := &NewMigration{ID: fmt.Sprintf("%04d_%s", last+1, d.name(opts.Name, last)), Down: script(d.down)}
	const head = "-- Made from the types of plugin %s. Change it before its release if need be, and never after.\n"
	m.Up = fmt.Sprintf(head, set.Plugin) + script(d.up)
	if err := w.verify(ctx, history, d); err != nil {
		return nil, err
	}
	return m, nil
}

// script returns a file with statements.
func script(list []string) string { return strings.Join(list, separator) + "\n" }

// migrationWriter finds what the next migration of one plugin has to do.
type migrationWriter struct {
	registry *Registry
	set      PluginModels
}

// history returns the statements that make the schema so far, and the number of the plugin's last migration.
func (w migrationWriter) history(needs []PluginModels) (statementsSoFar []string, last int, err error) {
	// SQLite has TEXT for several words of a template. In DryData each word has a type of its own, by which the column of
	// the schema shows the word.
	plan := migrationPlan{w.registry, sqldialect.DryData()}
	all := append([]PluginModels{{Plugin: "core", Migrations: coreMigrations}}, needs...)
	if w.set.Migrations != nil {
		all = append(all, w.set)
	}
	for _, s := range all {
		steps, faults := plan.steps(s)
		if err := errors.Join(faults...); err != nil {
			return nil, 0, fmt.Errorf("models: plugin %q: %w: %w", s.Plugin, pulperr.Invalid, err)
		}
		for _, m := range steps {
			statementsSoFar = append(statementsSoFar, statements(m.up)...)
		}
		if s.Plugin == w.set.Plugin {
			last = len(steps)
		}
	}
	return statementsSoFar, last, nil
}

// difference compares the schema that statements make with what the types of a set need.
func (w migrationWriter) difference(ctx context.Context, history, drop []string) (*difference, error) {
	tables, err := sqldialect.DrySchema(ctx, history, w.set.Plugin+"_")
	if err != nil {
		return nil, fmt.Errorf("models: migrations of plugin %q on SQLite: %w: %w", w.set.Plugin, pulperr.Invalid, err)
	}
	d := &difference{drop: drop, dropped: map[string]bool{}}
	for _, t := range w.set.Types {
		s := w.registry.byDef[t.definition()]
		if s.own == "" {
			continue
		}
		at := slices.IndexFunc(tables, func(t sqldialect.Table) bool { return t.Name == s.own })
		if at < 0 {
			d.newTable(s)
			continue
		}
		d.table(s, tables[at])
		tables = slices.Delete(tables, at, at+1)
	}
	for _, t := range tables {
		if !w.hasTable(t.Name) { // it may be that of plugin "a_b" if this is plugin "a"
			d.strayTable(t)
		}
	}
	for _, name := range drop {
		if !d.dropped[name] {
			d.fault("%q, which shall be dropped, is not a column without a field; leave it out", name)
		}
	}
	if err := errors.Join(d.faults...); err != nil {
		return nil, fmt.Errorf("models: next migration of plugin %q: %w:\n%w", w.set.Plugin, pulperr.Unsupported, err)
	}
	return d, nil
}

// hasTable reports whether a table is that of a type.
func (w migrationWriter) hasTable(name string) bool {
	for _, s := range w.registry.byDef {
		if s.own == name {
			return true
		}
	}
	return false
}

// verify applies a migration and checks that no difference is left and that it can be undone.
func (w migrationWriter) verify(ctx context.Context, history []string, d *difference) error {
	words := sqldialect.DryData()
	var up, down []string
	for _, step := range []struct {
		from []string
		to   *[]string
	}{{d.up, &up}, {d.down, &down}} {
		for _, text := range step.from {
			stmt, err := render(text, words)
			if err != nil {
				return fmt.Errorf("models: next migration of plugin %q: %w", w.set.Plugin, err)
			}
			*step.to = append(*step.to, stmt)
		}
	}
	after := slices.Concat(history, up)
	rest, err := w.difference(ctx, after, nil)
	if err != nil {
		return err
	}
	if len(rest.up) > 0 {
		return fmt.Errorf("models: next migration of plugin %q: it leaves a difference: %q", w.set.Plugin, rest.up)
	}
	if _, err := sqldialect.DrySchema(ctx, slices.Concat(after, down), w.set.Plugin+"_"); err != nil {
		return fmt.Errorf("models: next migration of plugin %q: undo it: %w", w.set.Plugin, err)
	}
	return nil
}

package models

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

//go:embed migrations/*.sql
var coreMigrations embed.FS

// migration is one numbered step of one plugin's schema.
type migration struct {
	plugin, id string
	up, down   string // templates; statements are separated by lines of "--;;"
}

// applied is a row of the table that remembers migrations.
type applied struct {
	bun.BaseModel `bun:"table:core_migration"`

	Plugin    string    `bun:"plugin,pk"`
	ID        string    `bun:"id,pk"`
	Checksum  string    `bun:"checksum"`
	AppliedAt time.Time `bun:"applied_at"`
}

const createMigrationTable = `CREATE TABLE IF NOT EXISTS core_migration (plugin TEXT NOT NULL, id TEXT NOT NULL,
	checksum TEXT NOT NULL, applied_at %s NOT NULL, PRIMARY KEY (plugin, id))`

var migrationFile = regexp.MustCompile(`^([0-9]{4}_[a-z0-9_]+)\.(up|down)\.sql$`)

// Migrate brings the schema up to what the registry's plugins need and makes the default domain. It holds a lock that
// dies with the process, so any number of servers may start at once: one migrates, the others wait and find it done.
// Each migration commits together with its record.
//
// A migration is a pair of files, 0002_colour.up.sql and 0002_colour.down.sql: text templates over the dialect's words
// ({{.uuid}}, {{.json}}, {{.time}}, {{.bytes}}, {{if .postgres}}, {{if .sqlite}}) whose statements are separated by
// lines that read "--;;". [NextMigration] writes most of them. A migration that was applied must not change, except in
// comments, blanks and the letter case of SQL.
//
// Errors: Conflict if the database is newer than the code or an applied migration has been changed since.
func (db *DB) Migrate(ctx context.Context) error {
	plan, err := db.registry.migrations(db.conn.Kind.TemplateData())
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := db.conn.Kind.LockMigrations(ctx, tx.q); err != nil {
			return fmt.Errorf("models: lock migrations: %w", err)
		}
		create := fmt.Sprintf(createMigrationTable, db.conn.Kind.TemplateData()["time"])
		if _, err := tx.q.ExecContext(ctx, create); err != nil {
			return fmt.Errorf("models: migrate: %w", err)
		}
		missing, err := tx.missing(ctx, plan)
		if err != nil {
			return err
		}
		for _, m := range missing {
			if err := tx.apply(ctx, m); err != nil {
				return err
			}
		}
		return tx.ensureDefaultDomain(ctx)
	})
}

// CheckSchema reports whether all migrations of the registry's plugins were applied and no others, whether the tables
// have the columns that their types need, and whether those of content types have the unique key that their type
// declares.
//
// Errors: Conflict if the schema is older (run Migrate) or newer than the code, or lacks a column or a unique key.
func (db *DB) CheckSchema(ctx context.Context) error {
	plan, err := db.registry.migrations(db.conn.Kind.TemplateData())
	if err != nil {
		return err
	}
	missing, err := db.missing(ctx, plan)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return pulperr.Public(pulperr.Conflict, "the database schema is older than this program: %s; call pulpcore.Migrate "+
			"with the same settings and plugins once, before the servers start", pending(missing))
	}
	if err := db.checkColumns(ctx); err != nil {
		return err
	}
	return db.checkUniqueKeys(ctx)
}

// pending says which migrations have not been applied.
func pending(missing []migration) string {
	names := make([]string, len(missing))
	for i, m := range missing {
		names[i] = m.id + " of " + m.plugin
	}
	if len(names) == 1 {
		return "migration " + names[0] + " has not been applied"
	}
	return "migrations " + strings.Join(names, ", ") + " have not been applied"
}

// Empty reports whether the database has no schema of this library at all.
func (db *DB) Empty(ctx context.Context) (bool, error) {
	done, err := db.applied(ctx)
	if sqldialect.IsUndefinedTable(err) {
		return true, nil
	}
	return err == nil && len(done) == 0, err
}

// Rollback undoes the newest migration of a plugin ("core" for the library's own) and returns its name, or "" if
// none is left. It destroys data.
func (db *DB) Rollback(ctx context.Context, plugin string) (string, error) {
	plan, err := db.registry.migrations(db.conn.Kind.TemplateData())
	if err != nil {
		return "", err
	}
	var id string
	err = db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := db.conn.Kind.LockMigrations(ctx, tx.q); err != nil {
			return fmt.Errorf("models: lock migrations: %w", err)
		}
		done, err := tx.applied(ctx)
		if err != nil {
			return err
		}
		for _, m := range slices.Backward(plan) {
			if _, ok := done[m.plugin+" "+m.id]; !ok || m.plugin != plugin {
				continue
			}
			id = m.id
			if err := tx.execAll(ctx, m.down); err != nil {
				return fmt.Errorf("models: undo migration %s of %s: %w", m.id, m.plugin, err)
			}
			_, err := tx.q.NewDelete().Model((*applied)(nil)).Where("plugin = ? AND id = ?", m.plugin, m.id).Exec(ctx)
			return err
		}
		return nil
	})
	return id, err
}

func (db *DB) applied(ctx context.Context) (map[string]applied, error) {
	var rows []applied
	if err := db.q.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("models: read applied migrations: %w", err)
	}
	done := make(map[string]applied, len(rows))
	for _, r := range rows {
		done[r.Plugin+" "+r.ID] = r
	}
	return done, nil
}

// missing returns the steps of plan that have not been applied.
func (db *DB) missing(ctx context.Context, plan []migration) ([]migration, error) {
	done, err := db.applied(ctx)
	if sqldialect.IsUndefinedTable(err) {
		return plan, nil
	}
	if err != nil {
		return nil, err
	}
	var todo []migration
	known := map[string]bool{}
	for _, m := range plan {
		known[m.plugin+" "+m.id], known[m.plugin] = true, true
		if a, ok := done[m.plugin+" "+m.id]; !ok {
			todo = append(todo, m)
		} else if a.Checksum != m.checksum() {
			return nil, db.registry.changed(m)
		}
	}
	for key, a := range done {
		if known[a.Plugin] && !known[key] {
			return nil, pulperr.Public(pulperr.Conflict, "the database schema is newer than this program: "+
				"it has migration %s of %s; "+
				"start the newer program, or undo the migration with that program's DB.Rollback", a.ID, a.Plugin)
		}
	}
	return todo, nil
}

// changed returns the error of a migration whose text is not that which was applied.
func (r *Registry) changed(m migration) error {
	derived := slices.ContainsFunc(r.sets, func(s PluginModels) bool {
		return s.Plugin == m.plugin && s.Migrations == nil
	})
	switch {
	case derived:
		return pulperr.Public(pulperr.Conflict, "the types of plugin %q have changed since its tables were derived from "+
			"them, and it has no migrations: with the types as they were, let pulpcore.WriteMigration write %s and set "+
			"Plugin.Migrations to it; then change the types and let it write the next migration", m.plugin, m.id)
	case m.plugin == "core":
		return pulperr.Public(pulperr.Conflict, "migration %s of core is not the one that was applied: the database was "+
			"made by another, unreleased version of pulpcore; start that version, or a new database", m.id)
	}
	return pulperr.Public(pulperr.Conflict, "migration %s of plugin %q has been changed since it was applied: "+
		"restore %[1]s.up.sql as it was, and put the change into a new migration, which pulpcore.WriteMigration can "+
		"write; if the tables were derived from the types before, %[1]s has to be what it writes for the types of that time",
		m.id, m.plugin)
}

func (db *DB) apply(ctx context.Context, m migration) error {
	if err := db.execAll(ctx, m.up); err != nil {
		return fmt.Errorf("models: migration %s of %s: %w", m.id, m.plugin, err)
	}
	row := &applied{Plugin: m.plugin, ID: m.id, Checksum: m.checksum(), AppliedAt: Now()}
	if _, err := db.q.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("models: record migration %s of %s: %w", m.id, m.plugin, err)
	}
	db.log.InfoContext(ctx, "migration applied", "plugin", m.plugin, "migration", m.id)
	return nil
}

func (db *DB) execAll(ctx context.Context, script string) error {
	for _, stmt := range statements(script) {
		// Without arguments bun leaves question marks alone.
		if _, err := db.q.NewRaw(stmt).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) ensureDefaultDomain(ctx context.Context) error {
	d := &Domain{Name: DefaultDomain, Labels: Labels{}}
	d.stamp(Now())
	_, err := db.q.NewInsert().Model(d).On("CONFLICT (name) DO NOTHING").Exec(ctx)
	return rowError(err, "domain", DefaultDomain)
}

// checksum is over the normal form, so the text may be laid out anew, by hand or by a newer generator.
func (m migration) checksum() string {
	var normal []string
	for _, stmt := range statements(m.up) {
		normal = append(normal, normalForm(stmt))
	}
	sum := sha256.Sum256([]byte(strings.Join(normal, "\n")))
	return hex.EncodeToString(sum[:8])
}

// migrations returns every step in the order of application: the core's, then each plugin's, by number.
func (r *Registry) migrations(words map[string]any) ([]migration, error) {
	var plan []migration
	for _, s := range append([]PluginModels{{Plugin: "core", Migrations: coreMigrations}}, r.sets...) {
		steps, faults := r.steps(s, words)
		if err := errors.Join(faults...); err != nil {
			return nil, fmt.Errorf("models: plugin %q: %w: %w", s.Plugin, pulperr.Invalid, err)
		}
		for _, m := range steps {
			m.plugin = s.Plugin
			plan = append(plan, m)
		}
	}
	return plan, nil
}

func (r *Registry) steps(s PluginModels, words map[string]any) ([]migration, []error) {
	if s.Migrations == nil {
		return r.derive(s, words)
	}
	return readMigrations(s.Migrations, words)
}

// migrationFiles returns the folder that holds a plugin's migrations, and the names of the files.
func migrationFiles(fsys fs.FS) (folder fs.FS, names []string) {
	const pattern, below = "*.sql", "migrations"
	names, _ = fs.Glob(fsys, pattern) // which fails for a bad pattern only
	if len(names) > 0 {
		return fsys, names
	}
	if sub, err := fs.Sub(fsys, below); err == nil {
		names, _ = fs.Glob(sub, pattern)
		fsys = sub
	}
	return fsys, names
}

// readMigrations returns the steps of one plugin, by number, and all that is wrong with its files.
func readMigrations(fsys fs.FS, words map[string]any) ([]migration, []error) {
	fsys, names := migrationFiles(fsys)
	if len(names) == 0 {
		return nil, []error{errors.New("migrations: the file system has no *.sql file at its top or in its " +
			"folder migrations; embed them by //go:embed migrations/*.sql")}
	}
	var faults []error
	byID := map[string]*migration{}
	for _, name := range names {
		parts := migrationFile.FindStringSubmatch(name)
		if parts == nil {
			faults = append(faults, fmt.Errorf("migration %q: the file is not named NNNN_name.up.sql or NNNN_name.down.sql; "+
				"rename it, as in 0002_colour.up.sql", name))
			continue
		}
		id, up := parts[1], parts[2] == "up"
		if byID[id] == nil {
			byID[id] = &migration{id: id}
		}
		script := &byID[id].down
		if up {
			script = &byID[id].up
		}
		text, err := fs.ReadFile(fsys, name)
		if err == nil {
			*script, err = render(strings.ReplaceAll(string(text), "\r\n", "\n"), words)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("migration %q: %w; mend the file", name, err))
			*script = " " // it is there
		}
	}
	plan := make([]migration, 0, len(byID))
	for i, id := range slices.Sorted(maps.Keys(byID)) {
		m := byID[id]
		if m.up == "" || m.down == "" {
			faults = append(faults, fmt.Errorf("migration %s lacks its up or its down file, or that is empty; "+
				"add %[1]s.up.sql and %[1]s.down.sql", id))
		}
		if want := fmt.Sprintf("%04d", i+1); want != id[:4] {
			faults = append(faults, fmt.Errorf("migration %s is number %d in their order; number the files from 0001 without "+
				"gaps, this one %s%s", id, i+1, want, id[4:]))
		}
		plan = append(plan, *m)
	}
	return plan, faults
}

func render(text string, words map[string]any) (string, error) {
	t, err := template.New("migration").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, words)
	return b.String(), err
}

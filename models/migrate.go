package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

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
func Migrate(ctx context.Context, db *DB) error {
	plan, err := newMigrator(db).plan.all()
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := sqldialect.LockMigrations(ctx, db.conn.Kind, tx.q); err != nil {
			return fmt.Errorf("models: lock migrations: %w", err)
		}
		// The table is made under the lock: on Postgres, CREATE TABLE IF NOT EXISTS may fail if two sessions execute it at
		// once.
		create := fmt.Sprintf(createMigrationTable, db.conn.Kind.TemplateData()["time"])
		if _, err := tx.q.ExecContext(ctx, create); err != nil {
			return fmt.Errorf("models: migrate: %w", err)
		}
		m := newMigrator(tx.DB)
		// This is read under the lock, because another process may have migrated while this one waited.
		missing, err := m.missing(ctx, plan)
		if err != nil {
			return err
		}
		for _, step := range missing {
			if err := m.apply(ctx, step); err != nil {
				return err
			}
		}
		return m.ensureDefaultDomain(ctx)
	})
}

// CheckSchema reports whether all migrations of the registry's plugins were applied and no others, whether the tables
// have the columns that their types need, and whether those of content types have the unique key that their type
// declares.
//
// Errors: Conflict if the schema is older (run Migrate) or newer than the code, or lacks a column or a unique key.
func CheckSchema(ctx context.Context, db *DB) error {
	m := newMigrator(db)
	plan, err := m.plan.all()
	if err != nil {
		return err
	}
	missing, err := m.missing(ctx, plan)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return pulperr.Public(pulperr.Conflict, "the database schema is older than this program: %s; call pulpcore.Migrate "+
			"with the same settings and plugins once, before the servers start", pending(missing))
	}
	if err := m.checkColumns(ctx); err != nil {
		return err
	}
	return m.checkUniqueKeys(ctx)
}

// pending names migrations that have not been applied, for an error.
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
func Empty(ctx context.Context, db *DB) (bool, error) {
	done, err := newMigrator(db).applied(ctx)
	if sqldialect.IsUndefinedTable(err) {
		return true, nil
	}
	// The table is there and has no rows after a Rollback of all migrations.
	return err == nil && len(done) == 0, err
}

// Rollback undoes the newest migration of a plugin ("core" for the library's own) and returns its name, or "" if
// none is left. It destroys data.
func Rollback(ctx context.Context, db *DB, plugin string) (string, error) {
	plan, err := newMigrator(db).plan.all()
	if err != nil {
		return "", err
	}
	var id string
	err = db.Tx(ctx, func(ctx context.Context, tx *Tx) (err error) {
		if err := sqldialect.LockMigrations(ctx, db.conn.Kind, tx.q); err != nil {
			return fmt.Errorf("models: lock migrations: %w", err)
		}
		id, err = newMigrator(tx.DB).undo(ctx, plan, plugin)
		return err
	})
	return id, err
}

// migrator applies migrations through a handle, which belongs to a transaction where it writes.
type migrator struct {
	db   *DB
	plan migrationPlan
}

func newMigrator(db *DB) migrator {
	return migrator{db, migrationPlan{db.registry, db.conn.Kind.TemplateData()}}
}

// undo undoes the newest applied step of a plugin and returns its id.
func (m migrator) undo(ctx context.Context, plan []migration, plugin string) (string, error) {
	done, err := m.applied(ctx)
	if err != nil {
		return "", err
	}
	for _, step := range slices.Backward(plan) {
		if _, ok := done[step.plugin+" "+step.id]; !ok || step.plugin != plugin {
			continue
		}
		if err := m.execAll(ctx, step.down); err != nil {
			return "", fmt.Errorf("models: undo migration %s of %s: %w", step.id, step.plugin, err)
		}
		_, err := m.db.Bun().NewDelete().Model((*applied)(nil)).Where("plugin = ? AND id = ?", step.plugin, step.id).Exec(ctx)
		return step.id, err
	}
	return "", nil
}

func (m migrator) applied(ctx context.Context) (map[string]applied, error) {
	var rows []applied
	if err := m.db.Bun().NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("models: read applied migrations: %w", err)
	}
	done := make(map[string]applied, len(rows))
	for _, r := range rows {
		done[r.Plugin+" "+r.ID] = r
	}
	return done, nil
}

// missing returns the steps of plan that have not been applied.
func (m migrator) missing(ctx context.Context, plan []migration) ([]migration, error) {
	done, err := m.applied(ctx)
	if sqldialect.IsUndefinedTable(err) { // a new database, before the table of migrations was made
		return plan, nil
	}
	if err != nil {
		return nil, err
	}
	var todo []migration
	known := map[string]bool{}
	for _, step := range plan {
		known[step.plugin+" "+step.id], known[step.plugin] = true, true
		if a, ok := done[step.plugin+" "+step.id]; !ok {
			todo = append(todo, step)
		} else if a.Checksum != step.checksum() {
			return nil, m.plan.changed(step)
		}
	}
	for key, a := range done {
		// Migrations of plugins that are not part of this App are none of its business: another program may use them.
		if known[a.Plugin] && !known[key] {
			return nil, pulperr.Public(pulperr.Conflict, "the database schema is newer than this program: "+
				"it has migration %s of %s; "+
				"start the newer program, or undo the migration with that program's models.Rollback", a.ID, a.Plugin)
		}
	}
	return todo, nil
}

func (m migrator) apply(ctx context.Context, step migration) error {
	if err := m.execAll(ctx, step.up); err != nil {
		return fmt.Errorf("models: migration %s of %s: %w", step.id, step.plugin, err)
	}
	row := &applied{Plugin: step.plugin, ID: step.id, Checksum: step.checksum(), AppliedAt: Now()}
	if _, err := m.db.Bun().NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("models: record migration %s of %s: %w", step.id, step.plugin, err)
	}
	m.db.Log().InfoContext(ctx, "migration applied", "plugin", step.plugin, "migration", step.id)
	return nil
}

func (m migrator) execAll(ctx context.Context, script string) error {
	for _, stmt := range statements(script) {
		// Without arguments bun leaves question marks alone.
		if _, err := m.db.Bun().NewRaw(stmt).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m migrator) ensureDefaultDomain(ctx context.Context) error {
	d := &Domain{Name: DefaultDomain, Labels: Labels{}}
	d.stamp(Now())
	_, err := m.db.Bun().NewInsert().Model(d).On("CONFLICT (name) DO NOTHING").Exec(ctx)
	return rowError(err, "domain", DefaultDomain)
}

// checkColumns makes sure that the tables of all types have the columns that the types need. Migrations that were
// written before a field was added do not make its column.
func (m migrator) checkColumns(ctx context.Context) error {
	for t := range m.db.Registry().Types() {
		s := m.db.Registry().byDef[t.definition()]
		if s.own == "" {
			continue
		}
		there, err := sqldialect.ColumnNames(ctx, m.db.Conn().Kind, m.db.q, s.own)
		if err != nil {
			return fmt.Errorf("models: type %q: %w", s.name, err)
		}
		var missing []string
		for _, c := range s.ownCols {
			if !slices.Contains(there, c) {
				missing = append(missing, c)
			}
		}
		if missing != nil {
			return pulperr.Public(pulperr.Conflict, "the table %s of type %q lacks the columns (%s): the migrations of its "+
				"plugin are older than the type; let pulpcore.WriteMigration write the next one",
				s.own, s.name, strings.Join(missing, ", "))
		}
	}
	return nil
}

// checkUniqueKeys makes sure that the tables of content types have the unique key that their types declare: without it
// the database takes the same unit twice.
func (m migrator) checkUniqueKeys(ctx context.Context) error {
	for _, s := range m.db.Registry().byDef {
		if s.master != ContentMaster || s.own == "" {
			continue
		}
		keys, err := sqldialect.UniqueKeys(ctx, m.db.Conn().Kind, m.db.q, s.own)
		if err != nil {
			return fmt.Errorf("models: type %q: %w", s.name, err)
		}
		want := slices.Sorted(slices.Values(s.natural.columns()))
		if !slices.ContainsFunc(keys, func(k []string) bool { return slices.Equal(slices.Sorted(slices.Values(k)), want) }) {
			return pulperr.Public(pulperr.Conflict, "the table %s of content type %q has no unique key of exactly the "+
				"columns (%s), so the same unit could be saved twice; add UNIQUE (%[3]s) in a migration of the plugin, which "+
				"pulpcore.WriteMigration can write",
				s.own, s.name, strings.Join(s.natural.columns(), ", "))
		}
	}
	return nil
}

package sqldialect

import (
	"context"

	"github.com/uptrace/bun"
)

// TemplateData returns the words that migrations use for column types: {{.uuid}}, {{.json}}, {{.time}}, {{.bytes}},
// {{.bytewise}} for text that sorts byte by byte whatever the locale, and the conditions {{if .postgres}} and
// {{if .sqlite}}.
func (k Kind) TemplateData() map[string]any {
	if k == Postgres {
		return map[string]any{
			"postgres": true, "sqlite": false,
			"uuid": "uuid", "json": "jsonb", "time": "timestamptz", "bytes": "bytea", "bytewise": ` COLLATE "C"`,
		}
	}
	// Types whose names SQLite would give numeric affinity are spelled so that hex text stays text.
	return map[string]any{
		"postgres": false, "sqlite": true,
		"uuid": "VARCHAR(36)", "json": "TEXT", "time": "TIMESTAMP", "bytes": "BLOB", "bytewise": "",
	}
}

// migrationLock is the key of the advisory lock that serialises migrations.
const migrationLock = 0x70756c70 // "pulp"

// LockMigrations makes tx the only transaction that changes the schema until it ends; the lock dies with its holder.
// On SQLite the transaction itself, begun IMMEDIATE, is that lock.
func (k Kind) LockMigrations(ctx context.Context, tx bun.IDB) error {
	if k == SQLite {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", migrationLock)
	return err
}

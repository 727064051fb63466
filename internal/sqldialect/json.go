package sqldialect

import (
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// postgresDialect and sqliteDialect are bun's dialects, but for the quoting of JSON. Bun takes the text \u0000 within a
// string, which JSON writes as \\u0000, for an escaped NUL and adds a backslash: that makes a NUL of it.
type (
	postgresDialect struct{ *pgdialect.Dialect }
	sqliteDialect   struct{ *sqlitedialect.Dialect }
)

// AppendJSON is of schema.Dialect.
func (postgresDialect) AppendJSON(b, json []byte) []byte { return appendJSON(b, json) }

// AppendJSON is of schema.Dialect.
func (sqliteDialect) AppendJSON(b, json []byte) []byte { return appendJSON(b, json) }

// appendJSON appends JSON as a literal of SQL. Encoding/json writes no quote behind a backslash and no bare NUL. An
// escaped NUL stays: Postgres refuses it, and callers refuse it before.
func appendJSON(b, json []byte) []byte {
	b = append(b, '\'')
	for _, c := range json {
		if c == '\'' {
			b = append(b, c)
		}
		b = append(b, c)
	}
	return append(b, '\'')
}

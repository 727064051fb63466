package sqldialect

import (
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// Named are arguments for statements with placeholders such as ?task_id.
type Named map[string]any

// AppendNamedArg makes Named usable as the only argument of a bun query.
func (n Named) AppendNamedArg(gen schema.QueryGen, b []byte, name string) ([]byte, bool) {
	v, ok := n[name]
	if !ok {
		return b, false
	}
	// Parts of statements write themselves; bun would quote them as values.
	if a, ok := v.(schema.QueryAppender); ok {
		out, err := a.AppendQuery(gen, b)
		return out, err == nil
	}
	return gen.Append(b, v), true
}

// Now is the present as an argument of a statement: on Postgres the time at which the server began the statement, so
// that all hosts agree, and this process's clock on SQLite, where all users of the file share one host.
//
// It is never clock_timestamp(), which changes while a statement runs: Postgres then compares it with every row instead
// of looking it up in an index.
func (k Kind) Now() any { return k.After(0) }

// After is [Kind.Now] plus d.
func (k Kind) After(d time.Duration) any {
	if k == SQLite {
		// Microseconds, as Postgres has them: times have to compare equal after they were stored.
		return time.Now().UTC().Add(d).Truncate(time.Microsecond)
	}
	if d == 0 {
		return bun.Safe("statement_timestamp()")
	}
	// Added by the server, whose clock differs from that of this host.
	return bun.Safe(fmt.Sprintf("statement_timestamp() + interval '%d microseconds'", d.Microseconds()))
}

// SkipLocked ends a SELECT of rows that are to be changed, so that several processes take different ones. SQLite's
// transactions are alone anyway.
func (k Kind) SkipLocked() bun.Safe {
	if k == SQLite {
		return ""
	}
	// Without a wait: the process that holds a row deals with it.
	return "FOR UPDATE SKIP LOCKED"
}

// SkipLockedOf is [Kind.SkipLocked] for the rows of one of several tables.
func (k Kind) SkipLockedOf(alias string) bun.Safe {
	if k == SQLite {
		return ""
	}
	return bun.Safe("FOR UPDATE OF " + alias + " SKIP LOCKED")
}

// ForUpdate ends a SELECT of rows that only this transaction may change.
func (k Kind) ForUpdate() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR UPDATE"
}

// ForNoKeyUpdate ends a SELECT of rows that this transaction holds against others that ask for the same, while rows
// that refer to them may still be inserted.
func (k Kind) ForNoKeyUpdate() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR NO KEY UPDATE"
}

// ForShare ends a SELECT of rows that must not change until the transaction ends.
func (k Kind) ForShare() bun.Safe {
	if k == SQLite {
		return ""
	}
	return "FOR SHARE"
}

// ForShareOf is [Kind.ForShare] for the rows of one of several tables.
func (k Kind) ForShareOf(alias string) bun.Safe {
	if k == SQLite {
		return ""
	}
	return bun.Safe("FOR SHARE OF " + alias)
}

// JSONCase casts placeholders for JSON that stand where Postgres cannot infer their type.
func (k Kind) JSONCase(statement string, placeholders ...string) string {
	if k == SQLite {
		return statement
	}
	for _, p := range placeholders {
		statement = strings.ReplaceAll(statement, p, p+"::jsonb")
	}
	return statement
}

// ByteOrder returns what makes a text column compare and sort byte by byte, to be written behind its name. SQLite's
// text always does; Postgres needs it where the database has a language's order.
func (k Kind) ByteOrder() bun.Safe {
	if k == Postgres {
		return ` COLLATE "C"`
	}
	return ""
}

// HasElement returns a condition with one placeholder: that a column of the type that models keep lists of text in
// holds this text.
func (k Kind) HasElement(column string) string {
	if k == Postgres {
		return "? = ANY(" + column + ")"
	}
	return "? IN (SELECT value FROM json_each(" + column + "))"
}

// Values returns "VALUES (?, ?), (?, ?)" for a number of rows whose columns have the given types, in the words of
// [Kind.TemplateData]. The columns are called column1, column2 and so on.
//
// Postgres needs the types and takes them from the first row. SQLite's values take on the type of the column that they
// are compared with or written to.
func (k Kind) Values(rows int, types ...string) string {
	row := "(" + strings.Repeat(", ?", len(types))[2:] + ")"
	first := row
	if k == Postgres {
		first = "(CAST(? AS " + strings.Join(types, "), CAST(? AS ") + "))"
	}
	return "VALUES " + first + strings.Repeat(", "+row, rows-1)
}

// JoinEach returns an inner join that looks up, for each row of what stands before it, the rows of table for which
// cond holds; cond calls them alias. Without statistics, or with those of a table that was empty, Postgres expects a
// two-hundredth of the table for each row and reads all of it instead, and SQLite may begin with it. Neither can here.
//
// Postgres cannot take a subquery apart that has an OFFSET, and SQLite does not reorder a CROSS JOIN.
func (k Kind) JoinEach(table, alias, cond string) string {
	if k == Postgres {
		return "CROSS JOIN LATERAL (SELECT " + alias + ".* FROM " + table + " AS " + alias + " WHERE " + cond +
			" OFFSET 0) AS " + alias
	}
	return "CROSS JOIN " + table + " AS " + alias + " ON " + cond
}

// Whole ends a subquery whose rows are to be found before they are sorted: Postgres would rather walk an index in the
// order that is asked for, past all rows that are not meant, if it takes the table for small.
func (k Kind) Whole() string {
	if k == Postgres {
		return " OFFSET 0"
	}
	return ""
}

// LeftJoinEach is [Kind.JoinEach] as an outer join: a row for which table has none stays, with NULL for its columns.
func (k Kind) LeftJoinEach(table, alias, cond string) string {
	if k == Postgres {
		return "LEFT JOIN LATERAL (SELECT " + alias + ".* FROM " + table + " AS " + alias + " WHERE " + cond +
			" OFFSET 0) AS " + alias + " ON TRUE"
	}
	return "LEFT JOIN " + table + " AS " + alias + " ON " + cond
}

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

package sqldialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
)

// Table is a table as a database describes it.
type Table struct {
	Name    string
	Columns []Column
	Indexes []Index
}

// Column is a column of a [Table].
type Column struct {
	Name    string `bun:"name"`
	Type    string `bun:"type"` // as it was declared, in lower case
	NotNull bool   `bun:"not_null"`
}

// Index is an index of a [Table], the one of a primary key left out. It has its columns in order.
type Index struct {
	Name       string
	Columns    []string // "" is an expression
	Unique     bool
	Constraint bool // part of CREATE TABLE
	Partial    bool
}

// DryData returns the words of [Kind.TemplateData] for [DrySchema]: those of SQLite with types that cannot be mistaken
// for one another.
func DryData() map[string]any {
	words := SQLite.TemplateData()
	words["uuid"], words["json"], words["time"], words["bytes"] = "uuid", "json", "timestamp", "blob"
	return words
}

// DrySchema executes statements on an empty SQLite in memory and returns the tables whose names begin with prefix.
func DrySchema(ctx context.Context, statements []string, prefix string) ([]Table, error) {
	pool := sql.OpenDB(sqliteConnector{":memory:", &sqlite.Driver{}})
	pool.SetMaxOpenConns(1) // each connection has a memory of its own
	db := bun.NewDB(pool, sqlitedialect.New())
	defer db.Close()
	for _, stmt := range statements {
		if _, err := db.NewRaw(stmt).Exec(ctx); err != nil {
			return nil, fmt.Errorf("database: %q: %w", firstLine(stmt), err)
		}
	}
	var names []string
	err := db.NewRaw(`SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, ?) = ? ORDER BY name`,
		len(prefix), prefix).Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("database: tables: %w", err)
	}
	tables := make([]Table, len(names))
	for i, name := range names {
		if tables[i], err = describe(ctx, db, name); err != nil {
			return nil, fmt.Errorf("database: table %s: %w", name, err)
		}
	}
	return tables, nil
}

func firstLine(stmt string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(stmt), "\n")
	return line
}

func describe(ctx context.Context, db *bun.DB, name string) (Table, error) {
	t := Table{Name: name}
	err := db.NewRaw(`SELECT name, lower(type) AS type, "notnull" OR pk > 0 AS not_null FROM pragma_table_info(?)
		ORDER BY cid`, name).Scan(ctx, &t.Columns)
	if err != nil {
		return t, err
	}
	var rows []struct {
		Name    string `bun:"name"`
		Unique  bool   `bun:"is_unique"`
		Origin  string `bun:"origin"`
		Partial bool   `bun:"partial"`
		Column  string `bun:"col"`
	}
	err = db.NewRaw(`SELECT l.name AS name, l."unique" AS is_unique, l.origin AS origin, l.partial AS partial,
			COALESCE(c.name, '') AS col
		FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS c WHERE l.origin <> 'pk'
		ORDER BY l.name, c.seqno`, name).Scan(ctx, &rows)
	if err != nil {
		return t, err
	}
	for _, r := range rows {
		if n := len(t.Indexes); n == 0 || t.Indexes[n-1].Name != r.Name {
			t.Indexes = append(t.Indexes, Index{Name: r.Name, Unique: r.Unique, Constraint: r.Origin != "c", Partial: r.Partial})
		}
		last := &t.Indexes[len(t.Indexes)-1]
		last.Columns = append(last.Columns, r.Column)
	}
	return t, nil
}

// ColumnNames returns the columns of a table, in no order; none if there is no such table.
func ColumnNames(ctx context.Context, k Kind, q bun.IDB, table string) ([]string, error) {
	query := `SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped`
	if k == SQLite {
		query = `SELECT name FROM pragma_table_info(?)`
	}
	var names []string
	if err := q.NewRaw(query, table).Scan(ctx, &names); err != nil {
		return nil, fmt.Errorf("database: columns of %s: %w", table, err)
	}
	return names, nil
}

// UniqueKeys returns the columns of every unique key of a table, the primary key included. Keys with a condition or an
// expression are left out, since ON CONFLICT cannot name them by their columns. The order of the columns is not
// defined.
func UniqueKeys(ctx context.Context, k Kind, q bun.IDB, table string) ([][]string, error) {
	// Without deferrable keys (indimmediate), which ON CONFLICT cannot use.
	query := `SELECT i.indexrelid::text AS name, a.attname AS col FROM pg_index AS i
		JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = to_regclass(?) AND i.indisunique AND i.indisvalid AND i.indimmediate
		AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts`
	if k == SQLite {
		query = `SELECT l.name AS name, c.name AS col FROM pragma_index_list(?) AS l
			JOIN pragma_index_info(l.name) AS c WHERE l."unique" AND NOT l.partial
			AND NOT EXISTS (SELECT 1 FROM pragma_index_info(l.name) AS e WHERE e.name IS NULL)`
	}
	var rows []struct {
		Name string `bun:"name"`
		Col  string `bun:"col"`
	}
	if err := q.NewRaw(query, table).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("database: unique keys of %s: %w", table, err)
	}
	at := map[string]int{}
	var keys [][]string
	for _, r := range rows {
		i, ok := at[r.Name]
		if !ok {
			i = len(keys)
			at[r.Name] = i
			keys = append(keys, nil)
		}
		keys[i] = append(keys[i], r.Col)
	}
	return keys, nil
}

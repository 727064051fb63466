package models

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/secrets"
)

// column is a column of a type's own table. Word is its type in a migration: SQL or a word of the template.
type column struct {
	name, word string
	notNull    bool
}

// index is an index of a type's own table.
type index struct {
	name    string
	columns []string
	unique  bool
}

// ownTable describes the table of a type's own columns, as its migrations make it.
type ownTable struct{ *schema }

// create returns the statements that make the type's own table, as a migration has them. Rows of a type that had no
// column of its own before get the zero values.
func (t ownTable) create() []string {
	var b strings.Builder
	// The foreign key is deferred, because a bulk save inserts the row of this table before that of the master.
	fmt.Fprintf(&b, "CREATE TABLE %s (\n"+
		"  pulp_id {{.uuid}} PRIMARY KEY REFERENCES %s ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,\n"+
		"  pulp_domain_id {{.uuid}} NOT NULL", t.own, t.master.Table())
	for _, c := range t.columns() {
		b.WriteString(",\n  " + c.sql())
	}
	b.WriteString("\n)")
	statements := []string{b.String()}
	// A content type has had a table from the start, because it needs a natural key.
	if t.master != ContentMaster {
		statements = append(statements, t.fill())
	}
	for _, i := range t.indexes() {
		statements = append(statements, i.create(t.own))
	}
	return statements
}

// fill returns the statement that gives rows of the master, from the time when the type had no column, a row in the
// type's table.
func (t ownTable) fill() string {
	names, values := "pulp_id, pulp_domain_id", "pulp_id, pulp_domain_id"
	for _, c := range t.columns() {
		if c.notNull {
			names += fmt.Sprintf(", %q", c.name)
			values += ", " + c.zero()
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s)\n  SELECT %s FROM %s WHERE pulp_type = '%s'",
		t.own, names, values, t.master.Table(), t.name)
}

// columns returns the type's own columns, without the two shared keys.
func (t ownTable) columns() []column {
	var list []column
	for _, f := range t.fields {
		if f.Own {
			list = append(list, columnOf(f))
		}
	}
	return list
}

func columnOf(f Field) column {
	c := column{name: f.Column, notNull: true}
	t := f.Go
	if t.Kind() == reflect.Pointer {
		t, c.notNull = t.Elem(), false
	}
	switch t {
	case reflect.TypeFor[secrets.EncryptedText](), reflect.TypeFor[[]byte]():
		// A zero EncryptedText and nil bytes are stored as NULL.
		c.word, c.notNull = "{{.bytes}}", false
		return c
	case reflect.TypeFor[uuid.UUID]():
		c.word = "{{.uuid}}"
		return c
	case reflect.TypeFor[time.Time]():
		c.word = "{{.time}}"
		return c
	}
	switch t.Kind() {
	case reflect.String:
		c.word = "TEXT"
	case reflect.Bool:
		c.word = "BOOLEAN"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.word = "BIGINT"
	case reflect.Float32, reflect.Float64:
		c.word = "DOUBLE PRECISION"
	default:
		c.word, c.notNull = "{{.json}}", false // NULL for a nil map or slice
	}
	return c
}

// in returns the column's type in a dialect, whose words are given.
func (c column) in(words map[string]any) string {
	if name, ok := strings.CutPrefix(c.word, "{{."); ok {
		return fmt.Sprint(words[strings.TrimSuffix(name, "}}")])
	}
	return c.word
}

// sql returns the column as in CREATE TABLE.
func (c column) sql() string {
	text := fmt.Sprintf("%q %s", c.name, c.word)
	if c.notNull {
		text += " NOT NULL"
	}
	return text
}

// zero returns Go's zero value of the column as a literal.
func (c column) zero() string {
	switch c.word {
	case "BOOLEAN":
		return "FALSE"
	case "BIGINT", "DOUBLE PRECISION":
		return "0"
	case "{{.uuid}}":
		return "'" + uuid.Nil.String() + "'"
	case "{{.time}}":
		return "'0001-01-01 00:00:00+00:00'"
	}
	return "''"
}

// indexes returns the index of the natural key, the index of places that [RemoveDuplicates] uses unless that of the
// natural key has the same columns, and the indexes that tags name.
func (t ownTable) indexes() []index {
	var list []index
	if t.natural != nil {
		// A unique index and no constraint, because SQLite cannot remove a constraint from a table.
		list = append(list, index{t.own + "_key", t.natural.columns(), true})
	}
	if place := t.placeIndex(); place != nil {
		list = append(list, index{t.own + "_place", place, false})
	}
	for _, n := range t.named {
		i := index{name: t.own + "_" + n.name + "_idx"}
		for _, f := range n.fields {
			i.columns = append(i.columns, f.Column)
		}
		list = append(list, i)
	}
	for i := range list {
		list[i].name = shorten(list[i].name)
	}
	return list
}

func (t ownTable) placeIndex() []string {
	covered := len(t.repo) <= len(t.natural)
	columns := []string{"pulp_domain_id"}
	for i, f := range t.repo {
		columns = append(columns, f.Column)
		covered = covered && f.Column == t.natural[i].Column
	}
	// The index of the natural key begins with the same columns.
	if covered {
		return nil
	}
	return columns
}

// shorten keeps a name within what Postgres takes, and apart from others that begin in the same way.
func shorten(name string) string {
	if len(name) <= maxIdentifier {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxIdentifier-9] + "_" + hex.EncodeToString(sum[:4])
}

func (i index) create(table string) string {
	kind := "INDEX"
	if i.unique {
		kind = "UNIQUE INDEX"
	}
	quoted := make([]string, len(i.columns))
	for n, c := range i.columns {
		quoted[n] = fmt.Sprintf("%q", c)
	}
	return fmt.Sprintf("CREATE %s %s ON %s (%s)", kind, i.name, table, strings.Join(quoted, ", "))
}

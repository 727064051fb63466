package models

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// difference collects the statements that change a plugin's tables, and the statements that undo them in reverse order.
type difference struct {
	drop     []string        // columns that may be dropped
	dropped  map[string]bool // the columns of drop that the migration drops
	up, down []string
	first    string // a word or two for the first change of a table or column
	faults   []error
}

func (d *difference) fault(format string, args ...any) {
	d.faults = append(d.faults, fmt.Errorf(format, args...))
}

func (d *difference) step(what, up, down string) {
	d.first = cmp.Or(d.first, what)
	d.up, d.down = append(d.up, up), append(d.down, down)
}

// name returns the part of the migration's name behind the number.
func (d *difference) name(given string, last int) string {
	switch {
	case given != "":
		return given
	case last == 0:
		return "initial"
	}
	return cmp.Or(d.first, "indexes")
}

func (d *difference) newTable(s *schema) {
	for i, stmt := range (ownTable{s}).create() {
		if i == 0 {
			d.step("create_"+s.own, stmt, "DROP TABLE "+s.own)
			continue
		}
		// No statement undoes it by itself, because DROP TABLE removes rows and indexes too.
		d.up = append(d.up, stmt)
	}
}

// strayTable reports a table that belonged to a type. Other tables are the plugin's own business.
func (d *difference) strayTable(t sqldialect.Table) {
	masters := []Master{
		ContentMaster, RepositoryMaster, RemoteMaster, PublicationMaster, DistributionMaster, ContentGuardMaster,
	}
	at := slices.IndexFunc(masters, func(m Master) bool { return strings.HasSuffix(t.Name, "_"+string(m)) })
	if at < 0 || !slices.ContainsFunc(t.Columns, func(c sqldialect.Column) bool { return c.Name == "pulp_domain_id" }) {
		return
	}
	d.fault("table %s belongs to no type with columns of its own; if the type was renamed, write a migration by hand "+
		"with ALTER TABLE %[1]s RENAME TO … and UPDATE %[2]s SET pulp_type = …; if it is gone, delete its rows from "+
		"%[2]s there and write DROP TABLE %[1]s", t.Name, masters[at].Table())
}

// table compares a table with its type.
func (d *difference) table(s *schema, t sqldialect.Table) {
	wanted := ownTable{s}.indexes()
	if hasKey(t, s.natural.columns()) && s.natural != nil {
		// An existing unique key of the same columns is enough, whatever its name: a migration by hand may have made it.
		wanted = slices.DeleteFunc(wanted, func(i index) bool { return i.unique && !sameIndex(t, i) })
	}
	// Indexes are dropped before columns: SQLite refuses to drop a column that an index holds.
	for _, old := range t.Indexes {
		switch {
		case slices.ContainsFunc(wanted, func(i index) bool { return equalIndex(old, i) }):
		case derivedName(t.Name, old) && !(s.natural != nil && old.Unique && sameSet(old.Columns, s.natural.columns())):
			i := index{old.Name, old.Columns, old.Unique}
			d.step("", "DROP INDEX "+old.Name, i.create(s.own))
		case old.Constraint && s.natural != nil && !hasKey(t, s.natural.columns()) &&
			slices.Contains(old.Columns, "pulp_domain_id"):
			d.fault("table %s has UNIQUE (%s) within CREATE TABLE, which SQLite cannot remove, and the natural key is (%s); "+
				"write a migration by hand that makes a new table with the index %s_key, copies the rows and takes the old "+
				"table's place", t.Name, strings.Join(old.Columns, ", "), strings.Join(s.natural.columns(), ", "), s.own)
		}
	}
	d.columns(s, t)
	// New indexes come last, because they may hold new columns.
	for _, i := range wanted {
		if !sameIndex(t, i) {
			d.step("", i.create(s.own), "DROP INDEX "+i.name)
		}
	}
}

// derivedName reports whether an index of a table has a name that this package gives.
func derivedName(table string, i sqldialect.Index) bool {
	if i.Constraint || i.Partial || slices.Contains(i.Columns, "") {
		return false
	}
	rest, ok := strings.CutPrefix(i.Name, table+"_")
	return ok && (rest == "key" || rest == "place" || strings.HasSuffix(rest, "_idx")) || len(i.Name) == maxIdentifier
}

func equalIndex(old sqldialect.Index, i index) bool {
	return old.Name == i.name && old.Unique == i.unique && !old.Partial && slices.Equal(old.Columns, i.columns)
}

func sameIndex(t sqldialect.Table, i index) bool {
	return slices.ContainsFunc(t.Indexes, func(old sqldialect.Index) bool { return equalIndex(old, i) })
}

// hasKey reports whether a table has a unique key of exactly the columns, in any order.
func hasKey(t sqldialect.Table, columns []string) bool {
	return slices.ContainsFunc(t.Indexes, func(i sqldialect.Index) bool {
		return i.Unique && !i.Partial && sameSet(i.Columns, columns)
	})
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// columns compares the columns of a table with the fields of its type.
func (d *difference) columns(s *schema, t sqldialect.Table) {
	wanted := ownTable{s}.columns()
	var gone []sqldialect.Column
	for _, old := range t.Columns {
		if old.Name == "pulp_id" || old.Name == "pulp_domain_id" {
			continue
		}
		at := slices.IndexFunc(wanted, func(c column) bool { return c.name == old.Name })
		if at < 0 {
			gone = append(gone, old)
			continue
		}
		d.sameColumn(t, old, wanted[at])
		wanted = slices.Delete(wanted, at, at+1)
	}
	// After the loop, when only new columns are left in wanted: one of them may be the renamed column.
	for _, old := range gone {
		d.goneColumn(t, old, wanted)
	}
	for _, c := range wanted {
		text := c.sql()
		if c.notNull {
			// A column that is NOT NULL needs a value for the rows that exist.
			text += " DEFAULT " + c.zero()
		}
		d.step("add_"+c.name, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", t.Name, text),
			fmt.Sprintf("ALTER TABLE %s DROP COLUMN %q", t.Name, c.name))
	}
}

func (d *difference) sameColumn(t sqldialect.Table, old sqldialect.Column, c column) {
	word, null := wordOf(old.Type), "NULL"
	if c.notNull {
		null = "NOT NULL"
	}
	switch {
	case word != c.word:
		d.fault("column %s.%s is %s, and its field needs %s; write a migration by hand that adds a column, fills it "+
			"from the old one, drops that and takes its name, or give the field another column by its bun tag",
			t.Name, old.Name, word, c.word)
	case old.NotNull != c.notNull:
		d.fault("column %s.%s has to be %s for its field, which ALTER TABLE of SQLite cannot say; write a migration by "+
			"hand that adds a column, fills it from the old one, drops that and takes its name, or change the field back",
			t.Name, old.Name, null)
	}
}

// goneColumn drops a column without a field, if that is wanted.
func (d *difference) goneColumn(t sqldialect.Table, old sqldialect.Column, added []column) {
	name, word := t.Name+"."+old.Name, wordOf(old.Type)
	if !slices.Contains(d.drop, name) {
		text := fmt.Sprintf("column %s has no field any more; if its values may be lost, name it in Drop, as in "+
			"MigrationOptions{Drop: []string{%q}}", name, name)
		for _, c := range added {
			if c.word == word && c.notNull == old.NotNull {
				text += fmt.Sprintf("; if the field was renamed, write a migration by hand with ALTER TABLE %s RENAME COLUMN "+
					"%q TO %q",
					t.Name, old.Name, c.name)
			}
		}
		d.fault("%s", text)
		return
	}
	d.dropped[name] = true
	// Only indexes with derived names are dropped. SQLite refuses to drop the column while another index holds it.
	for _, i := range t.Indexes {
		if slices.Contains(i.Columns, old.Name) && !derivedName(t.Name, i) {
			d.fault("column %s is part of the index or key %s, which was written by hand; drop both in a migration by "+
				"hand", name, i.Name)
			return
		}
	}
	c := column{old.Name, word, old.NotNull}
	back := c.sql()
	if c.notNull {
		back += " DEFAULT " + c.zero()
	}
	d.step("drop_"+old.Name, fmt.Sprintf("ALTER TABLE %s DROP COLUMN %q", t.Name, old.Name),
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", t.Name, back))
}

// wordOf returns the word of a migration for a type that SQLite was given.
func wordOf(declared string) string {
	name, _, _ := strings.Cut(declared, "(")
	name = strings.TrimSpace(name)
	contains := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
	}
	switch {
	case name == "uuid":
		return "{{.uuid}}"
	case contains("json"):
		return "{{.json}}"
	case contains("timestamp", "datetime"):
		return "{{.time}}"
	case contains("blob", "bytea"):
		return "{{.bytes}}"
	case contains("bool"):
		return "BOOLEAN"
	case contains("int", "serial"):
		return "BIGINT"
	case contains("char", "clob", "text"):
		return "TEXT"
	case contains("real", "float", "double", "numeric", "decimal"):
		return "DOUBLE PRECISION"
	}
	return strings.ToUpper(name)
}

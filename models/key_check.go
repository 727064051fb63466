package models

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// maxKeySum is how many bytes the natural key of a unit takes at most, and likewise what identifies its place in a
// repository version and what a named index holds: each text by its length, every other column as 16 bytes. An index of
// Postgres holds 2,704 bytes with the domain and its own overhead, and SQLite shall take no key that Postgres does not.
const maxKeySum = 2500

// checkKeyType refuses columns that come back from the database with another value than was written, or whose values
// are not equal to themselves. They cannot identify anything.
func (f *Field) checkKeyType() error {
	t := f.Go
	if t.Kind() == reflect.Pointer && !f.Natural {
		t = t.Elem() // a place may be open
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Pointer:
		return fmt.Errorf("a natural key field cannot be a pointer; make it a %s", t.Elem())
	default:
		if t == reflect.TypeFor[uuid.UUID]() {
			return nil
		}
	}
	return fmt.Errorf("a key field cannot be a %s, only a string, an integer, a bool or a uuid.UUID; "+
		"write times and fractions as text of one form", t)
}

// checkKeys makes sure that an index can hold the unit's keys.
func (s *schema) checkKeys(v reflect.Value) error {
	keys := [][]Field{s.natural, s.repo}
	for _, n := range s.named {
		keys = append(keys, n.fields)
	}
	for _, key := range keys {
		sum := 0
		names := make([]string, 0, len(key))
		for _, f := range key {
			fv := v.FieldByIndex(f.Index)
			if fv.Kind() == reflect.Pointer && !fv.IsNil() {
				fv = fv.Elem()
			}
			if names = append(names, f.JSON); fv.Kind() == reflect.String {
				sum += fv.Len()
			} else {
				sum += 16
			}
		}
		if sum > maxKeySum {
			return pulperr.Field(names[0], "Ensure that %s together have no more than %d bytes, they have %d.",
				strings.Join(names, ", "), maxKeySum, sum)
		}
	}
	return nil
}

// uniqueKey returns the columns of the unique key that a content type's table must have.
func (s *schema) uniqueKey() []string {
	columns := []string{"pulp_domain_id"}
	for _, f := range s.natural {
		columns = append(columns, f.Column)
	}
	return columns
}

// checkColumns makes sure that the tables of all types have the columns that the types need. Migrations that were
// written before a field was added do not make its column.
func (db *DB) checkColumns(ctx context.Context) error {
	for t := range db.registry.Types() {
		s := db.registry.byDef[t.definition()]
		if s.detail == "" {
			continue
		}
		there, err := db.conn.Kind.ColumnNames(ctx, db.q, s.detail)
		if err != nil {
			return fmt.Errorf("models: type %q: %w", s.name, err)
		}
		var missing []string
		for _, c := range s.detailCols {
			if !slices.Contains(there, c) {
				missing = append(missing, c)
			}
		}
		if missing != nil {
			return pulperr.Public(pulperr.Conflict, "the table %s of type %q lacks the columns (%s): the migrations of its "+
				"plugin are older than the type; let pulpcore.WriteMigration write the next one",
				s.detail, s.name, strings.Join(missing, ", "))
		}
	}
	return nil
}

// checkUniqueKeys makes sure that the tables of content types have the unique key that their types declare: without it
// the database takes the same unit twice.
func (db *DB) checkUniqueKeys(ctx context.Context) error {
	for _, s := range db.registry.byDef {
		if s.master != ContentMaster || s.detail == "" {
			continue
		}
		keys, err := db.conn.Kind.UniqueKeys(ctx, db.q, s.detail)
		if err != nil {
			return fmt.Errorf("models: type %q: %w", s.name, err)
		}
		want := slices.Sorted(slices.Values(s.uniqueKey()))
		if !slices.ContainsFunc(keys, func(k []string) bool { return slices.Equal(slices.Sorted(slices.Values(k)), want) }) {
			return pulperr.Public(pulperr.Conflict, "the table %s of content type %q has no unique key of exactly the "+
				"columns (%s), so the same unit could be saved twice; add UNIQUE (%[3]s) in a migration of the plugin, which "+
				"pulpcore.WriteMigration can write",
				s.detail, s.name, strings.Join(s.uniqueKey(), ", "))
		}
	}
	return nil
}

// otherKeyError is the violation of a unique key that a plugin's table has beside the natural one. Postgres also
// reports it if two transactions insert the same unit at the same time, so the transaction is worth another run.
type otherKeyError struct {
	table string
	cause error
}

// Error names the table; the cause names the key.
func (e *otherKeyError) Error() string {
	return fmt.Sprintf("another unique key of table %s is taken: %v", e.table, e.cause)
}

// Unwrap returns the kind, and what makes a transaction run again.
func (e *otherKeyError) Unwrap() []error { return []error{pulperr.Exists, errVanished} }

// PublicText returns the same text as Error.
func (e *otherKeyError) PublicText() string { return e.Error() }

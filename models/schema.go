package models

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// schema is what the database keeps of a type: the columns of its two tables, its keys and its secrets.
type schema struct {
	*definition
	fields     []Field
	masterCols []string
	ownCols    []string // with the two shared keys in front; nil if the type adds no column
	own        string   // table of the own columns; "" if there is none
	natural    keyFields
	repo       keyFields
	secrets    []Field
	named      []namedIndex // sorted by name
}

// namedIndex is an index that tags ask for.
type namedIndex struct {
	name   string
	fields []Field
}

// maxIdentifier is the longest name of a table, column or index, in bytes: Postgres cuts off the rest.
const maxIdentifier = 63

// has reports whether the type has a column.
func (s *schema) has(column string) bool {
	return slices.Contains(s.masterCols, column) || slices.Contains(s.ownCols, column)
}

// column qualifies the name of a column that the type has.
func (s *schema) column(name string) bun.Safe {
	if slices.Contains(s.masterCols, name) {
		return bun.Safe(`m."` + name + `"`)
	}
	return bun.Safe(`d."` + name + `"`)
}

func (s *schema) unknownColumn(name string) error {
	return pulperr.Public(pulperr.Invalid, "%s %s has no column %q", s.name, s.master, name)
}

// eachSecret calls fn for every secret of a row.
func (s *schema) eachSecret(row Row, fn func(*secrets.EncryptedText, secrets.Place) error) error {
	if s.secrets == nil {
		return nil
	}
	v := reflect.ValueOf(row).Elem()
	for _, f := range s.secrets {
		place := secrets.Place{Table: s.tableOf(f), Column: f.Column, Row: row.PulpID()}
		if err := fn(v.FieldByIndex(f.Index).Addr().Interface().(*secrets.EncryptedText), place); err != nil {
			return fmt.Errorf("models: %s %s: %w", s.name, s.master, err)
		}
	}
	return nil
}

// tableOf returns the table that holds a field.
func (s *schema) tableOf(f Field) string {
	if f.Own {
		return s.own
	}
	return s.master.Table()
}

// goName returns the name of the struct field.
func (s *schema) goName(f Field) string { return s.goType.FieldByIndex(f.Index).Name }

// prn returns the PRN of a row of the type.
func (s *schema) prn(id uuid.UUID) string { return TypedPRN(s.master, s.name, id) }

// slice returns a pointer to a slice of the rows as their Go type, the form that bun wants.
func (s *schema) slice(rows []AnyContent) any {
	out := reflect.New(reflect.SliceOf(reflect.PointerTo(s.goType)))
	list := reflect.MakeSlice(out.Elem().Type(), len(rows), len(rows))
	for i, r := range rows {
		list.Index(i).Set(reflect.ValueOf(r))
	}
	out.Elem().Set(list)
	return out.Interface()
}

package models

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// keyFields are the fields of a key, in struct order.
type keyFields []Field

// values returns the key of a unit.
func (k keyFields) values(c AnyContent) []any {
	v := reflect.ValueOf(c).Elem()
	values := make([]any, len(k))
	for i, f := range k {
		values[i] = v.FieldByIndex(f.Index).Interface()
	}
	return values
}

// text returns the key of a unit as one text, which is equal if and only if the keys are.
func (k keyFields) text(c AnyContent) string {
	var b strings.Builder
	v := reflect.ValueOf(c).Elem()
	for _, f := range k {
		if fv := v.FieldByIndex(f.Index); fv.Kind() == reflect.String {
			b.WriteString(fv.String())
		} else {
			fmt.Fprint(&b, fv.Interface())
		}
		b.WriteByte(0) // no text of a key contains a NUL byte
	}
	return b.String()
}

// describe returns the key of a unit for messages: "name=x version=1".
func (k keyFields) describe(c AnyContent) string {
	var parts []string
	for i, v := range k.values(c) {
		parts = append(parts, fmt.Sprintf("%s=%v", k[i].JSON, v))
	}
	return strings.Join(parts, " ")
}

// columns returns the columns of the key behind that of the domain: keys are unique within one.
func (k keyFields) columns() []string {
	columns := []string{"pulp_domain_id"}
	for _, f := range k {
		columns = append(columns, f.Column)
	}
	return columns
}

// maxKeySum is how many bytes the natural key of a unit takes at most, and likewise what identifies its place in a
// repository version and what a named index holds: each text by its length, every other column as 16 bytes. An index of
// Postgres holds 2,704 bytes with the domain and its own overhead, and SQLite shall take no key that Postgres does not.
const maxKeySum = 2500

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

// Package schema describes the fields of a struct on the wire. Requests are parsed, answers rendered and the OpenAPI
// document written from this one description.
package schema

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// Form is the JSON that stands for a value.
type Form uint8

// The forms. A Go type that has none of them cannot be on the wire.
const (
	Text   Form = iota + 1
	Bool        // true or false
	Int         // whole number
	Float       // any number
	Labels      // object of texts
	Time        // text in RFC 3339
	Ref         // href or PRN, kept as a UUID
	Secret      // write-only text
	List        // array
	JSON        // any other value
	Refs        // array of hrefs or PRNs, kept as UUIDs
)

// Type is what a value may be on the wire.
type Type struct {
	Form     Form
	Go       reflect.Type
	Nullable bool
	Verbatim bool     // spaces around a text belong to it
	Blank    bool     // a text may be empty
	MaxLen   int      // of a text, in characters; 0 is no limit
	Len      int      // exact length of a text, in bytes; 0 is any
	Min      *float64 // of a number
	Choices  []string // of a text, or of the items of a list; nil allows all
	Wide     bool     // a whole number may need 64 bits
}

// TypeOf returns the type without limits that a Go type has on the wire.
func TypeOf(t reflect.Type) Type {
	w := Type{Go: t}
	if t.Kind() == reflect.Pointer {
		w.Nullable = true
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[secrets.EncryptedText]():
		w.Form, w.Nullable = Secret, true
	case reflect.TypeFor[models.Labels]():
		w.Form = Labels
	case reflect.TypeFor[time.Time]():
		w.Form = Time
	case reflect.TypeFor[uuid.UUID]():
		w.Form = Ref
	case reflect.TypeFor[[]uuid.UUID]():
		w.Form = Refs
	case reflect.TypeFor[json.RawMessage]():
		w.Form, w.Nullable = JSON, true
	default:
		w.Form = formOf(t.Kind())
	}
	return w
}

func formOf(k reflect.Kind) Form {
	switch k {
	case reflect.String:
		return Text
	case reflect.Bool:
		return Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Int
	case reflect.Float32, reflect.Float64:
		return Float
	case reflect.Slice:
		return List
	case reflect.Map, reflect.Struct, reflect.Interface:
		return JSON
	}
	return 0
}

// elem returns the Go type below a pointer.
func (t Type) elem() reflect.Type {
	if t.Go.Kind() == reflect.Pointer {
		return t.Go.Elem()
	}
	return t.Go
}

// Schema describes the values that requests may give.
func (t Type) Schema() *openapi3.Schema {
	s := t.base()
	s.Nullable, s.Min = t.Nullable, t.Min
	// The items of a list have the choices, not the list.
	choices := s
	if t.Form == List {
		choices = s.Items.Value
	}
	for _, choice := range t.Choices {
		choices.Enum = append(choices.Enum, choice)
	}
	if t.Form != Text {
		return s
	}
	if !t.Blank {
		s.MinLength = 1
	}
	if t.MaxLen > 0 {
		s.MaxLength = new(uint64(t.MaxLen))
	}
	if t.Len > 0 {
		s.MinLength, s.MaxLength = uint64(t.Len), new(uint64(t.Len))
	}
	return s
}

func (t Type) base() *openapi3.Schema {
	switch t.Form {
	case Bool:
		return openapi3.NewBoolSchema()
	case Int:
		return openapi3.NewInt64Schema()
	case Float:
		return openapi3.NewFloat64Schema().WithFormat("double")
	case Labels:
		return openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewStringSchema().WithNullable())
	case Time:
		return openapi3.NewDateTimeSchema()
	case Ref:
		return openapi3.NewStringSchema().WithFormat("uri")
	case Refs:
		return openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema().WithFormat("uri"))
	case Secret:
		s := openapi3.NewStringSchema()
		s.WriteOnly = true
		return s
	case List:
		return openapi3.NewArraySchema().WithItems(itemSchema(t.elem().Elem()))
	case JSON:
		// Any value will do: a schema without a type.
		if e := t.elem(); e.Kind() == reflect.Interface || e == reflect.TypeFor[json.RawMessage]() {
			return openapi3.NewSchema()
		}
		if s := structSchema(t.elem()); s != nil {
			return s
		}
		return openapi3.NewObjectSchema().WithAnyAdditionalProperties()
	default:
		return openapi3.NewStringSchema()
	}
}

// structSchema describes a struct by its fields, or returns nil if its JSON is not that of its fields.
func structSchema(t reflect.Type) *openapi3.Schema {
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	for i := range t.NumField() {
		if sf := t.Field(i); sf.IsExported() && sf.Tag.Get("json") == "" {
			return nil // encoding/json would name the member after the field, and requests name members in lower case
		}
	}
	fields, faults := StructFields(t)
	if faults != nil {
		return nil
	}
	s := openapi3.NewObjectSchema()
	for _, f := range fields {
		p := f.Schema()
		p.MinLength = 0 // encoding/json reads the value, and takes an empty text
		s.WithProperty(f.Name, p)
	}
	return s
}

// itemSchema describes the items of a list. Clients get no more than an object for a struct: what it must hold is
// checked by decoding it.
func itemSchema(t reflect.Type) *openapi3.Schema {
	switch t.Kind() {
	case reflect.String:
		return openapi3.NewStringSchema()
	case reflect.Bool:
		return openapi3.NewBoolSchema()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return openapi3.NewInt64Schema()
	}
	if t == reflect.TypeFor[time.Time]() {
		return openapi3.NewDateTimeSchema()
	}
	return openapi3.NewObjectSchema().WithAnyAdditionalProperties()
}

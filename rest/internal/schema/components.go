package schema

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Components are the named schemas of the document.
type Components struct {
	schemas openapi3.Schemas
	names   map[reflect.Type]string // of structs that are components
}

// NewComponents returns the schemas that every document has.
func NewComponents() *Components {
	c := &Components{openapi3.Schemas{}, map[reflect.Type]string{}}
	c.add("ErrorResponse", errorSchema())
	return c
}

func (c *Components) add(name string, s *openapi3.Schema) {
	c.schemas[name] = openapi3.NewSchemaRef("", s)
}

// ref points to a component.
func (c *Components) ref(name string) *openapi3.SchemaRef {
	ref := openapi3.NewSchemaRef("#/components/schemas/"+name, nil)
	if target := c.schemas[name]; target != nil {
		ref.Value = target.Value
	}
	return ref
}

func (c *Components) list(name string) *openapi3.SchemaRef {
	list := openapi3.NewArraySchema()
	list.Items = c.ref(name)
	return openapi3.NewSchemaRef("", list)
}

// AddBody adds the schema of a body.
func (c *Components) AddBody(name string, fields []*Field, file bool) {
	s := openapi3.NewObjectSchema()
	for _, f := range fields {
		s.WithProperty(f.Name, f.Schema())
		if f.Required {
			s.Required = append(s.Required, f.Name)
		}
	}
	if file {
		// The generated bindings upload a member of this format as a file.
		s.WithProperty("file", openapi3.NewStringSchema().WithFormat("binary"))
	}
	c.add(name, s)
}

// AddPatch adds the schema of the body of a PATCH, in which every member may be left out.
func (c *Components) AddPatch(name string, fields []*Field) {
	c.AddBody("Patched"+name, fields, false)
	c.schemas["Patched"+name].Value.Required = nil
}

// Require sets the members that a body must have.
func (c *Components) Require(name string, members ...string) {
	c.schemas[name].Value.Required = members
}

// Computed is a member of answers that is no field of the row.
type Computed struct {
	Name string
	Type reflect.Type
	Doc  string
}

// AddRow adds the schema of answers about rows: the computed members and then the fields.
func (c *Components) AddRow(name string, computed []Computed, fields []*Field) {
	o := openapi3.NewObjectSchema()
	for _, m := range computed {
		o.Properties[m.Name] = c.member(m.Type, m.Doc, true)
	}
	for _, f := range fields {
		if f.Form == Secret {
			continue
		}
		p := f.Schema()
		// The limits are those of requests: rows that a plugin made itself may exceed them.
		p.Default, p.ReadOnly = nil, f.ReadOnly
		p.MinLength, p.MaxLength = 0, nil
		if f.Form == Ref {
			p.Nullable = true // the row may be gone
		}
		o.WithProperty(f.Name, p)
		if f.Required {
			o.Required = append(o.Required, f.Name)
		}
	}
	c.add(name, o)
}

// AddAnswer adds the schema of a struct that encoding/json writes as an answer. Structs within it are components if
// they were added before. readOnly marks the members as what requests cannot give.
func (c *Components) AddAnswer(name string, t reflect.Type, readOnly bool) {
	c.add(name, c.object(t, readOnly))
	c.names[t] = name
}

// NameOf returns the name of the component that a struct was added as, or "".
func (c *Components) NameOf(t reflect.Type) string { return c.names[t] }

func (c *Components) object(t reflect.Type, readOnly bool) *openapi3.Schema {
	o := openapi3.NewObjectSchema()
	c.addMembers(o, t, readOnly)
	return o
}

// addMembers adds the fields of a struct, and those of the structs that it embeds.
func (c *Components) addMembers(o *openapi3.Schema, t reflect.Type, readOnly bool) {
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct:
			c.addMembers(o, sf.Type, readOnly)
			continue
		case name == "-" || !sf.IsExported():
			continue
		case name == "":
			name = sf.Name
		}
		p := c.member(sf.Type, sf.Tag.Get("doc"), readOnly)
		if format := sf.Tag.Get("format"); format != "" {
			p.Value.Format = format
		}
		o.Properties[name] = p
		if slices.Contains(strings.Split(sf.Tag.Get("rest"), ","), "required") {
			o.Required = append(o.Required, name)
		}
	}
}

func (c *Components) member(t reflect.Type, doc string, readOnly bool) *openapi3.SchemaRef {
	ref := c.of(t)
	if ref.Ref == "" { // a reference has no place for more
		ref.Value.Description, ref.Value.ReadOnly = doc, readOnly
	}
	return ref
}

// of describes what encoding/json writes for a Go type.
func (c *Components) of(t reflect.Type) *openapi3.SchemaRef {
	if t.Kind() == reflect.Pointer {
		ref := c.of(t.Elem())
		if ref.Ref == "" {
			ref.Value.Nullable = true
			return ref
		}
		// OpenAPI 3.0 ignores what stands beside a reference, and other members refer to the same component.
		return openapi3.NewSchemaRef("", &openapi3.Schema{AllOf: openapi3.SchemaRefs{ref}, Nullable: true})
	}
	// Clients get a class for each component, and none for a schema that is written in place.
	if name := c.names[t]; name != "" {
		return c.ref(name)
	}
	var s *openapi3.Schema
	switch t {
	case reflect.TypeFor[wire.Href]():
		s = openapi3.NewStringSchema().WithFormat("uri")
	case reflect.TypeFor[wire.Time](), reflect.TypeFor[time.Time]():
		s = openapi3.NewDateTimeSchema()
	case reflect.TypeFor[uuid.UUID]():
		s = openapi3.NewStringSchema()
	case reflect.TypeFor[json.RawMessage]():
		s = &openapi3.Schema{Nullable: true}
	case reflect.TypeFor[wire.Object]():
		s = openapi3.NewObjectSchema().WithAnyAdditionalProperties()
	default:
		s = c.ofKind(t)
	}
	return openapi3.NewSchemaRef("", s)
}

func (c *Components) ofKind(t reflect.Type) *openapi3.Schema {
	switch formOf(t.Kind()) {
	case Bool:
		return openapi3.NewBoolSchema()
	case Int:
		return openapi3.NewInt64Schema()
	case Float:
		return openapi3.NewFloat64Schema().WithFormat("double")
	case List:
		s := openapi3.NewArraySchema()
		s.Items = c.of(t.Elem())
		return s
	}
	switch t.Kind() {
	case reflect.Interface:
		return &openapi3.Schema{Nullable: true}
	case reflect.Map:
		return openapi3.NewObjectSchema().WithAnyAdditionalProperties()
	case reflect.Struct:
		return c.object(t, false)
	}
	return openapi3.NewStringSchema()
}

// errorSchema describes the three forms of errors: a sentence, a list of sentences, or such lists by the field that is
// wrong. The fault of a field may be an object of sentences, too.
func errorSchema() *openapi3.Schema {
	sentence := openapi3.NewObjectSchema().WithProperty("detail", openapi3.NewStringSchema()).
		WithRequired([]string{"detail"}).WithoutAdditionalProperties()
	list := openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	nested := openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewStringSchema())
	byField := openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewOneOfSchema(list, nested))
	return openapi3.NewOneOfSchema(sentence, list, byField)
}

// MembersOf describes the members of an answer's struct.
func MembersOf[A any]() []Computed {
	var list []Computed
	for _, sf := range reflect.VisibleFields(reflect.TypeFor[A]()) {
		list = append(list, Computed{sf.Tag.Get("json"), sf.Type, sf.Tag.Get("doc")})
	}
	return list
}

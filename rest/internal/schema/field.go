package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/secrets"
)

// Field is one field of a struct as requests give it and answers show it.
type Field struct {
	Type
	Name     string // on the wire
	Column   string
	Doc      string
	Ref      string // kind of row that a reference names, see [links.Kinds]
	Own      bool   // the plugin's, not the master's
	Required bool
	ReadOnly bool
	Unique   bool // within the domain
	Default  any  // value of a field that a request leaves out; nil is none
	index    []int
}

// readTag reads a rest tag and returns all that is wrong with the field. The words of the tag are described at package
// rest.
func (f *Field) readTag(tag string) (faults []error) {
	words := strings.Split(tag, ",")
	for _, word := range words {
		if err := f.readWord(word); err != nil {
			faults = append(faults, fmt.Errorf("rest tag: %w", err))
		}
	}
	if f.Default != nil && f.Required && slices.ContainsFunc(words, isDefault) {
		if slices.Contains(words, "required") {
			faults = append(faults, errors.New("rest tag: it is required and has a default, which no request would get; drop "+
				"one of the two"))
		}
		f.Required = false // the natural key asks for a value, and the default is one
	}
	if (f.Form == Ref || f.Form == Refs) && f.Ref == "" {
		faults = append(faults, fmt.Errorf(`it is a key, and nothing says of what; name that, as in rest:"ref=%s"`,
			models.RepositoryMaster))
	}
	if f.Form == 0 {
		faults = append(faults, fmt.Errorf(`%s has no form on the wire; hide it with json:"-"`, f.Go))
	}
	return faults
}

func isDefault(word string) bool { return strings.HasPrefix(word, "default=") }

func (f *Field) readWord(word string) error {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "":
	case "required":
		f.Required = true
	case "readonly":
		f.ReadOnly, f.Required = true, false
	case "verbatim":
		f.Verbatim = true
	case "blank":
		f.Blank = true
	case "max":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("max=%q is not a positive number; write it as in max=255", value)
		}
		f.MaxLen = n
	case "min":
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("min=%q is not a number; write it as in min=1", value)
		}
		f.Min = &n
	case "choices":
		f.Choices = strings.Split(value, "|")
	case "ref":
		if !links.IsKind(value) {
			return fmt.Errorf("ref=%q is not what a key can refer to; use one of %s", value,
				strings.Join(links.KindNames(), ", "))
		}
		f.Ref = value
	case "default":
		v, reasons := f.Parse(value)
		if reasons != nil {
			return fmt.Errorf("default=%q is not a value of the field: %s; change it", value, strings.Join(reasons, " "))
		}
		f.Default = v
	default:
		return fmt.Errorf("unknown word %q; there are required, readonly, verbatim, blank, default=, min=, max=, "+
			"choices=A|B and ref=", word)
	}
	return nil
}

// Schema describes the field as requests may give it.
func (f *Field) Schema() *openapi3.Schema {
	s := f.Type.Schema()
	s.Description = f.Doc
	switch d := f.Default.(type) {
	case nil:
	case *bool:
		s.Default = *d
	case models.Policy:
		s.Default = string(d)
	default:
		s.Default = d
	}
	return s
}

// value returns the field of a row.
func (f *Field) value(row any) reflect.Value {
	return reflect.ValueOf(row).Elem().FieldByIndex(f.index)
}

// Value returns the value of the field as it is in a row.
func (f *Field) Value(row any) any { return f.value(row).Interface() }

// IsZero reports whether a row has the zero value of the field.
func (f *Field) IsZero(row any) bool { return f.value(row).IsZero() }

// Answer returns the value of the field for an answer.
func (f *Field) Answer(row any) any {
	v := f.value(row)
	switch {
	// The document declares an array or an object, which is never null. A row that was made without a value has nil.
	case v.Kind() == reflect.Slice && v.IsNil() && !f.Nullable:
		return reflect.MakeSlice(v.Type(), 0, 0).Interface()
	case v.Kind() == reflect.Map && v.IsNil() && !f.Nullable:
		return reflect.MakeMap(v.Type()).Interface()
	case v.Kind() == reflect.Pointer && v.IsNil() && f.Default != nil && !f.Nullable:
		return f.Default
	case v.Kind() == reflect.String:
		return v.Addr().Interface() // a pointer needs no memory of its own, and is written as what it points at
	}
	return v.Interface()
}

// RefIDs returns the keys that a list of references, or a reference that is not null, holds in a row.
func (f *Field) RefIDs(row any) []uuid.UUID {
	if list, ok := f.value(row).Interface().([]uuid.UUID); ok {
		return list
	}
	if id, ok := f.RefID(row); ok {
		return []uuid.UUID{id}
	}
	return nil
}

// RefID returns the key that a reference of a row holds, or false if it is null.
func (f *Field) RefID(row any) (uuid.UUID, bool) {
	switch id := f.value(row).Interface().(type) {
	case uuid.UUID:
		return id, id != uuid.Nil
	case *uuid.UUID:
		if id != nil {
			return *id, true
		}
	}
	return uuid.Nil, false
}

// Equal reports whether two rows have the same value.
func (f *Field) Equal(a, b any) bool {
	x, y := f.value(a), f.value(b)
	if f.Form == Secret {
		s, t := x.Interface().(secrets.EncryptedText), y.Interface().(secrets.EncryptedText)
		// Only the secret of a saved row has a ciphertext, so the whole values would differ.
		return s.IsSet() == t.IsSet() && s.Reveal() == t.Reveal()
	}
	// In a request a nil slice or map and an empty one look the same.
	if (x.Kind() == reflect.Map || x.Kind() == reflect.Slice) && x.Len() == 0 && y.Len() == 0 && !f.Nullable {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

// Assign puts a parsed value, or nil for null, into a row. The value must not share memory with one that the row had.
func (f *Field) Assign(row, value any) {
	dst := f.value(row)
	if value == nil {
		dst.SetZero()
		return
	}
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if dst.Kind() == reflect.Pointer {
		// A new variable, for a copy of the row may point to the old one.
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	dst.Set(v.Convert(dst.Type()))
}

// Pack returns the field of a row for the arguments of a task. They are encrypted as a whole, so a secret is written in
// the clear.
func (f *Field) Pack(row any) (json.RawMessage, error) {
	v := f.Value(row)
	s, ok := v.(secrets.EncryptedText)
	switch {
	case !ok:
		return json.Marshal(v)
	case !s.IsSet():
		return json.RawMessage("null"), nil
	default:
		return json.Marshal(s.Reveal())
	}
}

// Unpack is the reverse of [Field.Pack].
func (f *Field) Unpack(row any, raw json.RawMessage) error {
	dst := f.value(row)
	if f.Form != Secret {
		// json.Unmarshal adds to a map that exists, so labels that the request has removed would stay.
		dst.SetZero()
		return json.Unmarshal(raw, dst.Addr().Interface())
	}
	var plain *string
	if err := json.Unmarshal(raw, &plain); err != nil {
		return err
	}
	var s secrets.EncryptedText
	if plain != nil {
		s = secrets.NewEncryptedText(*plain)
	}
	dst.Set(reflect.ValueOf(s))
	return nil
}

// In returns the name of the field in the struct that it is a field of.
func (f *Field) In(t reflect.Type) string { return t.FieldByIndex(f.index).Name }

package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
)

// FieldsOf describes the fields of a registered type that are on the wire, and returns all that is wrong with them.
func FieldsOf(r *models.Registry, t models.AnyType) (list []*Field, faults []error) {
	goType := reflect.TypeOf(t.New()).Elem()
	for _, mf := range r.Fields(t) {
		if mf.JSON == "-" {
			continue
		}
		f := &Field{
			Type: TypeOf(mf.Go), Name: mf.JSON, Column: mf.Column, Doc: mf.Doc, Own: mf.Own, Required: mf.Natural,
			index: mf.Index,
		}
		// Columns of the masters have 32 bits, as in Pulp. Those of plugins have 64.
		f.Len, f.Wide = mf.Len, mf.Own
		f.inherit()
		sf := goType.FieldByIndex(mf.Index)
		for _, err := range f.readTag(sf.Tag.Get("rest")) {
			faults = append(faults, fmt.Errorf("field %s: %w", sf.Name, err))
		}
		list = append(list, f)
	}
	return list, faults
}

// ColumnsOf describes the columns that a new row of a registered type is made of, on the wire or not.
func ColumnsOf(r *models.Registry, t models.AnyType) []*Field {
	var list []*Field
	for _, mf := range r.Fields(t) {
		switch mf.Column {
		case "pulp_id", "pulp_created", "pulp_last_updated", "pulp_domain_id", "pulp_type", "next_version",
			"timestamp_of_interest":
			continue // the database or package models sets them
		}
		list = append(list, &Field{Type: TypeOf(mf.Go), Name: mf.JSON, Column: mf.Column, Own: mf.Own, index: mf.Index})
	}
	return list
}

// MasterFields describes the fields that all types of a master share.
func MasterFields(kind *links.Kind) []*Field {
	var list []*Field
	for _, sf := range reflect.VisibleFields(kind.Go) {
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if sf.Anonymous || name == "-" {
			continue
		}
		column, _, _ := strings.Cut(sf.Tag.Get("bun"), ",")
		f := &Field{Type: TypeOf(sf.Type), Name: name, Column: column, Doc: sf.Tag.Get("doc"), index: sf.Index}
		f.inherit()
		list = append(list, f)
	}
	return list
}

// StructFields describes the fields of the struct that an input is read into, and returns all that is wrong with them.
func StructFields(t reflect.Type) (list []*Field, faults []error) {
	if t.Kind() != reflect.Struct {
		return nil, []error{fmt.Errorf("its input %s is no struct; declare one with a field for each member of the body", t)}
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous:
			faults = append(faults, fmt.Errorf("field %s: it is embedded, and its members would not be read; write them into %s",
				sf.Name, t))
			continue
		case !sf.IsExported() && sf.Tag != "":
			faults = append(faults, fmt.Errorf("field %s: it has a tag and is not exported, so it would not be read; begin its "+
				"name with a capital", sf.Name))
			continue
		case name == "-" || !sf.IsExported():
			continue
		}
		name = cmp.Or(name, links.Snake(sf.Name))
		f := &Field{Type: TypeOf(sf.Type), Name: name, Column: name, Doc: sf.Tag.Get("doc"), Own: true, index: sf.Index}
		// An input is no row, so no column limits its numbers to 32 bits.
		f.Wide = true
		for _, err := range f.readTag(sf.Tag.Get("rest")) {
			faults = append(faults, fmt.Errorf("field %s: %w", sf.Name, err))
		}
		if slices.ContainsFunc(list, func(o *Field) bool { return o.Name == f.Name }) {
			faults = append(faults, fmt.Errorf("field %s: there is another field named %q on the wire; give it another json tag",
				sf.Name, name))
		}
		list = append(list, f)
	}
	return list, faults
}

// inherit adds the limits that the columns of the masters have.
func (f *Field) inherit() {
	if f.Own {
		return
	}
	switch f.Column {
	case "name":
		f.Required, f.Unique, f.MaxLen = true, true, 255
	case "base_path":
		f.Required, f.Unique = true, true
	case "url":
		f.Required = true
	case "policy":
		f.Choices = []string{string(models.Immediate), string(models.OnDemand), string(models.Streamed)}
		f.Default = models.Immediate
	case "tls_validation":
		f.Nullable, f.Default = false, new(true)
	case "headers":
		f.Nullable = true
	case "total_timeout", "connect_timeout", "sock_connect_timeout", "sock_read_timeout":
		f.Min = new(0.0)
	case "download_concurrency", "retain_repo_versions", "retain_checkpoints":
		f.Min = new(1.0)
	case "hidden", "checkpoint":
		f.Default = false
	}
	if f.Form == Ref {
		f.Ref = map[string]string{
			"remote_id": string(models.RemoteMaster), "repository_id": string(models.RepositoryMaster),
			"publication_id": string(models.PublicationMaster), "content_guard_id": string(models.ContentGuardMaster),
			"repository_version_id": links.Version,
		}[f.Column]
	}
}

// Writable returns the fields that requests may set.
func Writable(fields []*Field) []*Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f *Field) bool { return f.ReadOnly })
}

// Changed returns the fields in which two rows differ.
func Changed(fields []*Field, before, after any) []*Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f *Field) bool { return f.Equal(before, after) })
}

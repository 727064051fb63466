package models

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun/dialect/pgdialect"
	bunschema "github.com/uptrace/bun/schema"

	"github.com/pulpgo/pulpcore/internal/hook"
	"github.com/pulpgo/pulpcore/secrets"
)

// schemaReader fills in a schema from the fields of its Go type.
type schemaReader struct{ *schema }

// newSchema reads the fields of a type. The schema has the fields that could be read, whatever is wrong with others.
func newSchema(d *definition) (*schema, []error) {
	s := &schema{definition: d}
	r := schemaReader{s}
	table, inherited, err := tablesOf(d)
	if err != nil {
		return s, append([]error{err}, r.wrongHooks()...)
	}
	var faults []error
	var own []string
	hides := false
	for _, bf := range table.Fields {
		f, wrong := newField(bf)
		if in, ok := inherited.FieldMap[bf.Name]; !ok {
			f.Own = true
			own = append(own, f.Column)
		} else if owner(d.goType, bf.Index) != owner(d.master.goType(), in.Index) {
			hides = true
			wrong = append(wrong, fmt.Errorf("it hides the master's column %s; name the column otherwise, "+
				"as in bun:\"%s_%[1]s\"", f.Column, strings.ReplaceAll(d.name, ".", "_")))
		} else {
			s.masterCols = append(s.masterCols, f.Column)
		}
		// The master hides the column, because most types of distributions have no use for it.
		if d.master == DistributionMaster && d.remotes != nil && f.Column == "remote_id" {
			f.JSON = "remote"
		}
		for _, err := range append(wrong, f.check()...) {
			faults = append(faults, fmt.Errorf("field %s: %w", bf.GoName, err))
		}
		r.note(f)
	}
	if len(s.masterCols) != len(inherited.Fields) && !hides {
		faults = append(faults, fmt.Errorf("the master's columns are not all there; embed models.%s itself, once and "+
			"without a tag", d.master.goType().Name()))
	}
	if own != nil {
		s.own = ownTableName(d)
		s.ownCols = append([]string{"pulp_id", "pulp_domain_id"}, own...)
	}
	if len(s.own) > maxIdentifier {
		faults = append(faults, fmt.Errorf("the name of its table %s has more than %d characters; "+
			"give the type a shorter one", s.own, maxIdentifier))
	}
	if d.master == ContentMaster && s.natural == nil {
		faults = append(faults, errors.New(`no field is tagged pulp:"natural", so nothing identifies a unit; `+
			`tag those that do`))
	}
	faults = append(faults, r.sameNames()...)
	faults = append(faults, r.lost()...)
	return s, append(faults, r.wrongHooks()...)
}

// tablesOf returns the columns of a type and those of its master.
func tablesOf(d *definition) (table, inherited *bunschema.Table, err error) {
	// bun panics on tags that it cannot read. The panic becomes a fault, so that the faults of other types are reported
	// too.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bad tags: %v; mend the bun tag", p)
		}
	}()
	tables := pgdialect.New().Tables()
	return tables.Get(d.goType), tables.Get(d.master.goType()), nil
}

// owner returns the struct that declares a field of t, which it may embed.
func owner(t reflect.Type, index []int) reflect.Type {
	for _, i := range index[:len(index)-1] {
		t = t.Field(i).Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return t
}

func (r schemaReader) note(f Field) {
	s := r.schema
	s.fields = append(s.fields, f)
	if f.Natural {
		s.natural = append(s.natural, f)
	}
	if f.Repo {
		s.repo = append(s.repo, f)
	}
	if f.Secret {
		s.secrets = append(s.secrets, f)
	}
	for _, name := range f.Indexes {
		i, found := slices.BinarySearchFunc(s.named, name, func(n namedIndex, name string) int {
			return strings.Compare(n.name, name)
		})
		if !found {
			s.named = slices.Insert(s.named, i, namedIndex{name: name})
		}
		s.named[i].fields = append(s.named[i].fields, f)
	}
}

// sameNames finds fields that have one name on the wire.
func (r schemaReader) sameNames() (faults []error) {
	first := map[string]Field{}
	for _, f := range r.fields {
		other, taken := first[f.JSON]
		switch {
		case f.JSON == "-":
		case !taken:
			first[f.JSON] = f
		case f.Own != other.Own:
			if other.Own {
				f = other
			}
			faults = append(faults, fmt.Errorf("field %s: the master has a field named %q on the wire; give this one another "+
				"json tag", r.goName(f), f.JSON))
		default:
			faults = append(faults, fmt.Errorf("field %s: field %s is named %q on the wire too; give one of them another "+
				"json tag", r.goName(f), r.goName(other), f.JSON))
		}
	}
	return faults
}

// lost finds struct fields that have the tags of a column, or would be one, and have none.
func (r schemaReader) lost() (faults []error) {
	masters := reflect.TypeFor[MasterModel]().PkgPath() // whose fields a plugin's may hide, which newSchema reports
	columns := map[string]bool{}
	for _, f := range r.fields {
		columns[fmt.Sprint(f.Index)] = true
	}
	walkFields(r.goType, nil, func(sf reflect.StructField, index []int) {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("field %s: "+format, append([]any{sf.Name}, args...)...))
		}
		tag := firstTag(sf)
		switch {
		case sf.Anonymous && sf.Type.Kind() == reflect.Pointer:
			fault("it is embedded as a pointer, which may be nil; embed %s itself", sf.Type.Elem())
		case sf.Anonymous || columns[fmt.Sprint(index)] || owner(r.goType, index).PkgPath() == masters:
		case !sf.IsExported() && tag != "":
			fault("it has the tag %s and no column, because it is not exported; begin its name with a capital or drop the tag",
				tag)
		case !sf.IsExported():
		case sf.Tag.Get("bun") == "-" && tag != "":
			fault(`it has the tag %s and no column, because of bun:"-"; drop one of the two tags`, tag)
		case sf.Tag.Get("bun") != "-":
			fault(`it has no column, because its bun tag or a field of the same name is in its way; change that, ` +
				`or leave it out by bun:"-"`)
		}
	})
	return faults
}

// wrongHooks finds methods that are hooks by their name only.
func (r schemaReader) wrongHooks() []error {
	hooks := []reflect.Type{reflect.TypeFor[Validator]()}
	if r.master == RepositoryMaster {
		hooks = append(hooks, reflect.TypeFor[VersionInitializer](), reflect.TypeFor[VersionFinalizer](),
			reflect.TypeFor[VersionObserver]())
	}
	if r.master == ContentMaster {
		hooks = append(hooks, reflect.TypeFor[RemoteUnit]())
	}
	return hook.Faults(reflect.PointerTo(r.goType), hooks...)
}

// walkFields calls fn for each field of a struct and of the structs that it embeds, in order.
func walkFields(t reflect.Type, at []int, fn func(sf reflect.StructField, index []int)) {
	for i := range t.NumField() {
		sf := t.Field(i)
		// The capacity is cut, so that append copies: fields of one struct would otherwise share an array.
		index := append(at[:len(at):len(at)], i)
		_, inline := strings.CutPrefix(sf.Tag.Get("bun"), "embed:")
		if inner := sf.Type; (sf.Anonymous || inline) && inner.Kind() == reflect.Struct {
			walkFields(inner, index, fn)
			continue
		}
		if sf.Name != "_" {
			fn(sf, index)
		}
	}
}

// firstTag returns a tag that only a field on the wire or in the database has, or "".
func firstTag(sf reflect.StructField) string {
	if name, ok := sf.Tag.Lookup("json"); ok && name != "-" {
		return fmt.Sprintf("json:%q", name)
	}
	for _, key := range []string{"pulp", "rest", "doc"} {
		if value, ok := sf.Tag.Lookup(key); ok {
			return fmt.Sprintf("%s:%q", key, value)
		}
	}
	return ""
}

// ownTableName names the table of a type's own columns: file_file_content for the content type "file.file".
func ownTableName(d *definition) string {
	if d.name == "core.publishedmetadata" {
		return "core_publishedmetadata"
	}
	return strings.ReplaceAll(d.name, ".", "_") + "_" + string(d.master)
}

// newField reads a field and its tags. The field is complete but for Own, even if its tags have faults.
func newField(bf *bunschema.Field) (f Field, faults []error) {
	tag := bf.StructField.Tag
	name, _, _ := strings.Cut(tag.Get("json"), ",")
	f = Field{
		Column: bf.Name, Go: bf.StructField.Type, Index: bf.Index, Doc: tag.Get("doc"),
		JSON: cmp.Or(name, bf.Name), Secret: bf.StructField.Type == reflect.TypeFor[secrets.EncryptedText](),
	}
	return f, f.readTag(tag.Get("pulp"))
}

package models

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Set is what one plugin brings to the database.
type Set struct {
	Plugin string    // name of the plugin, the part of its types' names before the dot
	Types  []AnyType // its models

	// Migrations holds NNNN_name.up.sql and NNNN_name.down.sql files, see [DB.Migrate]. If it is nil the tables are
	// derived from the types; that suits a plugin whose types never change.
	Migrations fs.FS
}

// Registry knows the types of one App. It is immutable and safe for concurrent use.
type Registry struct {
	sets   []Set
	byDef  map[*definition]*schema
	byType map[Master]map[string]*schema // by pulp_type
	byGo   map[reflect.Type]*schema
}

// Field describes one of a type's own or inherited fields, for code that handles all types alike.
type Field struct {
	Column  string       // in the database
	JSON    string       // on the wire; "-" if hidden
	Doc     string       // from the doc tag
	Go      reflect.Type // of the struct field
	Index   []int        // for reflect.Value.FieldByIndex
	Natural bool         // part of the natural key
	Repo    bool         // part of the key within a repository version
	Len     int          // exact length of a string; 0 is any
	Own     bool         // the plugin's, not the master's
	Secret  bool         // encrypted and write-only
}

// schema is a checked definition.
type schema struct {
	*definition
	fields     []Field
	masterCols []string
	detailCols []string // with the two shared keys in front; nil if the type adds no column
	detail     string   // table of the own columns; "" if there is none
	natural    []Field
	repo       []Field
	secrets    []Field
}

var (
	typeName   = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)
	pluginName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// publishedMetadata is the one content type of the core itself.
var publishedMetadata = Define[PublishedMetadata]("core.publishedmetadata")

// NewRegistry checks all sets and reports every fault in one error of kind Invalid.
func NewRegistry(sets ...Set) (*Registry, error) {
	r := &Registry{
		sets:   slices.Clone(sets),
		byDef:  map[*definition]*schema{},
		byType: map[Master]map[string]*schema{},
		byGo:   map[reflect.Type]*schema{},
	}
	faults := []error{r.add(publishedMetadata, "core")}
	seen := map[string]bool{}
	for _, s := range sets {
		switch {
		case !pluginName.MatchString(s.Plugin) || s.Plugin == "core":
			faults = append(faults, fmt.Errorf("plugin %q: the name is not usable", s.Plugin))
		case seen[s.Plugin]:
			faults = append(faults, fmt.Errorf("plugin %q is given twice", s.Plugin))
		}
		seen[s.Plugin] = true
		for _, t := range s.Types {
			faults = append(faults, r.add(t, s.Plugin))
		}
	}
	for d := range r.byDef {
		for _, other := range slices.Concat(d.accepts, d.remotes) {
			if r.byDef[other] == nil {
				faults = append(faults, fmt.Errorf("%s %s refers to type %s, which no plugin lists", d.name, d.master, other.name))
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("models: %w: %w", pulperr.Invalid, err)
	}
	return r, nil
}

// Types yields every type, plugins in the order given, types in the order listed.
func (r *Registry) Types() iter.Seq[AnyType] {
	return func(yield func(AnyType) bool) {
		for _, s := range r.sets {
			for _, t := range s.Types {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// Fields returns the fields of t in struct order, or nil if t is not registered.
func (r *Registry) Fields(t AnyType) []Field {
	if s := r.byDef[t.definition()]; s != nil {
		return slices.Clone(s.fields)
	}
	return nil
}

// Lookup returns a zero row for a pulp_type of a master, or false if no plugin has it.
func (r *Registry) Lookup(m Master, pulpType string) (Row, bool) {
	if s := r.byType[m][pulpType]; s != nil {
		return s.newRow(), true
	}
	return nil, false
}

// Accepts returns the content types that a repository of type t may hold.
func (r *Registry) Accepts(t AnyType) []string {
	var names []string
	for _, d := range t.definition().accepts {
		names = append(names, d.name)
	}
	return names
}

// SyncsFrom returns the remote types that a repository of type t can sync from.
func (r *Registry) SyncsFrom(t AnyType) []string {
	var names []string
	for _, d := range t.definition().remotes {
		names = append(names, d.name)
	}
	return names
}

func (r *Registry) add(t AnyType, plugin string) error {
	d := t.definition()
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("type %q: "+format, append([]any{d.name}, args...)...))
	}
	prefix, _, _ := strings.Cut(d.name, ".")
	switch {
	case !typeName.MatchString(d.name):
		fault("the name is not of the form plugin.type in lower case")
	case prefix != plugin:
		fault("the name does not start with the plugin's name %q", plugin)
	case r.byType[d.master][d.name] != nil:
		fault("there are two %s types of that name", d.master)
	case r.byGo[d.goType] != nil:
		fault("%s is defined twice", d.goType)
	}
	for _, f := range d.fallible {
		fault("%s", f)
	}
	s, err := newSchema(d)
	if err != nil {
		fault("%w", err)
	}
	if faults != nil {
		return errors.Join(faults...)
	}
	for _, other := range r.byDef {
		switch {
		case s.detail != "" && s.detail == other.detail:
			fault("its table %s is that of type %q", s.detail, other.name)
		case s.prn(uuid.Nil) == other.prn(uuid.Nil):
			fault("its PRNs would be those of type %q", other.name)
		}
	}
	if faults != nil {
		return errors.Join(faults...)
	}
	if r.byType[d.master] == nil {
		r.byType[d.master] = map[string]*schema{}
	}
	r.byDef[d], r.byType[d.master][d.name], r.byGo[d.goType] = s, s, s
	return nil
}

// of returns the schema of a row's Go type.
func (r *Registry) of(row Row) (*schema, error) {
	if s := r.byGo[reflect.TypeOf(row).Elem()]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("models: %T belongs to no plugin of this App: %w", row, pulperr.Unsupported)
}

func newSchema(d *definition) (s *schema, err error) {
	defer func() { // bun panics on tags it cannot read
		if p := recover(); p != nil {
			err = fmt.Errorf("bad tags: %v", p)
		}
	}()
	tables := pgdialect.New().Tables()
	inherited := tables.Get(d.master.goType())
	s = &schema{definition: d}
	var own []string
	for _, bf := range tables.Get(d.goType).Fields {
		f := Field{
			Column: bf.Name, Go: bf.StructField.Type, Index: bf.Index, Doc: bf.StructField.Tag.Get("doc"),
			JSON: jsonName(bf.StructField), Secret: bf.StructField.Type == reflect.TypeFor[EncryptedText](),
		}
		if f.JSON == "" {
			f.JSON = bf.Name
		}
		if in, ok := inherited.FieldMap[bf.Name]; ok {
			if owner(d.goType, bf.Index) != owner(d.master.goType(), in.Index) {
				return nil, fmt.Errorf("field %s hides the master's column of that name", f.Column)
			}
			s.masterCols = append(s.masterCols, bf.Name)
		} else {
			f.Own = true
			own = append(own, bf.Name)
		}
		if err := f.readTag(bf.StructField.Tag.Get("pulp")); err != nil {
			return nil, err
		}
		s.note(f)
	}
	if len(s.masterCols) != len(inherited.Fields) {
		return nil, fmt.Errorf("the master's columns are not all there")
	}
	if own != nil {
		s.detail = detailTable(d)
		s.detailCols = append([]string{"pulp_id", "pulp_domain_id"}, own...)
	}
	if d.master == ContentMaster && s.natural == nil {
		return nil, fmt.Errorf(`no field is tagged pulp:"natural", so nothing identifies a unit`)
	}
	return s, nil
}

// owner returns the struct that declares a field of t, which it may embed.
func owner(t reflect.Type, index []int) reflect.Type {
	for _, i := range index[:len(index)-1] {
		t = t.Field(i).Type
	}
	return t
}

func (s *schema) note(f Field) {
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
}

func (f *Field) readTag(tag string) error {
	for _, word := range strings.Split(tag, ",") {
		value, isLen := strings.CutPrefix(word, "len=")
		switch {
		case word == "":
		case word == "natural":
			f.Natural = true
		case word == "repo":
			f.Repo = true
		case isLen:
			n, err := strconv.Atoi(value)
			if err != nil || n <= 0 {
				return fmt.Errorf("field %s: pulp tag: len=%q is not a positive number", f.Column, value)
			}
			f.Len = n
		default:
			return fmt.Errorf("field %s: pulp tag: unknown word %q", f.Column, word)
		}
	}
	if (f.Natural || f.Repo) && !f.Own {
		return fmt.Errorf("field %s: a key field must be the plugin's own", f.Column)
	}
	if f.Natural || f.Repo {
		return f.checkKeyType()
	}
	return nil
}

// detailTable names the table of a type's own columns: file_file_content for the content type "file.file".
func detailTable(d *definition) string {
	if d.name == "core.publishedmetadata" {
		return "core_publishedmetadata"
	}
	return strings.ReplaceAll(d.name, ".", "_") + "_" + string(d.master)
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

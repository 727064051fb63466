package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pulpgo/pulpcore/internal/hook"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Section is a plugin's typed settings: a struct T whose fields are top-level keys. Make one with [Define], list it in
// the plugin's [Plugin], and read it with [Section.Get].
//
// The field SyncOptimization of the section "file" is the key FILE_SYNC_OPTIMIZATION; a tag `setting:"KEY"` names
// another one, and `setting:"KEY,unit=m"` gives the unit of a bare number for a time.Duration (ms, s, m, h; default s).
// Fields may be texts, numbers, booleans, time.Duration, [Secret], [URL], anything that implements
// encoding.TextUnmarshaler, and lists, maps and structs of these.
//
// If T or *T is a [Validator], it is called on the merged values and its error becomes a fault.
type Section[T any] struct {
	plugin   string
	defaults T
}

// Validator is implemented by a struct of settings, or a pointer to one, that checks itself.
type Validator interface {
	// Validate returns the faults of the merged values, or nil.
	Validate() error
}

// Define returns the section of the plugin with the label given; defaults are the values that hold when no layer has
// others. Unfit types are reported by [Set.With].
func Define[T any](plugin string, defaults T) *Section[T] {
	return &Section[T]{plugin: plugin, defaults: defaults}
}

// Get returns the section's values in set. The caller must not change maps and lists within.
//
// Errors: NotFound if set was not made [Set.With] this section.
func (s *Section[T]) Get(set *Set) (T, error) {
	v, ok := set.sections[s]
	if !ok {
		var zero T
		return zero, fmt.Errorf("settings: section of plugin %q: %w", s.plugin, pulperr.NotFound)
	}
	return v.(T), nil
}

// In returns the section's values of what h belongs to: an App, or the database handle that every task, request, guard
// and hook has, as in config.In(env.DB). The caller must not change maps and lists within. Values without settings,
// such as a database that a test opened by itself, have the section's defaults.
//
// A set that was made without this section is a mistake of the program: In panics. The set of an App has the sections
// of all its plugins.
func (s *Section[T]) In(h interface{ Settings() *Set }) T {
	set := h.Settings()
	if set == nil {
		return s.defaults
	}
	v, err := s.Get(set)
	if err != nil {
		panic(err)
	}
	return v
}

// AnySection is a [Section] of any type. Only this package implements it.
type AnySection interface {
	schema() (schema, error)
	layer() (*layer, []error)
	decode(d *decoder, t tree) any
	secrets(keys map[string]reflect.Type)
}

func (s *Section[T]) schema() (schema, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return schema{}, s.fault(fmt.Errorf("%s is not a struct; declare one with a field for each setting", t))
	}
	prefix := ""
	if s.plugin != "" {
		// A hyphen is not allowed in the name of a shell variable.
		prefix = strings.ToUpper(strings.ReplaceAll(s.plugin, "-", "_")) + "_"
	}
	sc, faults := schemaOf(t, prefix)
	for _, f := range sc.fields {
		// splitKey makes the first part of a key uppercase and splits at "__", so no layer could set such a key.
		if f.key != strings.ToUpper(f.key) || strings.Contains(f.key, separator) {
			faults = append(faults, fmt.Errorf("key %q is not uppercase or has %q; name another by the tag", f.key, separator))
		}
	}
	// A Validate with another signature compiles and would never be called.
	faults = append(faults, hook.Faults(reflect.PointerTo(t), reflect.TypeFor[Validator]())...)
	for i, err := range faults {
		faults[i] = s.fault(err)
	}
	return sc, errors.Join(faults...)
}

func (s *Section[T]) fault(err error) error {
	return fmt.Errorf("plugin %q: settings: %w: %w", s.plugin, pulperr.Invalid, err)
}

func (s *Section[T]) layer() (*layer, []error) {
	l := &layer{rank: rankPlugin, name: "defaults of plugin " + s.plugin}
	if s.plugin == "" {
		l = &layer{rank: rankCore, name: "defaults"}
	}
	sc, err := s.schema()
	if err != nil {
		return l, []error{err}
	}
	var faults []error
	for _, f := range sc.fields {
		v, err := f.normalize(reflect.ValueOf(s.defaults))
		if err != nil {
			faults = append(faults, s.fault(fmt.Errorf("%s: %w", f.key, err)))
			continue
		}
		l.sets = append(l.sets, Assignment{path: []string{f.key}, value: v})
	}
	return l, faults
}

// decode returns a T. Only call it if schema has no error.
func (s *Section[T]) decode(d *decoder, t tree) any {
	v := s.defaults
	sc, _ := s.schema()
	before := len(d.faults)
	d.fields(t, reflect.ValueOf(&v).Elem(), sc, nil, false)
	if len(d.faults) > before {
		return v // a half-read value would only earn misleading words from Validate
	}
	// The method set of *T includes that of T, so this finds the Validator of either.
	if val, ok := any(&v).(Validator); ok {
		if err := val.Validate(); err != nil {
			d.faults = append(d.faults, s.fault(err))
		}
	}
	return v
}

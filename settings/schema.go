package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// schema is the parsed tags of a settings struct.
type schema struct {
	fields  []field
	ignored []string // keys that are accepted and have no effect
}

// field is one struct field that holds a setting.
type field struct {
	key   string
	index int
	unit  int64 // of a bare number: nanoseconds of a Duration, else a factor; 0 means none
}

// unitNamed returns what a unit of a tag stands for: nanoseconds, or a factor; 0 if there is no such unit.
func unitNamed(name string) int64 {
	switch name {
	case "ms":
		return int64(time.Millisecond)
	case "s":
		return int64(time.Second)
	case "m":
		return int64(time.Minute)
	case "h":
		return int64(time.Hour)
	case "MiB":
		return 1 << 20
	}
	return 0
}

// schemaOf reads `setting:"KEY,unit=s"` tags. A field without one is called prefix + its name in SCREAMING_SNAKE case;
// "-" leaves a field out; a blank field tagged ",ignore=a b" names keys to accept and ignore.
func schemaOf(t reflect.Type, prefix string) (s schema, faults []error) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("setting")
		name, opts, _ := strings.Cut(tag, ",")
		if sf.Name == "_" {
			words, _ := strings.CutPrefix(opts, "ignore=")
			s.ignored = append(s.ignored, strings.Fields(words)...)
			continue
		}
		if name == "-" || !sf.IsExported() {
			// reflect cannot set an unexported field: without this fault its setting would silently have no effect.
			if !sf.IsExported() && tag != "" && name != "-" {
				faults = append(faults, fmt.Errorf("field %s has a setting tag and is not exported; "+
					"begin its name with a capital", sf.Name))
			}
			continue
		}
		f := field{key: name, index: i}
		if name == "" {
			f.key = prefix + screamingSnake(sf.Name)
		}
		var err error
		if f.unit, err = unitOf(sf, opts); err != nil {
			faults = append(faults, err)
		}
		if slices.ContainsFunc(s.fields, func(o field) bool { return o.key == f.key }) {
			faults = append(faults, fmt.Errorf("field %s: key %s is used twice; name another by the tag", sf.Name, f.key))
		}
		s.fields = append(s.fields, f)
	}
	return s, faults
}

func unitOf(sf reflect.StructField, opts string) (int64, error) {
	name, ok := strings.CutPrefix(opts, "unit=")
	switch {
	case ok && unitNamed(name) != 0:
		return unitNamed(name), nil
	case opts != "":
		return 0, fmt.Errorf("field %s: setting tag option %q is not known; there is unit=ms, s, m, h or MiB", sf.Name, opts)
	case sf.Type == durationType:
		return int64(time.Second), nil
	}
	return 0, nil
}

// normalize returns the field's value in r in the form that a file would have.
func (f field) normalize(r reflect.Value) (any, error) {
	v, err := normalize(r.Field(f.index).Interface())
	if n, ok := v.(int64); ok && f.unit != 0 && err == nil {
		// The decoder multiplies a bare number by the unit again.
		return n / f.unit, nil
	}
	return v, err
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
	urlType      = reflect.TypeFor[URL]()
)

// screamingSnake turns SyncOptimization into SYNC_OPTIMIZATION and APIRoot into API_ROOT.
func screamingSnake(name string) string {
	rs := []rune(name)
	var b strings.Builder
	for i, r := range rs {
		if i > 0 && unicode.IsUpper(r) {
			afterLower := !unicode.IsUpper(rs[i-1]) && rs[i-1] != '_'
			// The last capital of a run begins the next word: API and Root in APIRoot.
			beforeLower := i+1 < len(rs) && unicode.IsLower(rs[i+1]) && unicode.IsUpper(rs[i-1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

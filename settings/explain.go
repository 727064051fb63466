package settings

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
)

// Explanation lists the layers that gave a key its value.
type Explanation struct {
	Key   string
	Value any    // the outcome, with secrets as [Secret] or [URL]; nil if no layer has the key
	Steps []Step // every layer that set or extended the key, weakest first
}

// Step is one layer's effect on a key.
type Step struct {
	Layer  string // "defaults", "file /etc/pulp/settings.toml", "environment variable PULP_PAGE_SIZE", …
	Value  any    // what the key was after this layer, with secrets as [Secret] or [URL]
	Merged bool   // true if the layer added to the value of lower layers instead of replacing it
}

// Explain returns the layers that gave a key its value. A part of a map is named as in the environment:
// "DATABASES__default__HOST".
func (s *Set) Explain(key string) Explanation {
	path := splitKey(key)
	e := Explanation{Key: strings.Join(path, separator)}
	// The merged tree has the outcome only, so the layers are applied again, one after the other.
	var t any = map[string]any{}
	secrets := s.secretKeys()
	for _, a := range s.all {
		if !touches(a.path, path) {
			continue
		}
		old, had := at(t, path)
		t = put(t, a.path, a.value, a.merge)
		v, has := at(t, path)
		speaks, merges := a.word(path)
		if !speaks || !had && !has {
			continue
		}
		e.Value = conceal(path, untag(v), secrets)
		e.Steps = append(e.Steps, Step{Layer: a.source(), Value: e.Value, Merged: merges && sameSort(old, v)})
	}
	return e
}

// Layers returns the names of the layers that the outcome is made of: the last one that replaced the value, and those
// that added to it since.
func (e Explanation) Layers() []string {
	var names []string
	for _, s := range e.Steps {
		if !s.Merged {
			names = nil
		}
		names = append(names, s.Layer)
	}
	return names
}

// String returns the outcome and the steps, one per line.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s = %v\n", e.Key, e.Value)
	for _, s := range e.Steps {
		verb := "set by"
		if s.Merged {
			verb = "extended by"
		}
		fmt.Fprintf(&b, "  %s %s: %v\n", verb, s.Layer, s.Value)
	}
	return b.String()
}

// source names where an assignment came from, to the variable.
func (a applied) source() string {
	if a.layer.variables == "" {
		return a.layer.name
	}
	return "environment variable " + a.layer.variables + a.Key()
}

// touches reports whether one path is the beginning of the other.
func touches(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if !strings.EqualFold(a[i], b[i]) {
			return false
		}
	}
	return true
}

// word reports whether the assignment affects path, also by leaving it out of a map that it replaces, and whether it
// adds to the value of lower layers.
func (a applied) word(path []string) (speaks, merges bool) {
	// An assignment to a part leaves the other parts as they were, so it extends the whole.
	if len(a.path) > len(path) {
		return true, true
	}
	v, merge := a.value, a.merge
	for _, p := range path[len(a.path):] {
		m, ok := v.(map[string]any)
		if !ok {
			return true, false
		}
		body, marked := unmarkedMap(m)
		if v, ok = body[spelled(body, p)]; !ok {
			// A map that replaces the old one removes the parts that it leaves out; a merged map does not touch them.
			return !merge && !marked, false
		}
		_, deeper := v.(map[string]any)
		merge = (merge || marked) && deeper
	}
	switch x := v.(type) {
	case map[string]any:
		_, marked := unmarkedMap(x)
		return true, merge || marked
	case []any:
		_, marked, _ := unmarkedList(x)
		return true, merge || marked
	}
	return true, false
}

// sameSort reports whether both are maps or both are lists, so that one could be added to the other.
func sameSort(a, b any) bool {
	_, mapA := a.(map[string]any)
	_, mapB := b.(map[string]any)
	_, listA := a.([]any)
	_, listB := b.([]any)
	return mapA && mapB || listA && listB
}

// secretKeys returns the top-level keys that are secrets by type: "SECRET_KEY".
func (s *Set) secretKeys() map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	// Load and With have reported the faults already.
	sections, _ := s.allSections()
	for _, sec := range append(sections, AnySection(pulpSection)) {
		sec.secrets(keys)
	}
	return keys
}

// secrets enters the section's fields of type Secret and URL.
func (s *Section[T]) secrets(keys map[string]reflect.Type) {
	sc, err := s.schema()
	if err != nil {
		return
	}
	secretFields(reflect.TypeFor[T](), sc, "", keys)
}

func secretFields(t reflect.Type, sc schema, prefix string, keys map[string]reflect.Type) {
	for _, f := range sc.fields {
		ft := t.Field(f.index).Type
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		key := prefix + f.key
		switch {
		case ft == secretType || ft == urlType:
			keys[key] = ft
		case ft.Kind() == reflect.Struct:
			if sub, faults := schemaOf(ft, ""); faults == nil {
				secretFields(ft, sub, key+separator, keys)
			}
		case ft.Kind() == reflect.Map || ft.Kind() == reflect.Slice:
			if e := ft.Elem(); e == secretType || e == urlType {
				keys[key] = e
			}
		}
	}
}

// conceal wraps what must not be printed: values that are secrets by type, by their name, or addresses with passwords.
func conceal(path []string, v any, secrets map[string]reflect.Type) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = conceal(append(path[:len(path):len(path)], k), e, secrets)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = conceal(path, e, secrets)
		}
		return out
	}
	s, ok := asText(v)
	if !ok {
		return v
	}
	for n := range path {
		// A map or list of secrets is known by its own key, so the beginnings of the path are looked up, too.
		switch secrets[strings.Join(path[:n+1], separator)] {
		case secretType:
			return NewSecret(s)
		case urlType:
			return NewURL(s)
		}
	}
	// Maps without a type, such as the OPTIONS of a storage, have only the names of their entries to go by.
	if secretName.MatchString(path[len(path)-1]) {
		return NewSecret(s)
	}
	// Any text may be an address with a password, such as the upstream of a plugin.
	if u, err := url.Parse(s); err == nil && u.User != nil {
		return NewURL(s)
	}
	return v
}

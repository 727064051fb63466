package settings

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// rank orders the layers; a higher one overrides a lower one.
type rank uint8

const (
	rankCore rank = iota
	rankPlugin
	rankFile
	rankEnv
	rankHost
	rankOverlay
	rankDerived
)

// layer has the assignments of one source, in the order in which they are applied.
type layer struct {
	rank      rank
	name      string // for people: "file /etc/pulp/settings.toml"
	variables string // of an environment: the prefix of its variables
	sets      []Assignment
}

// Assignment gives a value to one key. Make one with [Value], [Append] or [Merge]; it is an [Option] of [Load], and
// the currency of a [Plugin]'s defaults and overlay. It is immutable.
type Assignment struct {
	path  []string
	value any // of the kinds that normalize returns
	merge bool
	fault error
}

// Value sets key to value, replacing the value of lower layers. A key may name a part of a map: "LOGGING__format". The
// value may be anything that can be written in a settings file, a [Secret], a [URL] or a time.Duration; a map or list
// may carry the marker dynaconf_merge. An unfit value is reported by [Load] or [Set.With].
func Value(key string, value any) Assignment { return assign(key, value, false) }

// Append adds elements to the list that lower layers give to key.
func Append(key string, elems ...any) Assignment { return assign(key, elems, true) }

// Merge adds the entries of m to the map that lower layers give to key, deeply: maps within are merged too, every
// other value replaces. Mirrors dynaconf_merge.
func Merge(key string, m map[string]any) Assignment { return assign(key, m, true) }

// Key returns the key that is set, as it was given but with an uppercase first part.
func (a Assignment) Key() string { return strings.Join(a.path, separator) }

// separator divides the parts of a key that names a part of a map.
const separator = "__"

func assign(key string, value any, merge bool) Assignment {
	a := Assignment{path: splitKey(key), merge: merge}
	v, err := normalize(value)
	if err != nil {
		a.fault = &Fault{Key: a.Key(), Reason: err.Error()}
	}
	a.value = v
	return a
}

func splitKey(key string) []string {
	path := strings.Split(key, separator)
	// As in dynaconf, the case of the first part does not count. The keys of maps keep theirs.
	path[0] = strings.ToUpper(path[0])
	return path
}

// assignments turns the top level of a settings map into assignments. A key comes before the keys of its parts.
func assignments(m map[string]any) ([]Assignment, []error) {
	var sets []Assignment
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(m)) {
		a := assign(key, m[key], false)
		if a.fault != nil {
			faults = append(faults, a.fault)
			continue
		}
		sets = append(sets, a)
	}
	slices.SortFunc(sets, func(a, b Assignment) int {
		// A before A__B, so that both count: applied later, A would replace the map that has B.
		if n := len(a.path) - len(b.path); n != 0 {
			return n
		}
		return strings.Compare(a.Key(), b.Key())
	})
	return sets, append(faults, doubles(sets)...)
}

// doubles finds keys that one source gives twice by writing them in different cases.
func doubles(sorted []Assignment) []error {
	var faults []error
	for i := 1; i < len(sorted); i++ {
		if slices.Equal(sorted[i-1].path, sorted[i].path) {
			faults = append(faults, &Fault{Key: sorted[i].Key(), Reason: "is given twice"})
		}
	}
	return faults
}

// applied is an assignment at its place in the whole order.
type applied struct {
	Assignment
	layer *layer
}

// stack flattens layers in the order of their rank; layers of one rank keep their order.
func stack(layers []*layer) []applied {
	layers = slices.Clone(layers)
	// Stable, so that of two files the later option of Load wins.
	slices.SortStableFunc(layers, func(a, b *layer) int { return int(a.rank) - int(b.rank) })
	var all []applied
	for _, l := range layers {
		for _, a := range l.sets {
			all = append(all, applied{Assignment: a, layer: l})
		}
	}
	return all
}

// tree is the merged settings. Trees share parts and are never changed after they were made.
type tree map[string]any

// merged applies all assignments in order.
func merged(all []applied) tree {
	var t any = map[string]any{}
	for _, a := range all {
		t = put(t, a.path, a.value, a.merge)
	}
	return tree(t.(map[string]any))
}

// put returns old with the value at path combined with v. old itself is not changed.
func put(old any, path []string, v any, merge bool) any {
	if len(path) == 0 {
		return combine(old, v, merge)
	}
	om, _ := old.(map[string]any)
	// A copy, because trees share their parts and a Set is immutable.
	out := make(map[string]any, len(om)+1)
	for k, e := range om {
		out[k] = e
	}
	key := spelled(om, path[0])
	out[key] = put(om[key], path[1:], v, merge)
	return out
}

// spelled returns the key of m that equals name but for case, if there is no exact one.
func spelled(m map[string]any, name string) string {
	if _, ok := m[name]; ok {
		return name
	}
	// Some environments hold uppercase names only. Sorted, so that of several such keys it is always the same one.
	for _, k := range sortedKeys(m) {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return name
}

// at returns the value at path.
func at(v any, path []string) (any, bool) {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[spelled(m, p)]; !ok {
			return nil, false
		}
	}
	return v, true
}

// The merge markers of dynaconf.
const (
	mergeMarker  = "dynaconf_merge"
	uniqueMarker = "dynaconf_merge_unique"
)

// combine returns v over old: v itself, unless the caller or a marker in v asks for merging.
func combine(old, v any, merge bool) any {
	switch n := v.(type) {
	case map[string]any:
		body, marked := unmarkedMap(n)
		om, _ := old.(map[string]any)
		out := make(map[string]any, len(om)+len(body))
		if merge || marked {
			for k, e := range om {
				out[k] = e
			}
		}
		for k, e := range body {
			_, deeper := e.(map[string]any)
			// As in dynaconf, only maps merge deeply: a list within a merged map replaces, unless it has its own marker.
			out[k] = combine(om[k], e, (merge || marked) && deeper)
		}
		return out
	case []any:
		body, marked, unique := unmarkedList(n)
		ol, _ := old.([]any)
		var out []any
		if merge || marked {
			out = slices.Clone(ol)
		}
		for _, e := range body {
			// An element may be a map with a marker; combine removes the marker and copies the map.
			if e = combine(nil, e, false); !unique || !contains(out, e) {
				out = append(out, e)
			}
		}
		if out == nil {
			out = []any{}
		}
		return out
	}
	return v
}

func unmarkedMap(m map[string]any) (body map[string]any, marked bool) {
	mark, ok := m[mergeMarker]
	if !ok {
		return m, false
	}
	body = make(map[string]any, len(m))
	for k, v := range m {
		if k != mergeMarker {
			body[k] = v
		}
	}
	if inner, ok := mark.(map[string]any); ok { // dynaconf's other spelling: A = {dynaconf_merge = {…}}
		maps.Copy(body, inner)
		return body, true
	}
	on, err := toBool(mark)
	return body, err == nil && on
}

func unmarkedList(l []any) (body []any, marked, unique bool) {
	for _, e := range l {
		switch text(e) {
		case mergeMarker:
			marked = true
		case uniqueMarker:
			marked, unique = true, true
		default:
			body = append(body, e)
		}
	}
	return body, marked, unique
}

func contains(l []any, v any) bool {
	return slices.ContainsFunc(l, func(e any) bool {
		// A text from the environment is untyped and equals the same text from a file.
		return reflect.DeepEqual(e, v) || text(v) != "" && text(e) == text(v)
	})
}

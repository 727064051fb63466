package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// unknownKeys returns a fault for each key of a document that no field of a distribution has.
func unknownKeys(document *yaml.Node) []error {
	if len(document.Content) == 0 {
		return nil
	}
	return unknownIn(document.Content[0], reflect.TypeFor[distribution](), "")
}

// unknownIn compares a node with the type that it is decoded to. Other mismatches are left to the decoder.
func unknownIn(node *yaml.Node, t reflect.Type, at string) []error {
	var faults []error
	switch {
	case t.Kind() == reflect.Slice && node.Kind == yaml.SequenceNode:
		for i, n := range node.Content {
			faults = append(faults, unknownIn(n, t.Elem(), fmt.Sprintf("%s[%d].", strings.TrimSuffix(at, "."), i))...)
		}
	case t.Kind() == reflect.Struct && node.Kind == yaml.MappingNode:
		fields := fieldsOf(t)
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			field, known := fields[key.Value]
			if !known {
				faults = append(faults, fmt.Errorf("line %d: unknown key %q%s; known are %s",
					key.Line, at+key.Value, didYouMean(key.Value, names), strings.Join(names, ", ")))
				continue
			}
			faults = append(faults, unknownIn(node.Content[i+1], field, at+key.Value+".")...)
		}
	}
	return faults
}

// fieldsOf returns the types of a struct's fields by their keys.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			for name, inner := range fieldsOf(f.Type) {
				fields[name] = inner
			}
		case name != "":
			fields[name] = f.Type
		}
	}
	return fields
}

// didYouMean returns `; did you mean "X"?` with a known name that differs in one letter, two swapped letters or an
// ending, or "".
func didYouMean(name string, known []string) string {
	for _, k := range known {
		if near(strings.ToLower(name), k) {
			return fmt.Sprintf("; did you mean %q?", k)
		}
	}
	return ""
}

// near reports whether two names have all but at most two letters in common, as beginning and end.
func near(a, b string) bool {
	begin := 0
	for begin < min(len(a), len(b)) && a[begin] == b[begin] {
		begin++
	}
	end := 0
	for end < min(len(a), len(b))-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return max(len(a), len(b))-begin-end <= 2 && begin+end > 0
}

// Package hook finds methods that have the name of a hook and another signature. Hooks are optional interfaces, so the
// compiler accepts such a method, and it is never called.
package hook

import (
	"fmt"
	"reflect"
	"strings"
)

// Faults returns an error for each hook, an interface type, of which t has a method by name only.
func Faults(t reflect.Type, hooks ...reflect.Type) (faults []error) {
	for _, h := range hooks {
		if t.Implements(h) {
			continue
		}
		for i := range h.NumMethod() {
			want := h.Method(i)
			got, ok := t.MethodByName(want.Name)
			if !ok {
				continue
			}
			// The first parameter of a method of a type is its receiver; a method of an interface has none.
			if has := signature(got.Type, 1); has != signature(want.Type, 0) {
				faults = append(faults, fmt.Errorf("method %s%s is never called, because a %s has %[1]s%[4]s; "+
					"give it that signature or another name", want.Name, has, h, signature(want.Type, 0)))
			}
		}
	}
	return faults
}

// signature returns parameters and results of a function as Go writes them. The first parameters may be left out.
func signature(f reflect.Type, from int) string {
	in := make([]string, 0, f.NumIn())
	for i := from; i < f.NumIn(); i++ {
		in = append(in, f.In(i).String())
	}
	if f.IsVariadic() {
		// reflect shows the last parameter of a variadic function as a slice.
		in[len(in)-1] = "..." + strings.TrimPrefix(in[len(in)-1], "[]")
	}
	out := make([]string, 0, f.NumOut())
	for i := range f.NumOut() {
		out = append(out, f.Out(i).String())
	}
	text := "(" + strings.Join(in, ", ") + ")"
	switch len(out) {
	case 0:
		return text
	case 1:
		return text + " " + out[0]
	}
	return text + " (" + strings.Join(out, ", ") + ")"
}

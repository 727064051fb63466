package models

import (
	"fmt"
	"reflect"

	"github.com/pulpgo/pulpcore/pulperr"
)

// RefPRN returns the PRN of the row that ref refers to, whether or not it exists.
//
// Errors: Unsupported if T is no type of the registry's plugins.
func RefPRN[T any](r *Registry, ref Ref[T]) (string, error) {
	s := r.byGo[reflect.TypeFor[T]()]
	if s == nil {
		return "", fmt.Errorf("models: %s belongs to no plugin of this App: %w", reflect.TypeFor[T](), pulperr.Unsupported)
	}
	return s.prn(ref.ID), nil
}

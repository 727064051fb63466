package models

import (
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Ref is the identity of a row of type T. Two refs of different types cannot be mixed up: the compiler rejects it.
// In JSON and text it is the lowercase UUID. The zero Ref is no row.
type Ref[T any] struct {
	ID uuid.UUID
}

// RefOf returns the identity of a row.
func RefOf[T any, P Entity[T]](row P) Ref[T] { return Ref[T]{ID: row.base().ID} }

// IsZero reports whether r is the zero Ref.
func (r Ref[T]) IsZero() bool { return r.ID == uuid.Nil }

// String returns the lowercase UUID.
func (r Ref[T]) String() string { return r.ID.String() }

// MarshalText returns the lowercase UUID, or empty text for the zero Ref.
func (r Ref[T]) MarshalText() ([]byte, error) {
	if r.IsZero() {
		return []byte{}, nil
	}
	return r.ID.MarshalText()
}

// UnmarshalText reads a UUID; empty text gives the zero Ref.
func (r *Ref[T]) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		r.ID = uuid.Nil
		return nil
	}
	if err := r.ID.UnmarshalText(text); err != nil {
		return fmt.Errorf("models: ref %q: %w", text, err)
	}
	return nil
}

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

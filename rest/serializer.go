package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// Serializer makes unsaved rows of a type from dictionaries, by the rules of the API and without HTTP: a stage makes
// the units of an upstream's index with it, and finds the same faults in them as in a request. It is safe for
// concurrent use.
type Serializer[T any] struct {
	typ     *models.Type[T]
	links   *links.Links
	answers *rowSchema
	fields  []*schema.Field // that a dictionary may have
}

// NewSerializer reads the tags of a type once for all dictionaries.
//
// Errors: Invalid, naming every fault of the tags; Unsupported if the registry does not have the type.
func NewSerializer[T any](registry *models.Registry, t *models.Type[T]) (*Serializer[T], error) {
	if !registry.Has(t) {
		return nil, fmt.Errorf("rest: type %q is listed by no plugin; add it to Models: %w", t.Name(), pulperr.Unsupported)
	}
	fields, faults := schema.FieldsOf(registry, t)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("rest: type %q: %w: %w", t.Name(), pulperr.Invalid, err)
	}
	// References are PRNs here, and those do not depend on the path of an API; see WithHrefs for others.
	l := links.New(defaultRoot + "api/v3/")
	return &Serializer[T]{
		typ: t, links: l, fields: schema.Writable(fields),
		answers: &rowSchema{master: masterTable(l)[t.Master()], fields: fields},
	}, nil
}

// WithHrefs returns the serializer that takes the hrefs of an API as references, besides PRNs.
func (s *Serializer[T]) WithHrefs(a *API) *Serializer[T] {
	with := *s
	with.links = a.site.links
	return &with
}

// Decode returns the row that a dictionary describes. It is not saved. data is a value that encoding/json writes as an
// object: a map, a struct, a [json.RawMessage]. Members have the names and forms that they have in a request; those
// that are left out get their defaults; references are PRNs, and after WithHrefs hrefs too; each must name a row of its
// kind in the domain of db. The row is checked as POST checks it: each field, the unique ones against the database,
// then models.Validator and [ContextValidator]. db must be bound to a domain.
//
// A digest that [SingleArtifact] computes from the file of a request is an ordinary field here, because the caller has
// it from upstream. A file:// URL of a remote is refused.
//
// Errors: FieldErrors with all faults of the fields; what the validators return; Invalid if data is no object.
func (s *Serializer[T]) Decode(ctx context.Context, db *models.DB, data any) (*T, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("rest: decode %s: %w: %w", s.typ.Name(), pulperr.Invalid, err)
	}
	body, err := wire.ParseBody(raw)
	if err != nil {
		return nil, err
	}
	in := &input{Body: body, faults: FieldErrors{}}
	in.expect(s.fields)
	row := s.typ.New()
	typed, ok := row.(any).(*T)
	if !ok {
		return nil, fmt.Errorf("rest: %T is not a row of type %s", row, s.typ.Name())
	}
	if err := in.decode(ctx, decoder{links: s.links, db: db}, s.fields, row, creating); err != nil {
		return nil, err
	}
	if err := s.answers.check(ctx, checker{db: db}, row, in.faults); err != nil {
		return nil, err
	}
	return typed, nil
}

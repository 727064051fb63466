package query

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// References makes the parameters whose values are links.
type References struct{ *links.Links }

// Identity returns the parameters that narrow a list to some of its rows, by key, href or PRN.
func (l References) Identity(column string) []*Param {
	keys := &Param{Name: "pulp_id__in", Doc: "Multiple values may be separated by commas.", Form: Text, Array: true}
	keys.Where = func(_ context.Context, _ *models.DB, raw string) ([]models.Cond, error) {
		var ids []uuid.UUID
		for _, text := range keys.texts(raw) {
			id, ok := links.ParseID(text)
			if !ok {
				return nil, wire.FieldErrors{keys.Name: {"Enter a valid UUID."}}
			}
			ids = append(ids, id)
		}
		return []models.Cond{models.Where(column+" IN (?)", bun.List(ids))}, nil
	}
	return append([]*Param{keys}, l.Names(column)...)
}

// Names returns the parameters that narrow a list to some of its rows, by href or PRN. Only the keys count, because a
// list holds rows of one kind.
func (l References) Names(column string) []*Param {
	var list []*Param
	for _, name := range []string{"pulp_href__in", "prn__in"} {
		p := &Param{Name: name, Doc: "Multiple values may be separated by commas.", Form: Text, Array: true}
		p.Where = func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			var ids []uuid.UUID
			var versions []links.Target // their hrefs do not contain their keys
			for _, text := range p.texts(raw) {
				t, ok := l.Parse(text)
				switch {
				case !ok:
					return nil, BadURI(text)
				case t.Kind == links.Version:
					versions = append(versions, t)
				default:
					ids = append(ids, t.ID)
				}
			}
			found, err := l.Find(ctx, db, versions...)
			if err != nil {
				return nil, err
			}
			ids = slices.AppendSeq(ids, maps.Values(found))
			return []models.Cond{models.Where(column+" IN (?)", bun.List(ids))}, nil
		}
		list = append(list, p)
	}
	return list
}

// BadURI returns the refusal of a text that is not a link.
func BadURI(text string) error { return wire.ListError("URI not valid: " + wire.Shorten(text)) }

// keys returns the keys of the rows of one kind that the texts name.
//
// Errors: 400 if one of them is of another kind, or does not exist and must.
func (l References) keys(ctx context.Context, db *models.DB, kind string, texts []string) ([]uuid.UUID, error) {
	targets := make([]links.Target, len(texts))
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		t, ok := l.Parse(text)
		if !ok || t.Kind != kind {
			return nil, BadURI(text)
		}
		targets[i], ids[i] = t, t.ID
	}
	// Without the look-up, a deleted version would have an empty list of content, as an empty version has. Tasks must be
	// found although the rows that they refer to are deleted.
	switch kind {
	case links.Version, string(models.RepositoryMaster), string(models.ContentMaster):
	default:
		return ids, nil
	}
	found, err := l.Find(ctx, db, targets...)
	if err != nil {
		return nil, err
	}
	for i, t := range targets {
		id, ok := found[t]
		if !ok {
			return nil, wire.ListError("URI " + wire.Shorten(texts[i]) + " not found for " + kind + ".")
		}
		ids[i] = id
	}
	return ids, nil
}

// Ref narrows a list to the rows that refer to a row, or with the value null to the rows without a reference.
func (l References) Ref(name, kind, column string) *Param {
	p := l.Related(name, kind, column+" IN (?)")
	p.Doc = "href or PRN, or null"
	related := p.Where
	p.Where = func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
		if raw == "null" {
			return []models.Cond{models.Where(column + " IS NULL")}, nil
		}
		return related(ctx, db, raw)
	}
	return p
}

// Related narrows a list by rows that its rows are connected with. expr has one placeholder, for the list of their
// keys.
// A name that ends with __in takes several.
func (l References) Related(name, kind, expr string) *Param {
	array := strings.HasSuffix(name, "__in")
	p := &Param{Name: name, Doc: "href or PRN", Form: Text, Array: array, Needed: !array}
	p.Where = func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
		ids, err := l.keys(ctx, db, kind, p.texts(raw))
		if err != nil {
			return nil, err
		}
		return []models.Cond{models.Where(expr, bun.List(ids))}, nil
	}
	return p
}

// Version narrows a list by a repository version; in returns the condition.
func (l References) Version(name string, in func(v *models.RepositoryVersion) models.Cond) *Param {
	return &Param{
		Name: name, Doc: "href or PRN of a repository version", Form: Text, Needed: true,
		Where: func(ctx context.Context, db *models.DB, raw string) ([]models.Cond, error) {
			t, ok := l.Parse(raw)
			if !ok || t.Kind != links.Version {
				return nil, BadURI(raw)
			}
			v, err := links.FindVersion(ctx, db, t)
			if err != nil {
				return nil, err
			}
			if v == nil {
				return nil, wire.ListError("URI " + wire.Shorten(raw) + " not found for " + links.Version + ".")
			}
			return []models.Cond{in(v)}, nil
		},
	}
}

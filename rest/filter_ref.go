package rest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// hrefsParam narrows a list to the rows with some hrefs. Only their ids count: a list holds rows of one kind.
func (a *API) hrefsParam(column string) *param { return a.namesParam("pulp_href__in", column) }

func (a *API) prnsParam(column string) *param { return a.namesParam("prn__in", column) }

func (a *API) namesParam(name, column string) *param {
	return &param{
		name: name, doc: "Multiple values may be separated by commas.", form: textFilter, array: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			var ids []uuid.UUID
			var versions []target // whose hrefs do not have their keys
			for text := range strings.SplitSeq(raw, ",") {
				t, ok := a.parseRef(text)
				switch {
				case !ok:
					return nil, badURI(text)
				case t.number >= 0:
					versions = append(versions, t)
				default:
					ids = append(ids, t.id)
				}
			}
			found, err := a.findAll(ctx, c.db, versions)
			if err != nil {
				return nil, err
			}
			ids = slices.AppendSeq(ids, maps.Values(found))
			return []cond{{column + " IN (?)", []any{bun.List(ids)}}}, nil
		},
	}
}

func badURI(text string) error { return listError("URI not valid: " + shorten(text)) }

// mustExist reports whether a filter may name only rows of a kind that exist. A list of what is in a version that is
// gone would be empty, and nobody could tell that from the list of an empty version. What tasks refer to may be gone.
func mustExist(kind string) bool {
	return kind == versionKind || kind == string(models.RepositoryMaster) || kind == string(models.ContentMaster)
}

// named returns the keys of the rows of one kind that a filter names.
//
// Errors: 400 if one of them is of another kind, or does not exist and must.
func (a *API) named(ctx context.Context, c *call, kind string, texts ...string) ([]uuid.UUID, error) {
	targets := make([]target, len(texts))
	for i, text := range texts {
		t, ok := a.parseRef(text)
		if !ok || t.kind != kind {
			return nil, badURI(text)
		}
		targets[i] = t
	}
	ids := make([]uuid.UUID, len(texts))
	found := foundRows{}
	if mustExist(kind) {
		var err error
		if found, err = a.findAll(ctx, c.db, targets); err != nil {
			return nil, err
		}
	}
	for i, t := range targets {
		id, ok := found[t]
		if !ok && mustExist(kind) {
			return nil, listError("URI " + shorten(texts[i]) + " not found for " + kind + ".")
		}
		if ids[i] = id; !ok {
			ids[i] = t.id
		}
	}
	return ids, nil
}

// refParam narrows a list to rows that refer to a row, or with the value null to those that refer to none.
func (a *API) refParam(name, kind, column string) *param {
	return &param{
		name: name, doc: "href or PRN, or null", form: textFilter, needed: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			if raw == "null" {
				return []cond{{expr: column + " IS NULL"}}, nil
			}
			ids, err := a.named(ctx, c, kind, raw)
			if err != nil {
				return nil, err
			}
			return []cond{{column + " = ?", []any{ids[0]}}}, nil
		},
	}
}

func (a *API) refsParam(name, kind, column string) *param {
	return &param{
		name: name, doc: "hrefs or PRNs, separated by commas", form: textFilter, array: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			ids, err := a.named(ctx, c, kind, strings.Split(raw, ",")...)
			if err != nil {
				return nil, err
			}
			return []cond{{column + " IN (?)", []any{bun.List(ids)}}}, nil
		},
	}
}

// holderParam narrows a list by units of content or repositories that rows are connected with; the condition has one
// placeholder, for the list of their keys. A name that ends with __in takes several.
func (a *API) holderParam(name, kind, expr string) *param {
	array := strings.HasSuffix(name, "__in")
	return &param{
		name: name, doc: "href or PRN", form: textFilter, array: array, needed: !array,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			texts := []string{raw}
			if array {
				texts = strings.Split(raw, ",")
			}
			ids, err := a.named(ctx, c, kind, texts...)
			if err != nil {
				return nil, err
			}
			return []cond{{expr, []any{bun.List(ids)}}}, nil
		},
	}
}

// versionParams narrow content to what a repository version holds, added or removed.
func (a *API) versionParams() []*param {
	var list []*param
	for name, in := range map[string]func(*models.RepositoryVersion) models.Cond{
		"repository_version":         models.InVersion,
		"repository_version_added":   models.AddedIn,
		"repository_version_removed": models.RemovedIn,
	} {
		list = append(list, &param{
			name: name, doc: "href or PRN of a repository version", form: textFilter, needed: true,
			of: func(ctx context.Context, c *call, raw string) (models.Cond, error) {
				v, err := a.versionOf(ctx, c, raw)
				if err != nil {
					return models.Cond{}, err
				}
				return in(v), nil
			},
		})
	}
	slices.SortFunc(list, func(a, b *param) int { return strings.Compare(a.name, b.name) })
	return list
}

// versionOf returns the version that a filter names.
func (a *API) versionOf(ctx context.Context, c *call, raw string) (*models.RepositoryVersion, error) {
	t, ok := a.parseRef(raw)
	if !ok || t.kind != versionKind {
		return nil, badURI(raw)
	}
	v, err := a.findVersion(ctx, c.db, t)
	if err == nil && v == nil {
		err = listError("URI " + shorten(raw) + " not found for " + versionKind + ".")
	}
	return v, err
}

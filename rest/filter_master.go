package rest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// masterParams returns the filters that all types of a master have. The table's alias is m. Without a type they are for
// the list of all types.
func (a *API) masterParams(m models.Master, pulpType string) []*param {
	list := identityParams("m.pulp_id")
	list = append(list, a.hrefsParam("m.pulp_id"), a.prnsParam("m.pulp_id"))
	if pulpType == "" {
		list = append(list, Filter{form: textFilter, lookups: []string{"", "in"}}.params("pulp_type", "m.pulp_type")...)
	}
	if m != models.ContentMaster && m != models.PublicationMaster {
		list = append(list, Name.params("name", "m.name")...)
	}
	if hasLabels(m) {
		list = append(list, labelParam())
	}
	switch m {
	case models.RepositoryMaster:
		list = append(list, a.refParam("remote", string(models.RemoteMaster), "m.remote_id"),
			a.memberParam("with_content", ""),
			a.memberParam("latest_with_content", " AND rc.version_removed IS NULL"))
		list = append(list, Number.params("retain_repo_versions", "m.retain_repo_versions")...)
		list = append(list, Number.params("retain_checkpoints", "m.retain_checkpoints")...)
	case models.RemoteMaster:
		list = append(list, Date.params("pulp_last_updated", "m.pulp_last_updated")...)
	case models.ContentMaster:
		list = append(list, a.versionParams()...)
	case models.PublicationMaster:
		list = append(list, Date.params("pulp_created", "m.pulp_created")...)
		list = append(list, Bool.params("checkpoint", "m.checkpoint")...)
		list = append(list, a.refParam("repository_version", versionKind, "m.repository_version_id"), a.publishedParam())
	case models.DistributionMaster:
		list = append(list, Filter{form: textFilter, lookups: []string{"", "in", "contains", "icontains"}}.
			params("base_path", "m.base_path")...)
		list = append(list, Bool.params("checkpoint", "m.checkpoint")...)
		list = append(list, a.refParam("repository", string(models.RepositoryMaster), "m.repository_id"),
			a.refsParam("repository__in", string(models.RepositoryMaster), "m.repository_id"))
	}
	return list
}

func identityParams(column string) []*param {
	return []*param{{
		name: "pulp_id__in", doc: "Multiple values may be separated by commas.", form: textFilter, array: true,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			var ids []uuid.UUID
			for text := range strings.SplitSeq(raw, ",") {
				id, ok := parseID(text)
				if !ok {
					return nil, FieldErrors{"pulp_id__in": {"Enter a valid UUID."}}
				}
				ids = append(ids, id)
			}
			return []cond{{column + " IN (?)", []any{bun.List(ids)}}}, nil
		},
	}}
}

// hrefsParam narrows a list to the rows with some hrefs. Only their ids count: a list holds rows of one kind.
func (a *API) hrefsParam(column string) *param { return a.namesParam("pulp_href__in", column) }

func (a *API) prnsParam(column string) *param { return a.namesParam("prn__in", column) }

func (a *API) namesParam(name, column string) *param {
	return &param{
		name: name, doc: "Multiple values may be separated by commas.", form: textFilter, array: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			ids, err := a.idsOf(ctx, c.db, raw)
			if err != nil {
				return nil, err
			}
			return []cond{{column + " IN (?)", []any{bun.List(ids)}}}, nil
		},
	}
}

// idsOf returns the keys that a list of hrefs and PRNs names, whatever their kind.
func (a *API) idsOf(ctx context.Context, db *models.DB, raw string) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	for text := range strings.SplitSeq(raw, ",") {
		t, ok := a.parseRef(text)
		if !ok {
			return nil, listError("URI not valid: " + text)
		}
		id := t.id
		if t.kind == versionKind && t.number >= 0 {
			var err error
			if id, _, err = a.find(ctx, db, t); err != nil {
				return nil, err
			}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// refParam narrows a list to rows that refer to a row.
func (a *API) refParam(name, kind, column string) *param {
	p := a.refsParam(name, kind, column)
	p.array = false
	return p
}

func (a *API) refsParam(name, kind, column string) *param {
	return &param{
		name: name, doc: "href or PRN", form: textFilter, array: true,
		cond: func(ctx context.Context, c *call, raw string) ([]cond, error) {
			var ids []uuid.UUID
			for text := range strings.SplitSeq(raw, ",") {
				t, ok := a.parseRef(text)
				if !ok || t.kind != kind {
					return nil, listError("URI not valid: " + text)
				}
				id, _, err := a.find(ctx, c.db, t)
				if err != nil {
					return nil, err
				}
				ids = append(ids, id)
			}
			return []cond{{column + " IN (?)", []any{bun.List(ids)}}}, nil
		},
	}
}

// memberParam narrows repositories to those that hold, or ever held, a unit.
func (a *API) memberParam(name, and string) *param {
	return &param{
		name: name, doc: "href or PRN of a content unit", form: textFilter,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			t, ok := a.parseRef(raw)
			if !ok || t.kind != string(models.ContentMaster) {
				return nil, listError("URI not valid: " + raw)
			}
			return []cond{{`m.pulp_id IN (SELECT rc.repository_id FROM core_repositorycontent AS rc
				WHERE rc.content_id = ?` + and + ")", []any{t.id}}}, nil
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
			name: name, doc: "href or PRN of a repository version", form: textFilter,
			of: func(ctx context.Context, c *call, raw string) (models.Cond, error) {
				v, err := a.versionOf(ctx, c, raw)
				if err != nil {
					return models.Cond{}, err
				}
				if v == nil {
					return models.Where("FALSE"), nil
				}
				return in(v), nil
			},
		})
	}
	slices.SortFunc(list, func(a, b *param) int { return strings.Compare(a.name, b.name) })
	return list
}

// versionOf returns the version that a filter names, nil if it does not exist.
func (a *API) versionOf(ctx context.Context, c *call, raw string) (*models.RepositoryVersion, error) {
	t, ok := a.parseRef(raw)
	if !ok || t.kind != versionKind {
		return nil, listError("URI not valid: " + raw)
	}
	return a.findVersion(ctx, c.db, t)
}

// publishedParam narrows publications to those of a repository.
func (a *API) publishedParam() *param {
	return &param{
		name: "repository", doc: "href or PRN of a repository", form: textFilter,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			t, ok := a.parseRef(raw)
			if !ok || t.kind != string(models.RepositoryMaster) {
				return nil, listError("URI not valid: " + raw)
			}
			return []cond{{`m.repository_version_id IN (SELECT rv.pulp_id FROM core_repositoryversion AS rv
				WHERE rv.repository_id = ?)`, []any{t.id}}}, nil
		},
	}
}

// maxLabelTerms is how many terms one pulp_label_select may have.
const maxLabelTerms = 100

// labelParam is pulp_label_select: terms with commas between them, all of which must hold.
func labelParam() *param {
	return &param{
		name: "pulp_label_select", doc: "Filter labels by search string", form: textFilter,
		cond: func(_ context.Context, _ *call, raw string) ([]cond, error) {
			terms := splitTerms(raw)
			if len(terms) > maxLabelTerms {
				return nil, listError(fmt.Sprintf("At most %d search terms are allowed, not %d.", maxLabelTerms, len(terms)))
			}
			var list []cond
			for _, term := range terms {
				c, ok := labelTerm(term)
				if !ok {
					return nil, listError(fmt.Sprintf("Invalid search term: '%s'.", shorten(term)))
				}
				list = append(list, c)
			}
			return list, nil
		},
	}
}

// splitTerms splits at commas that no backslash precedes, and takes the backslashes away.
func splitTerms(raw string) []string {
	var terms []string
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i] == '\\' && i+1 < len(raw) && raw[i+1] == ',':
			b.WriteByte(',')
			i++
		case raw[i] == ',':
			terms = append(terms, b.String())
			b.Reset()
		default:
			b.WriteByte(raw[i])
		}
	}
	return append(terms, b.String())
}

// labelTerm reads k, !k, k=v, k!=v or k~v. Both databases know the ->> operator.
func labelTerm(term string) (cond, bool) {
	key, negated := strings.CutPrefix(term, "!")
	end := strings.IndexFunc(key, func(r rune) bool { return !labelRune(r) })
	op, value := "", ""
	if end >= 0 {
		op, key = key[end:], key[:end]
	}
	key = strings.TrimSpace(key)
	for _, candidate := range []string{"!=", "=", "~"} {
		if v, ok := strings.CutPrefix(op, candidate); ok {
			op, value = candidate, v
			break
		}
	}
	if key == "" || models.HasNUL(value) || !slices.Contains([]string{"", "!=", "=", "~"}, op) || negated && op != "" {
		return cond{}, false
	}
	const label = "m.pulp_labels ->> ?0"
	switch {
	case negated:
		return cond{label + " IS NULL", []any{key}}, true
	case op == "=":
		return cond{label + " = ?1", []any{key, value}}, true
	case op == "!=":
		return cond{label + " <> ?1", []any{key, value}}, true
	case op == "~":
		return cond{"REPLACE(LOWER(" + label + "), LOWER(?1), '') <> LOWER(" + label + ")", []any{key, value}}, true
	}
	return cond{label + " IS NOT NULL", []any{key}}, true
}

package links

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Refs are the links of the answers of one request. The rows are named with Want first; Load then reads what their
// links are made of, so that the number of statements does not grow with the number of answers.
type Refs struct {
	links    *Links
	db       *models.DB
	text     map[string]map[uuid.UUID]string // hrefs by kind, PRNs of types that are not served; "" if not loaded
	prns     map[uuid.UUID]string            // of rows with masters
	versions map[uuid.UUID]place
}

// place is what the href of a version is made of.
type place struct {
	ID         uuid.UUID `bun:"pulp_id"`
	Number     int       `bun:"number"`
	Repository uuid.UUID `bun:"repository_id"`
	Type       string    `bun:"pulp_type"`
}

// NewRefs returns no links.
func (l *Links) NewRefs(db *models.DB) *Refs {
	return &Refs{
		links: l, db: db, text: map[string]map[uuid.UUID]string{}, prns: map[uuid.UUID]string{},
		versions: map[uuid.UUID]place{},
	}
}

// Want names a row whose link is needed.
func (r *Refs) Want(kind string, id uuid.UUID) {
	if r.text[kind] == nil {
		r.text[kind] = map[uuid.UUID]string{}
	}
	if _, ok := r.text[kind][id]; !ok {
		r.text[kind][id] = ""
	}
}

// Load reads, with one statement per kind, what the wanted links are made of.
func (r *Refs) Load(ctx context.Context) error {
	// In a fixed order, so that the statements of a request are the same each time.
	for _, kind := range slices.Sorted(maps.Keys(r.text)) {
		var missing []uuid.UUID
		for id, text := range r.text[kind] {
			if text == "" {
				missing = append(missing, id)
			}
		}
		var err error
		switch k := r.links.kinds[kind]; {
		case len(missing) == 0:
		case kind == Version:
			err = r.loadVersions(ctx, missing)
		case k.Master != "":
			err = r.loadTypes(ctx, k, missing)
		// An href of the core is made of the key alone, so it may name a row that was deleted.
		default:
			for _, id := range missing {
				r.text[kind][id] = r.links.Href(kind, id)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Refs) loadTypes(ctx context.Context, k *Kind, ids []uuid.UUID) error {
	var rows []struct {
		ID   uuid.UUID `bun:"pulp_id"`
		Type string    `bun:"pulp_type"`
	}
	err := r.db.Bun().NewSelect().TableExpr(k.Table).Column("pulp_id", "pulp_type").
		Where("pulp_id IN (?)", sqldialect.Keys(ids)).Where("pulp_domain_id = ?", r.db.Domain().ID).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: types of %s rows: %w", k.Name, err)
	}
	for _, row := range rows {
		prn := models.TypedPRN(k.Master, row.Type, row.ID)
		r.prns[row.ID], r.text[k.Name][row.ID] = prn, prn
		if t := r.links.Type(k.Master, row.Type); t != nil {
			r.text[k.Name][row.ID] = r.links.RowHref(t, row.ID)
		}
	}
	return nil
}

func (r *Refs) loadVersions(ctx context.Context, ids []uuid.UUID) error {
	var rows []place
	err := r.db.Bun().NewSelect().TableExpr("core_repositoryversion AS rv").
		ColumnExpr("rv.pulp_id, rv.number, rv.repository_id, r.pulp_type").
		Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").
		Where("rv.pulp_id IN (?)", sqldialect.Keys(ids)).Where("r.pulp_domain_id = ?", r.db.Domain().ID).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: repository versions: %w", err)
	}
	for _, p := range rows {
		r.versions[p.ID] = p
		// The repository of the version may be of a type that is not served.
		r.text[Version][p.ID] = models.CorePRN(Version, p.ID)
		if t := r.links.Type(models.RepositoryMaster, p.Type); t != nil {
			r.text[Version][p.ID] = r.links.VersionHref(t, p.Repository, p.Number)
		}
	}
	return nil
}

// Get returns the loaded link to a row: an href, or a PRN if its type is not served. It is nil if there is no such row.
func (r *Refs) Get(kind string, id uuid.UUID) *string {
	if text := r.text[kind][id]; text != "" {
		return new(text) // not &text, which would move the variable to the heap for rows that have no link, too
	}
	return nil
}

// PRN returns the PRN of a loaded row with a master, or nil.
func (r *Refs) PRN(id uuid.UUID) *string {
	if prn := r.prns[id]; prn != "" {
		return &prn
	}
	return nil
}

// RepositoryOf returns the link to the repository of a loaded version, or nil, and the repository's type, or nil.
func (r *Refs) RepositoryOf(version uuid.UUID) (*string, *Type) {
	p, ok := r.versions[version]
	if !ok {
		return nil, nil
	}
	t := r.links.Type(models.RepositoryMaster, p.Type)
	if t == nil {
		return new(models.TypedPRN(models.RepositoryMaster, p.Type, p.Repository)), nil
	}
	return new(r.links.RowHref(t, p.Repository)), t
}

// Hrefs returns the hrefs of rows by their PRNs, nil where none is served.
func (l *Links) Hrefs(ctx context.Context, db *models.DB, prns []string) (map[string]*string, error) {
	hrefs := make(map[string]*string, len(prns))
	refs := l.NewRefs(db)
	versions := map[string]uuid.UUID{}
	for _, prn := range prns {
		t, ok := l.parsePRN(prn)
		switch {
		case !ok:
		case t.Kind == Version:
			refs.Want(Version, t.ID)
			versions[prn] = t.ID
		case t.Type != nil:
			hrefs[prn] = new(l.RowHref(t.Type, t.ID))
		default:
			hrefs[prn] = new(l.Href(t.Kind, t.ID))
		}
	}
	if err := refs.Load(ctx); err != nil {
		return nil, err
	}
	for prn, id := range versions {
		hrefs[prn] = refs.Get(Version, id)
	}
	return hrefs, nil
}

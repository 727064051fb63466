package models

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// RemoveDuplicates removes older units whose places the units that v adds take: a place is the values of all fields
// tagged pulp:"repo". [CreateVersion] does it at the end, after a type's FinalizeNewVersion. With a base, the older
// units are the base's.
//
// Errors: Invalid with code PLP0022 if two of the added units claim the same place.
func RemoveDuplicates(ctx context.Context, v *NewVersion) error {
	for _, d := range v.schema.accepts {
		s, err := v.db.Registry().ofType(d)
		if err != nil {
			return err
		}
		if len(s.repo) == 0 {
			continue
		}
		if err := (placeResolver{v, s}).resolve(ctx); err != nil {
			return fmt.Errorf("models: duplicates of type %s: %w", s.name, err)
		}
	}
	return nil
}

// CheckOverwrite returns an error if a unit of ids, which are to be added to v, takes the place of another unit that v
// has; see [RemoveDuplicates] for places. A caller that removes units calls it after that.
//
// Errors: Invalid with code PLP0023, naming the place.
func CheckOverwrite(ctx context.Context, v *NewVersion, ids []uuid.UUID) error {
	added := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		added[id] = true
	}
	for _, d := range v.schema.accepts {
		s, err := v.db.Registry().ofType(d)
		if err != nil {
			return err
		}
		if len(s.repo) == 0 {
			continue
		}
		p := placeResolver{v, s}
		for page := range slices.Chunk(ids, memberBatch) {
			rivals, err := p.rivals(ctx, page)
			if err != nil {
				return err
			}
			for _, r := range rivals {
				// Two added units in one place are an error of their own, PLP0022.
				if !added[r.ID] {
					return pulperr.Coded("PLP0023", pulperr.Invalid,
						"A unit of type %s with the same %s (%s) is in the repository already, and overwrite is false", s.name,
						strings.Join(p.placeNames(), ", "), r.Place)
				}
			}
		}
	}
	return nil
}

// placeResolver finds units of one type that claim the same place in a version.
type placeResolver struct {
	*NewVersion
	s *schema
}

// fragment is a piece of SQL with its arguments.
type fragment struct {
	sql  string
	args []any
}

func (f *fragment) add(sql string, args ...any) {
	f.sql += sql
	f.args = append(f.args, args...)
}

// isNew appends the condition that the current member rc was not there before.
func (p placeResolver) isNew(f *fragment, rc string) {
	if p.base == nil {
		f.add(rc+".version_added = ? AND "+useAddedIndex(rc), p.row.Number)
		return
	}
	f.add("NOT "+inVersionSQL(rc), p.base.RepositoryID, p.base.Number, p.base.Number)
}

// isOld appends the condition that the current member rc was there before.
func (p placeResolver) isOld(f *fragment, rc string) {
	if p.base == nil {
		f.add(rc+".version_added < ?", p.row.Number)
		return
	}
	f.add(inVersionSQL(rc), p.base.RepositoryID, p.base.Number, p.base.Number)
}

// resolve lets the new units of a type displace the old ones in their places. The new units are walked by key,
// and each page is looked up once, so that the cost grows with what is new.
func (p placeResolver) resolve(ctx context.Context) error {
	var fresh, old fragment
	p.isNew(&fresh, "n")
	p.isOld(&old, "n")
	if err := p.walk(ctx, &fresh, true); err != nil {
		return err
	}
	// The old units come from a version of this repository, in which no two claim the same place.
	if p.base == nil || p.base.RepositoryID == p.row.RepositoryID {
		return nil
	}
	// Versions of another repository may follow other rules, so two units of the base may claim the same place.
	return p.walk(ctx, &old, false)
}

// walk walks over the current members n for which a condition holds. They are all new, or all old.
func (p placeResolver) walk(ctx context.Context, which *fragment, fresh bool) error {
	// The new units are read in pages, and each page is compared once. A join of all of them took time that grew with the
	// square of their number, because it ran again after each batch of removals.
	var last uuid.UUID
	for {
		var q fragment
		q.add(`SELECT n.content_id FROM core_repositorycontent AS n WHERE n.repository_id = ? AND n.content_id > ?
			AND n.version_removed IS NULL AND `, p.row.RepositoryID, last)
		q.add(which.sql, which.args...)
		q.add(" ORDER BY n.content_id LIMIT ?", memberBatch)
		var page []uuid.UUID
		if err := p.db.Bun().NewRaw(q.sql, q.args...).Scan(ctx, &page); err != nil {
			return rowError(err, "content of repository", p.row.RepositoryID.String())
		}
		if err := p.clear(ctx, page, fresh); err != nil || len(page) < memberBatch {
			return err
		}
		last = page[len(page)-1]
	}
}

// rival is a member in the place of the unit that was looked for.
type rival struct {
	Of    uuid.UUID `bun:"of"`
	ID    uuid.UUID `bun:"content_id"`
	Old   bool      `bun:"old"`
	Place string    `bun:"place"`
}

// clear removes the old rivals of a page of new units. Between two that are both new, or both old, there is no
// choice, and an old one with a new rival is gone when the old ones are walked.
func (p placeResolver) clear(ctx context.Context, page []uuid.UUID, fresh bool) error {
	for len(page) > 0 {
		rivals, err := p.rivals(ctx, page)
		if err != nil || len(rivals) == 0 {
			return err
		}
		var displaced []uuid.UUID
		for _, r := range rivals {
			if !fresh || !r.Old {
				return p.collision(ctx, r)
			}
			displaced = append(displaced, r.ID)
		}
		n, err := p.Remove(ctx, displaced)
		if err != nil || len(rivals) < memberBatch {
			return err
		}
		// Without this check the loop would not end: the same rivals would be found again.
		if n == 0 {
			return fmt.Errorf("models: %d displaced units cannot be removed: %w", len(displaced), pulperr.Internal)
		}
	}
	return nil
}

// rivals returns members in the places of the units of a page, at most memberBatch, new ones first.
func (p placeResolver) rivals(ctx context.Context, page []uuid.UUID) ([]rival, error) {
	// The domain is the first column of the index of places.
	same := "od.pulp_domain_id = nd.pulp_domain_id AND od.pulp_id <> nd.pulp_id"
	texts := make([]string, len(p.s.repo))
	for i, f := range p.s.repo {
		o, n := `od."`+f.Column+`"`, `nd."`+f.Column+`"`
		// A NULL would make the whole text NULL.
		texts[i] = "COALESCE(CAST(" + n + " AS TEXT), '')"
		if f.Go.Kind() == reflect.Pointer {
			// In SQL NULL does not equal NULL, but two units without a value claim the same place.
			same += " AND (" + o + " = " + n + " OR (" + o + " IS NULL AND " + n + " IS NULL))"
		} else {
			same += " AND " + o + " = " + n
		}
	}
	kind, detail := p.db.Conn().Kind, `"`+p.s.own+`"`
	var q fragment
	q.add("SELECT nd.pulp_id AS of, o.content_id, CASE WHEN ")
	p.isOld(&q, "o")
	q.add(" THEN TRUE ELSE FALSE END AS old, " + strings.Join(texts, " || ', ' || ") + " AS place")
	q.add(" FROM " + detail + " AS nd ")
	q.add(kind.JoinEach(detail, "od", same) + " ")
	q.add(kind.JoinEach("core_repositorycontent", "o",
		"o.repository_id = ? AND o.content_id = od.pulp_id AND o.version_removed IS NULL"), p.row.RepositoryID)
	// New rivals come first: they are an error, and the limit must not cut them off after many old ones.
	q.add(" WHERE nd.pulp_id IN (?) ORDER BY old, o.content_id LIMIT ?", bun.List(page), memberBatch)
	var list []rival
	err := p.db.Bun().NewRaw(q.sql, q.args...).Scan(ctx, &list)
	return list, rowError(err, "duplicates of type", p.s.name)
}

// collision returns the error that a unit has a rival.
func (p placeResolver) collision(ctx context.Context, r rival) error {
	all, err := p.rivals(ctx, []uuid.UUID{r.Of})
	if err != nil {
		return err
	}
	n := 1 + len(slices.DeleteFunc(all, func(o rival) bool { return o.Old != r.Old }))
	return pulperr.Coded("PLP0022", pulperr.Invalid, "%d units of type %s with the same %s (%s) cannot be in one version",
		n, p.s.name, strings.Join(p.placeNames(), ", "), r.Place)
}

// placeNames returns the names of the fields that make up a place, as clients know them.
func (p placeResolver) placeNames() []string {
	names := make([]string, len(p.s.repo))
	for i, f := range p.s.repo {
		names[i] = f.JSON
	}
	return names
}

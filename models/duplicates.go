package models

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// RemoveDuplicates lets the units that v adds take the places of older units: those that have the same values in all
// fields tagged pulp:"repo" are removed. It is what [CreateVersion] does at the end for repository types without a
// FinalizeNewVersion. With a base, the older units are the base's.
//
// Errors: Invalid with code PLP0022 if two of the added units claim the same place.
func RemoveDuplicates(ctx context.Context, v *NewVersion) error {
	for _, d := range v.schema.accepts {
		s, err := v.db.schema(d)
		if err != nil {
			return err
		}
		if len(s.repo) == 0 {
			continue
		}
		if err := v.removeDisplaced(ctx, s); err != nil {
			return err
		}
		if err := v.checkCollisions(ctx, s); err != nil {
			return err
		}
	}
	return nil
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
func (v *NewVersion) isNew(f *fragment, rc string) {
	if v.base == nil {
		f.add(rc+".version_added = ? AND "+rc+".version_added >= 0", v.row.Number)
		return
	}
	f.add("NOT "+inVersionSQL(rc), v.base.RepositoryID, v.base.Number, v.base.Number)
}

// isOld appends the condition that the current member rc was there before.
func (v *NewVersion) isOld(f *fragment, rc string) {
	if v.base == nil {
		f.add(rc+".version_added < ?", v.row.Number)
		return
	}
	f.add(inVersionSQL(rc), v.base.RepositoryID, v.base.Number, v.base.Number)
}

// checkCollisions fails if two units that are new, or come from a base that follows other rules, claim one place.
func (v *NewVersion) checkCollisions(ctx context.Context, s *schema) error {
	var q fragment
	var columns, texts, names []string
	for _, f := range s.repo {
		columns = append(columns, `nd."`+f.Column+`"`)
		texts = append(texts, `COALESCE(CAST(nd."`+f.Column+`" AS TEXT), '')`)
		names = append(names, f.JSON)
	}
	q.add("SELECT COUNT(*) AS n, "+strings.Join(texts, " || ', ' || ")+` AS place FROM core_repositorycontent AS n
		JOIN ? AS nd ON nd.pulp_id = n.content_id WHERE n.repository_id = ? AND n.version_removed IS NULL`,
		bun.Ident(s.detail), v.row.RepositoryID)
	if v.base == nil || v.base.RepositoryID == v.row.RepositoryID {
		q.add(" AND ")
		v.isNew(&q, "n")
	}
	q.add(" GROUP BY " + strings.Join(columns, ", ") + " HAVING COUNT(*) > 1 ORDER BY 2 LIMIT 1")
	var found struct {
		N     int64  `bun:"n"`
		Place string `bun:"place"`
	}
	err := v.db.q.NewRaw(q.sql, q.args...).Scan(ctx, &found)
	if isNoRows(err) {
		return nil
	}
	if err != nil {
		return rowError(err, "duplicates of type", s.name)
	}
	return pulperr.Coded("PLP0022", pulperr.Invalid, "%d units of type %s with the same %s (%s) cannot be in one version",
		found.N, s.name, strings.Join(names, ", "), found.Place)
}

// removeDisplaced takes out older units whose place a new one takes, page by page.
func (v *NewVersion) removeDisplaced(ctx context.Context, s *schema) error {
	var q fragment
	q.add(`SELECT DISTINCT o.content_id FROM core_repositorycontent AS n JOIN ? AS nd ON nd.pulp_id = n.content_id
		JOIN ? AS od ON od.pulp_domain_id = nd.pulp_domain_id AND od.pulp_id <> nd.pulp_id`,
		bun.Ident(s.detail), bun.Ident(s.detail))
	for _, f := range s.repo {
		c := bun.Ident(f.Column)
		if f.Go.Kind() == reflect.Pointer {
			q.add(" AND (od.? = nd.? OR (od.? IS NULL AND nd.? IS NULL))", c, c, c, c)
		} else {
			q.add(" AND od.? = nd.?", c, c)
		}
	}
	q.add(` JOIN core_repositorycontent AS o ON o.repository_id = n.repository_id AND o.content_id = od.pulp_id
		AND o.version_removed IS NULL WHERE n.repository_id = ? AND n.version_removed IS NULL AND `, v.row.RepositoryID)
	v.isNew(&q, "n")
	q.add(" AND ")
	v.isOld(&q, "o")
	q.add(" LIMIT ?", memberBatch)
	for {
		var page []uuid.UUID
		if err := v.db.q.NewRaw(q.sql, q.args...).Scan(ctx, &page); err != nil {
			return rowError(err, "duplicates of type", s.name)
		}
		if len(page) == 0 {
			return nil
		}
		if _, err := v.Remove(ctx, page); err != nil {
			return fmt.Errorf("models: remove displaced units of type %s: %w", s.name, err)
		}
	}
}

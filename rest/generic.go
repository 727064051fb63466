package rest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// masters returns the masters in the order of the API document.
func masters() []models.Master {
	return []models.Master{
		models.ContentMaster, models.ContentGuardMaster, models.DistributionMaster, models.PublicationMaster,
		models.RemoteMaster, models.RepositoryMaster,
	}
}

// addGenericLists adds the lists of all types of each master, such as /repositories/.
func (a *API) addGenericLists() {
	for _, m := range masters() {
		s := masterShape(m)
		a.schemas.addResponse(s)
		params := a.masterParams(m, "")
		a.add(&operation{
			method: "GET", path: masterPath(m) + "/", id: masterPath(m) + "_list", tag: masterTitle(m),
			summary: "List " + masterPath(m), params: params, columns: s.orderColumns(), answer: s.model + "Response",
			paged:  true,
			handle: func(ctx context.Context, c *call) error { return c.listMaster(ctx, m, s, params) },
		})
	}
}

func (c *call) listMaster(ctx context.Context, m models.Master, s *shape, params []*param) error {
	q, err := c.readList(ctx, params, s.orderColumns())
	if err != nil {
		return err
	}
	types := slices.Sorted(maps.Keys(c.api.byType[m]))
	if len(types) == 0 {
		return c.answerPage(q, 0, nil)
	}
	narrow := func(sel *bun.SelectQuery) *bun.SelectQuery {
		sel = sel.Where("m.pulp_domain_id = ?", c.db.Domain().ID).Where("m.pulp_type IN (?)", bun.List(types))
		switch m {
		case models.RepositoryMaster:
			sel = sel.Where("NOT m.user_hidden")
		case models.PublicationMaster:
			sel = sel.Where("m.complete")
		}
		return q.apply(sel)
	}
	count, err := narrow(c.db.Bun().NewSelect().TableExpr("? AS m", bun.Ident(m.Table()))).Count(ctx)
	if err != nil {
		return fmt.Errorf("rest: count %s: %w", masterPath(m), err)
	}
	rows, err := readMasters(ctx, c.db, m, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return q.window(narrow(sel), "m", newestFirst)
	})
	if err != nil {
		return err
	}
	results, err := c.api.newRenderer(c.db).rows(ctx, s, rows)
	if err != nil {
		return err
	}
	return c.answerPage(q, count, results)
}

type narrowFunc func(*bun.SelectQuery) *bun.SelectQuery

func readMasters(ctx context.Context, db *models.DB, m models.Master, narrow narrowFunc) ([]models.Row, error) {
	switch m {
	case models.ContentMaster:
		return readMaster[models.Content](ctx, db, m, narrow)
	case models.RepositoryMaster:
		return readMaster[models.Repository](ctx, db, m, narrow)
	case models.RemoteMaster:
		return readMaster[models.Remote](ctx, db, m, narrow)
	case models.PublicationMaster:
		return readMaster[models.Publication](ctx, db, m, narrow)
	case models.DistributionMaster:
		return readMaster[models.Distribution](ctx, db, m, narrow)
	default:
		return readMaster[models.ContentGuard](ctx, db, m, narrow)
	}
}

func readMaster[T any, P models.Entity[T]](ctx context.Context, db *models.DB, m models.Master, narrow narrowFunc,
) ([]models.Row, error) {
	var rows []*T
	sel := db.Bun().NewSelect().Model(&rows).ModelTableExpr("? AS m", bun.Ident(m.Table()))
	for _, f := range db.Conn().Bun.Table(reflect.TypeFor[T]()).Fields { // the table may have columns besides
		sel = sel.ColumnExpr("m.?", bun.Ident(f.Name))
	}
	if err := narrow(sel).Scan(ctx); err != nil {
		return nil, fmt.Errorf("rest: list %s: %w", masterPath(m), err)
	}
	out := make([]models.Row, len(rows))
	for i, row := range rows {
		out[i] = P(row)
	}
	return out, nil
}

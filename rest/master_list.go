package rest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
)

// addMasterLists adds the lists of all types of each master, such as /repositories/.
func (c *compiler) addMasterLists() {
	for _, k := range c.site.links.Masters() {
		m := c.masters[k.Master]
		l := &masterList{answers: &rowSchema{model: m.Model, master: m, fields: schema.MasterFields(m.Kind)}}
		l.answers.setMembers()
		l.answers.describe(c.components)
		l.source = query.Source{
			Params: m.listParams(c.refs(), true), Columns: l.answers.columns(), Page: c.site.opts.PageSize,
		}
		name := strings.TrimSuffix(m.Path, "/")
		c.add(&operation{schema.Operation{
			Method: http.MethodGet, Path: m.Path, ID: name + "_list", Tag: m.Title, Summary: "List " + name,
			Params: parameters(l.source.Params), Columns: l.source.Columns, Paged: true, Answer: m.Model + "Response",
		}, l.serve})
	}
}

// masterList is the list of all types of a master.
type masterList struct {
	answers *rowSchema
	source  query.Source
}

func (ml *masterList) serve(ctx context.Context, q *request) (*reply, error) {
	l, err := ml.source.Parse(ctx, q.db, q.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	m := ml.answers.master
	types := q.links.TypeNames(m.Master)
	if len(types) == 0 {
		return q.page(l, 0, nil)
	}
	narrow := func(sel *bun.SelectQuery) *bun.SelectQuery {
		sel = sel.Where("m.pulp_domain_id = ?", q.db.Domain().ID).Where("m.pulp_type IN (?)", bun.List(types))
		if m.Visible != "" {
			sel = sel.Where(m.Visible)
		}
		return l.Apply(sel)
	}
	count, err := narrow(q.db.Bun().NewSelect().TableExpr("? AS m", bun.Ident(m.Table))).Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("rest: count %s: %w", m.Path, err)
	}
	rows, err := m.read(ctx, q.db, func(sel *bun.SelectQuery) *bun.SelectQuery {
		return l.Window(narrow(sel), "m", query.NewestFirst)
	})
	if err != nil {
		return nil, err
	}
	answers, err := ml.answers.render(ctx, q, rows)
	if err != nil {
		return nil, err
	}
	return q.page(l, int64(count), answers)
}

// read returns rows of the master without what their types add.
func (m *master) read(
	ctx context.Context, db *models.DB, narrow func(*bun.SelectQuery) *bun.SelectQuery,
) ([]models.Row, error) {
	rows := reflect.New(reflect.SliceOf(reflect.PointerTo(m.Go)))
	sel := db.Bun().NewSelect().Model(rows.Interface()).ModelTableExpr("? AS m", bun.Ident(m.Table))
	for _, f := range db.Conn().Bun.Table(m.Go).Fields { // the table may have columns that the struct has not
		sel = sel.ColumnExpr("m.?", bun.Ident(f.Name))
	}
	if err := narrow(sel).Scan(ctx); err != nil {
		return nil, fmt.Errorf("rest: list %s: %w", m.Path, err)
	}
	out := make([]models.Row, rows.Elem().Len())
	for i := range out {
		out[i], _ = rows.Elem().Index(i).Interface().(models.Row)
	}
	return out, nil
}

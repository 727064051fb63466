package rest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/rest/internal/links"
)

// nestedID is the wildcard for the key of a row below another one.
const nestedID = "nested_id"

// parent returns the view that the resource is nested in, nil for none, or what is wrong with it.
func (rs Resource[T, A]) parent(c *compiler) (in *view, fault string) {
	if rs.Under == nil {
		if rs.Parent != "" {
			return nil, "Parent names a column, and there is no Under; set it to the type of the rows above"
		}
		return nil, ""
	}
	t := c.links.Type(rs.Under.Master(), rs.Under.Name())
	switch {
	case t == nil:
		return nil, fmt.Sprintf("the type %q that it is under is not served; list its ViewSet first", rs.Under.Name())
	case rs.Parent == "":
		return nil, "there is no Parent; set it to the column with the key of the row above"
	case !hasColumn(reflect.TypeFor[T](), rs.Parent):
		return nil, fmt.Sprintf("there is no column %q; set Parent to the column with the key of the row above", rs.Parent)
	case strings.HasPrefix(rs.Path, "versions/"), c.site.views[t].reserves(strings.TrimSuffix(rs.Path, "/")):
		return nil, "the API uses the path itself; choose another one"
	}
	return c.site.views[t], ""
}

// hasColumn reports whether a field of a bun model is a column.
func hasColumn(t reflect.Type, column string) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(sf reflect.StructField) bool {
		name, _, _ := strings.Cut(sf.Tag.Get("bun"), ",")
		return name == column
	})
}

// nest moves what a nested resource is called below a row of the view, and returns the wildcard of its rows.
func (v *view) nest(s *subject) (key string) {
	s.in, s.above, s.key = v, v.href, "{"+nestedID+"}/"
	s.path, s.op, s.tag = v.path+"{pulp_id}/"+s.path, v.op+"_"+s.op, v.tag+" "+s.tag
	s.href = strings.TrimSuffix(v.href, "href") + links.Snake(s.class) + "_href"
	return s.key
}

// enter makes sure that the row of the view exists that the path of a nested resource names. A nil view has none.
func (v *view) enter(ctx context.Context, q *request) error {
	if v == nil {
		return nil
	}
	row, err := v.requested(ctx, q)
	if err != nil {
		return err
	}
	q.parent = row.PulpID()
	q.visible = nil // it is a set of rows of the view, and an account that sees one sees what is below it
	return nil
}

// enter makes sure that the row exists that the resource is nested in.
func (rs Resource[T, A]) enter(ctx context.Context, q *request) error {
	in := rs.core.in
	return in.enter(ctx, q)
}

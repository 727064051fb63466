package rest

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
)

// rowSchema is what answers about the rows of a view, or of a master, look like.
type rowSchema struct {
	model   string // name of the schema, without "Response"
	master  *master
	fields  []*schema.Field
	members []member
	single  bool // content that consists of one artifact, whose digests are shown
}

// member is a computed member of answers.
type member struct {
	schema.Computed
	// load reads what the member needs for all rows together, and returns the function that makes its value for a row.
	load func(ctx context.Context, p *page, rows []models.Row) (valueFunc, error)
}

// valueFunc returns a member's value for a row of a view.
type valueFunc func(v *view, row models.Row) any

// page is the rows of one answer while they are rendered.
type page struct {
	*site
	db     *models.DB
	fields []*schema.Field // of the rows
	refs   *links.Refs
	files  map[uuid.UUID][]contentFile // by content unit; nil until they are loaded
}

// setMembers sets the members of the master, and then those of the plugin.
func (s *rowSchema) setMembers(own ...member) {
	s.members = nil
	if s.master.members != nil {
		s.members = s.master.members(s.single)
	}
	// Secrets are in no answer. Clients would otherwise not see whether one is set.
	if slices.ContainsFunc(s.fields, func(f *schema.Field) bool { return f.Form == schema.Secret }) {
		s.members = append(s.members, hiddenMember())
	}
	s.members = append(s.members, own...)
}

// describe adds the schema of the answers to the document.
func (s *rowSchema) describe(c *schema.Components) {
	computed := commonMembers()
	for _, m := range s.members {
		computed = append(computed, m.Computed)
	}
	c.AddRow(s.model+"Response", computed, s.fields)
}

// commonMembers returns the members that answers about all rows have.
func commonMembers() []schema.Computed { return schema.MembersOf[core.Row]() }

// render returns the answers about rows in their order. Rows whose type is not served are left out.
func (s *rowSchema) render(ctx context.Context, q *request, rows []models.Row) ([]any, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	p := &page{site: q.site, db: q.db, fields: s.fields, refs: q.links.NewRefs(q.db)}
	for _, row := range rows {
		for _, f := range s.fields {
			if f.Form != schema.Ref && f.Form != schema.Refs {
				continue
			}
			for _, id := range f.RefIDs(row) {
				p.refs.Want(f.Ref, id)
			}
		}
		// The version of a publication is a computed member, so it is not among the fields.
		if published, ok := row.(models.AnyPublication); ok {
			p.refs.Want(links.Version, published.AsPublication().RepositoryVersionID)
		}
	}
	if err := p.refs.Load(ctx); err != nil {
		return nil, err
	}
	// What members need is read for all rows together, so that the number of statements does not grow with the page.
	values := make([]valueFunc, len(s.members))
	for i, m := range s.members {
		var err error
		if values[i], err = m.load(ctx, p, rows); err != nil {
			return nil, err
		}
	}
	out := make([]any, 0, len(rows))
	for _, row := range rows {
		if v := q.view(s.master.Master, row.PulpType()); v != nil {
			out = append(out, s.object(p, v, row, values))
		}
	}
	return out, nil
}

func (s *rowSchema) object(p *page, v *view, row models.Row, values []valueFunc) wire.Object {
	base := s.master.base(row)
	o := make(wire.Object, 0, 4+len(values)+len(s.fields))
	o.Set("pulp_href", p.links.RowHref(v.typ, base.ID))
	o.Set("prn", v.typ.PRN(base.ID))
	o.Set("pulp_created", &base.Created)
	o.Set("pulp_last_updated", &base.Updated)
	for i, m := range s.members {
		o.Set(m.Name, values[i](v, row))
	}
	for _, f := range s.fields {
		switch {
		// A secret never leaves the server; hidden_fields shows whether it is set. Digests of a file are members already.
		case f.Form == schema.Secret, s.single && s.showsDigest(f):
		case f.Form == schema.Ref:
			id, _ := f.RefID(row)
			o.Set(f.Name, p.refs.Get(f.Ref, id))
		case f.Form == schema.Refs:
			hrefs := []string{}
			for _, id := range f.RefIDs(row) {
				// The row of a key in a list may be gone.
				if href := p.refs.Get(f.Ref, id); href != nil {
					hrefs = append(hrefs, *href)
				}
			}
			o.Set(f.Name, hrefs)
		default:
			o.Set(f.Name, f.Answer(row))
		}
	}
	return o
}

// showsDigest reports whether a field is a digest that is a computed member already.
func (s *rowSchema) showsDigest(f *schema.Field) bool {
	return s.single && slices.Contains(core.Algorithms(), hashlib.Algorithm(f.Name))
}

// columns returns what lists can be ordered by.
func (s *rowSchema) columns() []string {
	list := []string{"pulp_id", "pulp_created", "pulp_last_updated", "pulp_type"}
	for _, f := range s.fields {
		switch f.Form {
		case schema.Text, schema.Bool, schema.Int, schema.Float, schema.Time:
			list = append(list, f.Column)
		}
	}
	return list
}

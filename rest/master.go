package rest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/query"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
)

// timing is when a change is made.
type timing uint8

const (
	never  timing = iota // the operation does not exist
	atOnce               // by the request
	byTask               // by a task, which waits for others that use the row
)

// master is how the rows of all types of a master are served.
type master struct {
	*links.Kind
	create, update, remove timing
	removeQuickly          bool // the task of a removal may run within the request

	// exclusive is the column whose values tasks reserve as a whole, and shared what every task reserves as shared;
	// empty is neither.
	exclusive, shared string

	base    func(row models.Row) *models.Base
	labels  func(row models.Row) *models.Labels // nil without labels
	params  func(refs query.References) []*query.Param
	members func(single bool) []member
	check   func(ctx context.Context, c checker, row models.Row, faults FieldErrors) error // nil is no check
}

// masterTable is the table of masters.
func masterTable(l *links.Links) map[models.Master]*master {
	table := map[models.Master]*master{
		models.ContentMaster: {
			base:    func(row models.Row) *models.Base { return &as[models.AnyContent](row).AsContent().Base },
			labels:  func(row models.Row) *models.Labels { return &as[models.AnyContent](row).AsContent().Labels },
			params:  contentParams,
			members: contentMembers,
		},
		models.ContentGuardMaster: {
			create: atOnce, update: atOnce, remove: atOnce,
			base:  func(row models.Row) *models.Base { return &as[models.AnyContentGuard](row).AsContentGuard().Base },
			check: checkGuard,
		},
		models.DistributionMaster: {
			create: byTask, update: byTask, remove: byTask, removeQuickly: true,
			exclusive: "base_path", shared: "distributions",
			base:    func(row models.Row) *models.Base { return &as[models.AnyDistribution](row).AsDistribution().Base },
			labels:  func(row models.Row) *models.Labels { return &as[models.AnyDistribution](row).AsDistribution().Labels },
			params:  distributionParams,
			members: distributionMembers,
			check:   checkDistribution,
		},
		models.PublicationMaster: {
			remove:  atOnce,
			base:    func(row models.Row) *models.Base { return &as[models.AnyPublication](row).AsPublication().Base },
			params:  publicationParams,
			members: publicationMembers,
		},
		models.RemoteMaster: {
			create: atOnce, update: byTask, remove: byTask,
			base:   func(row models.Row) *models.Base { return &as[models.AnyRemote](row).AsRemote().Base },
			labels: func(row models.Row) *models.Labels { return &as[models.AnyRemote](row).AsRemote().Labels },
			params: remoteParams,
			check:  checkRemote,
		},
		models.RepositoryMaster: {
			create: atOnce, update: byTask, remove: byTask,
			base:    func(row models.Row) *models.Base { return &as[models.AnyRepository](row).AsRepository().Base },
			labels:  func(row models.Row) *models.Labels { return &as[models.AnyRepository](row).AsRepository().Labels },
			params:  repositoryParams,
			members: repositoryMembers,
		},
	}
	for name, m := range table {
		m.Kind = l.Kind(string(name))
	}
	return table
}

// as returns a row as what all rows of its master are. The types of a master embed the master's struct, so the zero
// value, with which the caller would panic, never comes back.
func as[M any](row models.Row) M {
	m, _ := row.(M)
	return m
}

// listParams returns the filters that all types of the master have, for the list of one type or of all.
func (m *master) listParams(refs query.References, ofAll bool) []*query.Param {
	list := refs.Identity("m.pulp_id")
	if ofAll {
		list = append(list, query.TextFilter("in").Params("pulp_type", "m.pulp_type")...)
	}
	if m.Named {
		list = append(list, query.NameFilter().Params("name", "m.name")...)
	}
	if m.Labels {
		list = append(list, query.LabelParam())
	}
	if m.params != nil {
		list = append(list, m.params(refs)...)
	}
	return list
}

// visible returns the conditions under which rows are shown.
func (m *master) visible() []models.Cond {
	if m.Visible == "" {
		return nil
	}
	return []models.Cond{models.Where(m.Visible)}
}

func repositoryParams(refs query.References) []*query.Param {
	// held matches the repositories with a version, present or past, that has a unit.
	const held = `m.pulp_id IN (SELECT rc.repository_id FROM core_repositorycontent AS rc WHERE rc.content_id IN (?)`
	content := string(models.ContentMaster)
	list := []*query.Param{
		refs.Ref("remote", string(models.RemoteMaster), "m.remote_id"),
		refs.Related("with_content", content, held+")"),
		refs.Related("latest_with_content", content, held+" AND rc.version_removed IS NULL)"),
	}
	list = append(list, query.NumberFilter().Params("retain_repo_versions", "m.retain_repo_versions")...)
	return append(list, query.NumberFilter().Params("retain_checkpoints", "m.retain_checkpoints")...)
}

func remoteParams(query.References) []*query.Param {
	return query.TimeFilter().Params("pulp_last_updated", "m.pulp_last_updated")
}

func contentParams(refs query.References) []*query.Param {
	return []*query.Param{
		query.OrphanParam("m", "SELECT 1 FROM core_repositorycontent AS x WHERE x.content_id = m.pulp_id"),
		refs.Version("repository_version", models.InVersion),
		refs.Version("repository_version_added", models.AddedIn),
		refs.Version("repository_version_removed", models.RemovedIn),
	}
}

// publishesSQL narrows publications, with the alias %[1]s, to those that serve one of some units: they published a file
// of it, or serve all files of their version.
const publishesSQL = `(%[1]s.pulp_id IN (SELECT pa.publication_id FROM core_publishedartifact AS pa
		JOIN core_contentartifact AS ca ON ca.pulp_id = pa.content_artifact_id WHERE ca.content_id IN (?0))
	OR %[1]s.pass_through AND %[1]s.repository_version_id IN (SELECT rv.pulp_id FROM core_repositoryversion AS rv
		WHERE ` + core.HoldsSQL + `))`

func publicationParams(refs query.References) []*query.Param {
	published := fmt.Sprintf(publishesSQL, "m")
	list := query.TimeFilter().Params("pulp_created", "m.pulp_created")
	list = append(list, query.BoolFilter().Params("checkpoint", "m.checkpoint")...)
	return append(list,
		refs.Related("repository_version", links.Version, "m.repository_version_id IN (?)"),
		refs.Related("repository", string(models.RepositoryMaster), `m.repository_version_id IN (SELECT rv.pulp_id
			FROM core_repositoryversion AS rv WHERE rv.repository_id IN (?))`),
		refs.Related("content", string(models.ContentMaster), published),
		refs.Related("content__in", string(models.ContentMaster), published))
}

func distributionParams(refs query.References) []*query.Param {
	// A distribution of a repository serves its latest version, or a publication of that.
	served := `(m.publication_id IN (SELECT p.pulp_id FROM core_publication AS p WHERE ` +
		fmt.Sprintf(publishesSQL, "p") + `)
		OR m.repository_version_id IN (SELECT rv.pulp_id FROM core_repositoryversion AS rv WHERE ` + core.HoldsSQL + `)
		OR m.repository_id IN (SELECT rc.repository_id FROM core_repositorycontent AS rc WHERE rc.content_id IN (?0)
			AND rc.version_removed IS NULL))`
	list := query.TextFilter("in", "contains", "icontains").Params("base_path", "m.base_path")
	list = append(list, query.BoolFilter().Params("checkpoint", "m.checkpoint")...)
	several := refs.Related("repository__in", string(models.RepositoryMaster), "m.repository_id IN (?)")
	several.Doc = "hrefs or PRNs, separated by commas"
	return append(list, refs.Ref("repository", string(models.RepositoryMaster), "m.repository_id"), several,
		refs.Related("with_content", string(models.ContentMaster), served))
}

// masterList is the list of all types of a master.
type masterList struct {
	answers *rowSchema
	source  query.Source
}

// newMasterList returns the list of all types of a master, such as /repositories/.
func newMasterList(c *compiler, m *master) *masterList {
	l := &masterList{answers: &rowSchema{model: m.Model, master: m, fields: schema.MasterFields(m.Kind)}}
	l.answers.setMembers()
	l.source = query.Source{
		Params: m.listParams(c.refs(), true), Columns: l.answers.columns(), Page: c.opts.PageSize,
	}
	return l
}

func (ml *masterList) mount(c *compiler) {
	m := ml.answers.master
	ml.answers.describe(c.components)
	name := strings.TrimSuffix(m.Path, "/")
	c.add(&operation{schema.Operation{
		Method: http.MethodGet, Path: m.Path, ID: name + "_list", Tag: m.Title, Summary: "List " + name,
		Params: parameters(ml.source.Params), Columns: ml.source.Columns, Paged: true, Answer: m.Model + "Response",
	}, ml.serve})
}

func (ml *masterList) serve(ctx context.Context, q *request) (*reply, error) {
	l, err := ml.source.Parse(ctx, q.db, q.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	m := ml.answers.master
	types := q.links.TypeNames(m.Master)
	// An empty list of types is no SQL.
	if len(types) == 0 {
		return q.page(l, 0, nil)
	}
	narrow := func(sel *bun.SelectQuery) *bun.SelectQuery {
		sel = sel.Where("m.pulp_domain_id = ?", q.db.Domain().ID).Where("m.pulp_type IN (?)", bun.List(types))
		if m.Visible != "" {
			// Rows that the lists of the types hide must not show up here.
			sel = sel.Where(m.Visible)
		}
		return l.Apply(q.visible.apply(sel, "m"))
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

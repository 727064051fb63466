package rest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/secrets"
)

// renderer turns rows into answers. What they refer to is read for all rows together, so that the number of
// statements does not grow with the page.
type renderer struct {
	api      *API
	db       *models.DB
	refs     map[string]map[uuid.UUID]string // hrefs by kind, PRNs where there is no view; "" if there is no such row
	latest   map[uuid.UUID]int               // numbers by repository
	files    map[uuid.UUID][]contentFile     // by content unit
	served   map[uuid.UUID][]string          // hrefs of distributions by publication
	versions map[uuid.UUID]versionPlace
	guards   map[uuid.UUID]string // PRNs
}

// versionPlace is what the href of a version is made of.
type versionPlace struct {
	ID         uuid.UUID `bun:"pulp_id"`
	Number     int       `bun:"number"`
	Repository uuid.UUID `bun:"repository_id"`
	Type       string    `bun:"pulp_type"`
}

type contentFile struct {
	ContentID    uuid.UUID  `bun:"content_id"`
	ArtifactID   *uuid.UUID `bun:"artifact_id"`
	RelativePath string     `bun:"relative_path"`
	hashlib.Digests
}

func (a *API) newRenderer(db *models.DB) *renderer {
	return &renderer{
		api: a, db: db, refs: map[string]map[uuid.UUID]string{}, latest: map[uuid.UUID]int{},
		files: map[uuid.UUID][]contentFile{}, served: map[uuid.UUID][]string{},
		versions: map[uuid.UUID]versionPlace{}, guards: map[uuid.UUID]string{},
	}
}

// rows renders rows of one shape, in order. A row of a type that no view serves becomes nil.
func (r *renderer) rows(ctx context.Context, s *shape, rows []models.Row) ([]object, error) {
	if err := r.load(ctx, s, rows); err != nil {
		return nil, err
	}
	out := make([]object, 0, len(rows))
	for _, row := range rows {
		if v := r.api.byType[s.master][row.PulpType()]; v != nil {
			out = append(out, r.row(s, v, row))
		}
	}
	return out, nil
}

func (a *API) renderOne(ctx context.Context, db *models.DB, s *shape, row models.Row) (object, error) {
	list, err := a.newRenderer(db).rows(ctx, s, []models.Row{row})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("rest: no view serves %s %q", s.master, row.PulpType())
	}
	return list[0], nil
}

// want notes that the href of a row is needed.
func (r *renderer) want(kind string, id uuid.UUID) {
	if r.refs[kind] == nil {
		r.refs[kind] = map[uuid.UUID]string{}
	}
	if _, ok := r.refs[kind][id]; !ok {
		r.refs[kind][id] = ""
	}
}

func (r *renderer) load(ctx context.Context, s *shape, rows []models.Row) error {
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.PulpID()
		for _, f := range s.fields {
			if f.form != refForm {
				continue
			}
			if id, ok := f.refOf(row); ok {
				r.want(f.ref, id)
			}
		}
		if p, ok := row.(models.AnyPublication); ok {
			r.want(versionKind, p.AsPublication().RepositoryVersionID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := r.loadRefs(ctx); err != nil {
		return err
	}
	switch s.master {
	case models.RepositoryMaster:
		return r.loadLatest(ctx, ids)
	case models.ContentMaster:
		return r.loadFiles(ctx, ids)
	case models.PublicationMaster:
		return r.loadDistributions(ctx, ids)
	}
	return nil
}

// loadRefs reads, one statement per kind, what the wanted hrefs are made of.
func (r *renderer) loadRefs(ctx context.Context) error {
	for _, kind := range slices.Sorted(maps.Keys(r.refs)) {
		hrefs := r.refs[kind]
		var missing []uuid.UUID
		for id, href := range hrefs {
			if href == "" {
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 {
			continue
		}
		var err error
		switch {
		case kind == versionKind:
			err = r.loadVersions(ctx, missing)
		case corePath(kind) != "":
			for _, id := range missing {
				hrefs[id] = r.api.coreHref(kind, id)
			}
		default:
			err = r.loadTypes(ctx, models.Master(kind), missing)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *renderer) loadTypes(ctx context.Context, m models.Master, ids []uuid.UUID) error {
	var rows []struct {
		ID   uuid.UUID `bun:"pulp_id"`
		Type string    `bun:"pulp_type"`
	}
	err := r.db.Bun().NewSelect().TableExpr(m.Table()).Column("pulp_id", "pulp_type").
		Where("pulp_id IN (?)", bun.List(ids)).Where("pulp_domain_id = ?", r.db.Domain().ID).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: types of %s rows: %w", m, err)
	}
	for _, row := range rows {
		prn := models.TypedPRN(m, row.Type, row.ID)
		r.refs[string(m)][row.ID] = prn // a type without a view has no hrefs
		if v := r.api.byType[m][row.Type]; v != nil {
			r.refs[string(m)][row.ID] = r.api.href(v, row.ID)
		}
		if m == models.ContentGuardMaster {
			r.guards[row.ID] = prn
		}
	}
	return nil
}

func (r *renderer) loadVersions(ctx context.Context, ids []uuid.UUID) error {
	var rows []versionPlace
	err := r.db.Bun().NewSelect().TableExpr("core_repositoryversion AS rv").
		ColumnExpr("rv.pulp_id, rv.number, rv.repository_id, r.pulp_type").
		Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").
		Where("rv.pulp_id IN (?)", bun.List(ids)).Where("r.pulp_domain_id = ?", r.db.Domain().ID).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: repository versions: %w", err)
	}
	for _, p := range rows {
		r.versions[p.ID] = p
		r.refs[versionKind][p.ID] = models.CorePRN(versionKind, p.ID)
		if v := r.api.byType[models.RepositoryMaster][p.Type]; v != nil {
			r.refs[versionKind][p.ID] = r.api.versionHref(v, p.Repository, p.Number)
		}
	}
	return nil
}

func (r *renderer) loadLatest(ctx context.Context, repos []uuid.UUID) error {
	var rows []struct {
		Repository uuid.UUID `bun:"repository_id"`
		Number     *int      `bun:"number"`
	}
	err := r.db.Bun().NewSelect().TableExpr("core_repository AS m").ColumnExpr("m.pulp_id AS repository_id").
		ColumnExpr(`(SELECT rv.number FROM core_repositoryversion AS rv WHERE rv.repository_id = m.pulp_id
			AND rv.complete ORDER BY rv.number DESC LIMIT 1) AS number`).
		Where("m.pulp_id IN (?)", bun.List(repos)).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: latest versions: %w", err)
	}
	for _, row := range rows {
		if row.Number != nil {
			r.latest[row.Repository] = *row.Number
		}
	}
	return nil
}

// loadFiles reads the files of content units. What is still at a remote has the digests that the remote told.
func (r *renderer) loadFiles(ctx context.Context, ids []uuid.UUID) error {
	var rows []contentFile
	err := r.db.Bun().NewRaw(`SELECT ca.content_id, ca.artifact_id, ca.relative_path,
			COALESCE(a.md5, ra.md5) AS md5, COALESCE(a.sha1, ra.sha1) AS sha1, COALESCE(a.sha224, ra.sha224) AS sha224,
			COALESCE(a.sha256, ra.sha256) AS sha256, COALESCE(a.sha384, ra.sha384) AS sha384,
			COALESCE(a.sha512, ra.sha512) AS sha512
		FROM core_contentartifact AS ca
		LEFT JOIN core_artifact AS a ON a.pulp_id = ca.artifact_id
		`+r.db.Conn().Kind.LeftJoinEach("core_remoteartifact", "ra", `ca.artifact_id IS NULL AND ra.pulp_id = (
			SELECT x.pulp_id FROM core_remoteartifact AS x WHERE x.content_artifact_id = ca.pulp_id
			AND EXISTS (SELECT 1 FROM core_remote AS m WHERE m.pulp_id = x.remote_id)
			ORDER BY COALESCE(x.pulp_id, x.pulp_id) LIMIT 1)`)+`
		WHERE ca.content_id IN (?) ORDER BY ca.content_id, ca.relative_path`, bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: files of content: %w", err)
	}
	for _, f := range rows {
		r.files[f.ContentID] = append(r.files[f.ContentID], f)
	}
	return nil
}

func (r *renderer) loadDistributions(ctx context.Context, publications []uuid.UUID) error {
	var rows []struct {
		ID          uuid.UUID `bun:"pulp_id"`
		Type        string    `bun:"pulp_type"`
		Publication uuid.UUID `bun:"publication_id"`
	}
	err := r.db.Bun().NewSelect().TableExpr("core_distribution").Column("pulp_id", "pulp_type", "publication_id").
		Where("publication_id IN (?)", bun.List(publications)).OrderExpr("pulp_id").Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("rest: distributions of publications: %w", err)
	}
	for _, row := range rows {
		if v := r.api.byType[models.DistributionMaster][row.Type]; v != nil {
			r.served[row.Publication] = append(r.served[row.Publication], r.api.href(v, row.ID))
		}
	}
	return nil
}

// ref returns a loaded href, or PRN, or nil if there is no such row.
func (r *renderer) ref(kind string, id uuid.UUID) any {
	if href := r.refs[kind][id]; href != "" {
		return href
	}
	return nil
}

func (r *renderer) row(s *shape, v *view, row models.Row) object {
	created, updated := s.times(row)
	o := object{
		{"pulp_href", r.api.href(v, row.PulpID())},
		{"prn", models.PRNOf(row)},
		{"pulp_created", created},
		{"pulp_last_updated", updated},
	}
	r.addExtras(&o, s, v, row)
	for _, f := range s.fields {
		switch {
		case f.form == secretForm:
		case s.one && slices.Contains(digestOrder(), hashlib.Algorithm(f.name)): // is among the extras
		case f.form == refForm:
			id, _ := f.refOf(row)
			o.set(f.name, r.ref(f.ref, id))
		default:
			o.set(f.name, f.answer(row))
		}
	}
	return o
}

// answer returns the value of a field for an answer.
func (f *field) answer(row any) any {
	v := f.value(row)
	switch {
	case f.form == labelsForm && v.IsNil():
		return models.Labels{}
	case v.Kind() == reflect.Pointer && v.IsNil() && f.def != nil && !f.nullable:
		return f.def
	}
	return v.Interface()
}

func (r *renderer) addExtras(o *object, s *shape, v *view, row models.Row) {
	id := row.PulpID()
	switch s.master {
	case models.RepositoryMaster:
		o.set("versions_href", r.api.href(v, id)+"versions/")
		o.set("latest_version_href", r.api.versionHref(v, id, r.latest[id]))
	case models.RemoteMaster:
		o.set("hidden_fields", hiddenFields(s, row))
	case models.PublicationMaster:
		if p, ok := row.(models.AnyPublication); ok {
			r.addPublished(o, p.AsPublication().RepositoryVersionID, id)
		}
	case models.DistributionMaster:
		if d, ok := row.(models.AnyDistribution); ok {
			r.addDistributed(o, v, d.AsDistribution())
		}
	case models.ContentMaster:
		r.addFiles(o, s, id)
	}
}

func (r *renderer) addPublished(o *object, version, id uuid.UUID) {
	o.set("repository_version", r.ref(versionKind, version))
	var repo any
	if p, ok := r.versions[version]; ok {
		repo = models.TypedPRN(models.RepositoryMaster, p.Type, p.Repository)
		if v := r.api.byType[models.RepositoryMaster][p.Type]; v != nil {
			repo = r.api.href(v, p.Repository)
		}
	}
	o.set("repository", repo)
	served := r.served[id]
	if served == nil {
		served = []string{}
	}
	o.set("distributions", served)
}

func (r *renderer) addDistributed(o *object, v *view, d *models.Distribution) {
	place := url.URL{Path: r.api.opts.ContentPathPrefix + d.BasePath + "/"}
	o.set("base_url", r.api.opts.ContentOrigin+place.EscapedPath())
	var prn, since any
	if d.ContentGuardID != nil && r.guards[*d.ContentGuardID] != "" {
		prn = r.guards[*d.ContentGuardID]
	}
	// A repository may get another version, and a version another publication.
	if d.PublicationID != nil || d.RepositoryVersionID != nil && !r.api.publishes(v) {
		since = d.Updated
	}
	o.set("content_guard_prn", prn)
	o.set("no_content_change_since", since)
}

// publishes reports whether the plugin of a view has publications.
func (a *API) publishes(v *view) bool {
	plugin, _, _ := cutType(v.typ.Name())
	for name := range a.byType[models.PublicationMaster] {
		if other, _, _ := cutType(name); other == plugin {
			return true
		}
	}
	return false
}

func (r *renderer) addFiles(o *object, s *shape, id uuid.UUID) {
	files := r.files[id]
	if !s.one {
		artifacts := map[string]any{}
		for _, f := range files {
			artifacts[f.RelativePath] = r.artifactRef(f)
		}
		o.set("artifacts", artifacts)
		return
	}
	var f contentFile
	if len(files) > 0 {
		f = files[0]
	}
	o.set("artifact", r.artifactRef(f))
	addDigests(o, r.db.Checksums().Filter(f.Digests))
}

func (r *renderer) artifactRef(f contentFile) any {
	if f.ArtifactID == nil {
		return nil
	}
	return r.api.coreHref(artifactKind, *f.ArtifactID)
}

func addDigests(o *object, d hashlib.Digests) {
	for _, alg := range digestOrder() {
		var hex any
		if h := d.Get(alg); h != "" {
			hex = h
		}
		o.set(string(alg), hex)
	}
}

type hiddenField struct {
	Name  string `json:"name"`
	IsSet bool   `json:"is_set"`
}

func hiddenFields(s *shape, row any) []hiddenField {
	list := []hiddenField{}
	for _, f := range s.fields {
		if secret, ok := f.value(row).Interface().(secrets.EncryptedText); ok {
			list = append(list, hiddenField{f.name, secret.IsSet()})
		}
	}
	return list
}

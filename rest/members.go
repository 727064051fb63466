package rest

import (
	"context"
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest/internal/core"
	"github.com/pulpgo/pulpcore/rest/internal/links"
	"github.com/pulpgo/pulpcore/rest/internal/schema"
	"github.com/pulpgo/pulpcore/rest/internal/wire"
	"github.com/pulpgo/pulpcore/secrets"
)

// Member is a member of answers that is no field of the row. [Computed] makes one.
type Member[T any] struct{ member member }

// Computed returns the member name, whose value load makes for all rows of an answer together. It returns one value per
// row, in their order. doc describes the member in the API document, and so does V.
func Computed[T, V any](
	name, doc string, load func(ctx context.Context, db *models.DB, rows []*T) ([]V, error),
) Member[T] {
	return Member[T]{newMember[V](name, doc, func(ctx context.Context, p *page, rows []models.Row) (valueFunc, error) {
		typed := make([]*T, len(rows))
		at := make(map[uuid.UUID]int, len(rows))
		for i, row := range rows {
			typed[i], _ = row.(any).(*T)
			at[row.PulpID()] = i
		}
		values, err := load(ctx, p.db, typed)
		if err != nil {
			return nil, err
		}
		// Values are matched to rows by position: one value too few would shift the others to the wrong rows.
		if len(values) != len(rows) {
			return nil, fmt.Errorf("rest: member %q has %d values for %d rows; return one value for each row", name,
				len(values), len(rows))
		}
		return func(_ *view, row models.Row) any { return values[at[row.PulpID()]] }, nil
	})}
}

func newMember[V any](
	name, doc string, load func(ctx context.Context, p *page, rows []models.Row) (valueFunc, error),
) member {
	return member{schema.Computed{Name: name, Type: reflect.TypeFor[V](), Doc: doc}, load}
}

// plainMember returns a member that is made from the row and the links of the page.
func plainMember[V any](name, doc string, value func(p *page, v *view, row models.Row) V) member {
	return newMember[V](name, doc, func(_ context.Context, p *page, _ []models.Row) (valueFunc, error) {
		return func(v *view, row models.Row) any { return value(p, v, row) }, nil
	})
}

func ids(rows []models.Row) []uuid.UUID {
	list := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		list[i] = row.PulpID()
	}
	return list
}

func repositoryMembers(bool) []member {
	return []member{
		plainMember("versions_href", "The versions of the repository.", func(p *page, v *view, row models.Row) wire.Href {
			return wire.Href(p.links.VersionsHref(v.typ, row.PulpID()))
		}),
		newMember[wire.Href]("latest_version_href", "The latest version.", latestVersions),
	}
}

func latestVersions(ctx context.Context, p *page, rows []models.Row) (valueFunc, error) {
	var found []struct {
		Repository uuid.UUID `bun:"repository_id"`
		Number     int       `bun:"number"`
	}
	// The subquery walks an index from its end for each repository; a GROUP BY would read all versions.
	err := p.db.Bun().NewSelect().TableExpr("core_repository AS m").ColumnExpr("m.pulp_id AS repository_id").
		ColumnExpr(`COALESCE((SELECT rv.number FROM core_repositoryversion AS rv WHERE rv.repository_id = m.pulp_id
			AND rv.complete ORDER BY rv.number DESC LIMIT 1), 0) AS number`).
		Where("m.pulp_id IN (?)", sqldialect.Keys(ids(rows))).Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("rest: latest versions: %w", err)
	}
	latest := make(map[uuid.UUID]int, len(found))
	for _, f := range found {
		latest[f.Repository] = f.Number
	}
	return func(v *view, row models.Row) any {
		return p.links.VersionHref(v.typ, row.PulpID(), latest[row.PulpID()])
	}, nil
}

// hiddenField is a write-only field of a row.
type hiddenField struct {
	Name  string `json:"name" rest:"required"`
	IsSet bool   `json:"is_set" rest:"required"`
}

// hiddenMember returns the member hidden_fields, which shows of each secret of a row whether it is set.
func hiddenMember() member {
	return plainMember("hidden_fields", "Write-only fields and whether they are set.",
		func(p *page, _ *view, row models.Row) []hiddenField {
			list := []hiddenField{}
			for _, f := range p.fields {
				if secret, ok := f.Value(row).(secrets.EncryptedText); ok {
					list = append(list, hiddenField{f.Name, secret.IsSet()})
				}
			}
			return list
		})
}

func publicationMembers(bool) []member {
	versionOf := func(row models.Row) uuid.UUID {
		return as[models.AnyPublication](row).AsPublication().RepositoryVersionID
	}
	return []member{
		plainMember("repository_version", "The version that is published.",
			func(p *page, _ *view, row models.Row) *wire.Href {
				return (*wire.Href)(p.refs.Get(links.Version, versionOf(row)))
			}),
		plainMember("repository", "The repository of the version.", func(p *page, _ *view, row models.Row) *wire.Href {
			href, _ := p.refs.RepositoryOf(versionOf(row))
			return (*wire.Href)(href)
		}),
		newMember[[]wire.Href]("distributions", "The distributions that serve the publication.", servedBy),
	}
}

func servedBy(ctx context.Context, p *page, rows []models.Row) (valueFunc, error) {
	var found []struct {
		ID          uuid.UUID `bun:"pulp_id"`
		Type        string    `bun:"pulp_type"`
		Publication uuid.UUID `bun:"publication_id"`
	}
	err := p.db.Bun().NewSelect().TableExpr("core_distribution").Column("pulp_id", "pulp_type", "publication_id").
		Where("publication_id IN (?)", sqldialect.Keys(ids(rows))).OrderExpr("pulp_id").Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("rest: distributions of publications: %w", err)
	}
	served := make(map[uuid.UUID][]string, len(rows))
	for _, row := range rows {
		// The document declares a list that is never null, and the generated bindings check it.
		served[row.PulpID()] = []string{}
	}
	for _, f := range found {
		// A distribution whose type is not served has no href that a client could follow.
		if t := p.links.Type(models.DistributionMaster, f.Type); t != nil {
			served[f.Publication] = append(served[f.Publication], p.links.RowHref(t, f.ID))
		}
	}
	return func(_ *view, row models.Row) any { return served[row.PulpID()] }, nil
}

func distributionMembers(bool) []member {
	return []member{
		plainMember("base_url", "Where clients find the content.", func(p *page, _ *view, row models.Row) string {
			// A base path with a percent sign leads elsewhere unless it is escaped.
			place := url.URL{Path: p.opts.ContentPathPrefix + as[models.AnyDistribution](row).AsDistribution().BasePath + "/"}
			return p.opts.ContentOrigin + place.EscapedPath()
		}),
		plainMember("content_guard_prn", "The PRN of the content guard.", func(p *page, _ *view, row models.Row) *string {
			guard := as[models.AnyDistribution](row).AsDistribution().ContentGuardID
			if guard == nil {
				return nil
			}
			return p.refs.PRN(*guard)
		}),
		plainMember("no_content_change_since", "Since when what is served has not changed; null if unknown.", unchanged),
	}
}

// unchanged returns since when the content of a distribution cannot have changed, or nil if that is not known.
func unchanged(p *page, v *view, row models.Row) *string {
	d := as[models.AnyDistribution](row).AsDistribution()
	// A repository may get another version, and a version another publication. A replica that is given a time does not
	// look for changes, so a wrong time makes it miss them.
	if d.PublicationID != nil || d.RepositoryVersionID != nil && !p.publishes(v) {
		return new(wire.Timestamp(d.Updated))
	}
	return nil
}

// publishes reports whether the plugin of a view has publications.
func (s *site) publishes(v *view) bool {
	plugin, _, _ := strings.Cut(v.typ.Name(), ".")
	for _, name := range s.links.TypeNames(models.PublicationMaster) {
		if strings.HasPrefix(name, plugin+".") {
			return true
		}
	}
	return false
}

// contentFile is a file of a content unit.
type contentFile struct {
	ContentID    uuid.UUID  `bun:"content_id"`
	ArtifactID   *uuid.UUID `bun:"artifact_id"`
	RelativePath string     `bun:"relative_path"`
	hashlib.Digests
}

func contentMembers(single bool) []member {
	artifact := func(p *page, f contentFile) *wire.Href {
		return (*wire.Href)(p.links.HrefOrNull(links.Artifact, f.ArtifactID))
	}
	if !single {
		return []member{fileMember("artifacts", "The artifacts by relative path.",
			func(p *page, files []contentFile) map[string]*wire.Href {
				byPath := make(map[string]*wire.Href, len(files))
				for _, f := range files {
					byPath[f.RelativePath] = artifact(p, f)
				}
				return byPath
			})}
	}
	first := func(files []contentFile) contentFile {
		if len(files) == 0 {
			return contentFile{}
		}
		return files[0]
	}
	list := []member{fileMember("artifact", "The artifact, once it is stored.",
		func(p *page, files []contentFile) *wire.Href { return artifact(p, first(files)) })}
	for _, alg := range core.Algorithms() {
		list = append(list, fileMember(string(alg), "The "+string(alg)+" digest of the file.",
			func(p *page, files []contentFile) *string {
				// ALLOWED_CONTENT_CHECKSUMS may have lost an algorithm since the row was saved.
				digests := p.db.Checksums().Filter(first(files).Digests)
				if digest := digests.Get(alg); digest != "" {
					return &digest
				}
				return nil
			}))
	}
	return list
}

// fileMember returns a member that is made from the files of a content unit.
func fileMember[V any](name, doc string, value func(p *page, files []contentFile) V) member {
	return newMember[V](name, doc, func(ctx context.Context, p *page, rows []models.Row) (valueFunc, error) {
		if err := p.loadFiles(ctx, rows); err != nil {
			return nil, err
		}
		return func(_ *view, row models.Row) any { return value(p, p.files[row.PulpID()]) }, nil
	})
}

// loadFiles reads the files of content units once. A file that is still at a remote has the digests that the remote
// gave.
func (p *page) loadFiles(ctx context.Context, rows []models.Row) error {
	// Each digest is a member of its own, and all of them need the same rows.
	if p.files != nil {
		return nil
	}
	var found []contentFile
	err := p.db.Bun().NewRaw(`SELECT ca.content_id, ca.artifact_id, ca.relative_path,
			COALESCE(a.md5, ra.md5) AS md5, COALESCE(a.sha1, ra.sha1) AS sha1, COALESCE(a.sha224, ra.sha224) AS sha224,
			COALESCE(a.sha256, ra.sha256) AS sha256, COALESCE(a.sha384, ra.sha384) AS sha384,
			COALESCE(a.sha512, ra.sha512) AS sha512
		FROM core_contentartifact AS ca
		LEFT JOIN core_artifact AS a ON a.pulp_id = ca.artifact_id
		`+p.db.Conn().Kind.LeftJoinEach("core_remoteartifact", "ra", `ca.artifact_id IS NULL AND ra.pulp_id = (
			SELECT x.pulp_id FROM core_remoteartifact AS x WHERE x.content_artifact_id = ca.pulp_id
			AND EXISTS (SELECT 1 FROM core_remote AS m WHERE m.pulp_id = x.remote_id)
			ORDER BY COALESCE(x.pulp_id, x.pulp_id) LIMIT 1)`)+`
		WHERE ca.content_id IN (?) ORDER BY ca.content_id, ca.relative_path`, sqldialect.Keys(ids(rows))).Scan(ctx, &found)
	if err != nil {
		return fmt.Errorf("rest: files of content: %w", err)
	}
	p.files = make(map[uuid.UUID][]contentFile, len(rows))
	for _, f := range found {
		p.files[f.ContentID] = append(p.files[f.ContentID], f)
	}
	return nil
}

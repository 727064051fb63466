package lookup

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Match is the distribution that serves a path.
type Match struct {
	Distribution models.AnyDistribution
	guardType    string // "" without a content guard
}

const (
	minBasePaths       = 4
	distributionByPath = `SELECT m.*, g.pulp_type AS guard_type FROM core_distribution AS m
LEFT JOIN core_contentguard AS g ON g.pulp_id = m.content_guard_id
WHERE m.pulp_domain_id = ? AND m.base_path IN `
	// No base path contains another one, unless another program wrote the rows. Then the longest counts.
	longestFirst = ` ORDER BY LENGTH(m.base_path) DESC LIMIT 1`
)

// Distribution returns the distribution whose base path is path or one of its parent folders. Base paths do not
// contain each other; the longest counts. The path has no slash at either end. It costs one statement, and a
// second one if the distribution's type has columns of its own.
//
// Errors: NotFound, also if the distribution's plugin is not part of this App.
func (f *Finder) Distribution(ctx context.Context, path string) (*Match, error) {
	var row struct {
		models.Distribution
		GuardType *string `bun:"guard_type"`
	}
	args, i := []any{f.db.Domain().ID}, 0
	for _, p := range parents(path) {
		args = append(args, p)
	}
	for n := minBasePaths; len(args)-1 > n; n *= 2 {
		i++
	}
	for len(args)-1 < minBasePaths<<i { // the statement has more placeholders than there are paths
		args = append(args, path)
	}
	if err := f.one(ctx, f.distributions[i], &row, args...); err != nil {
		return nil, rowError(err, "distribution of path", path)
	}
	d, err := f.derive(ctx, &row.Distribution)
	if err != nil {
		return nil, fmt.Errorf("content: distribution %q: %w", row.Name, err)
	}
	match := &Match{Distribution: d}
	if row.GuardType != nil {
		match.guardType = *row.GuardType
	}
	return match, nil
}

// derive returns a distribution in its most derived form.
func (f *Finder) derive(ctx context.Context, d *models.Distribution) (models.AnyDistribution, error) {
	if f.db.Registry().HasColumns(models.DistributionMaster, d.Type) {
		row, err := models.Load(ctx, f.db, models.DistributionMaster, d.Type, d.ID)
		if err != nil {
			return nil, err
		}
		return row.(models.AnyDistribution), nil
	}
	row, ok := f.db.Registry().Lookup(models.DistributionMaster, d.Type)
	if !ok {
		return nil, fmt.Errorf("type %q belongs to no plugin of this App: %w", d.Type, pulperr.NotFound)
	}
	derived := row.(models.AnyDistribution)
	*derived.AsDistribution() = *d // the type has no columns of its own, so that the row is complete
	return derived, nil
}

// Guard returns the content guard of the distribution, or nil if there is none.
//
// Errors: NotFound if the guard's plugin is not part of this App; the caller must deny the request then.
func (m *Match) Guard(ctx context.Context, db *models.DB) (models.AnyContentGuard, error) {
	id := m.Distribution.AsDistribution().ContentGuardID
	if id == nil {
		return nil, nil
	}
	row, err := models.Load(ctx, db, models.ContentGuardMaster, m.guardType, *id)
	if err != nil {
		return nil, err
	}
	return row.(models.AnyContentGuard), nil
}

// parents returns path and its parent folders, shortest first, at most models.MaxBasePathSegments.
func parents(path string) []string {
	var out []string
	// No base path is longer than that, so deeper folders need no look-up.
	for i := 0; i < len(path) && len(out) < models.MaxBasePathSegments; i++ {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	if len(out) < models.MaxBasePathSegments {
		out = append(out, path)
	}
	return out
}

// DistributionsBelow lists one level of the tree of base paths: what follows folder, which is empty or ends with a
// slash. Hidden distributions are left out, and with unguarded those with a content guard too. A base path that ends
// on this level is a file of the listing, whose Name has no slash.
func DistributionsBelow(ctx context.Context, db *models.DB, folder, after string, limit int, unguarded bool,
) (*Listing, error) {
	order := db.Conn().Kind.ByteOrder()
	return listLevel(folder, after, limit, 256, func(c cursor, n int) ([]pathRow, error) {
		var rows []pathRow
		q := db.Bun().NewSelect().TableExpr("core_distribution AS m").ColumnExpr("m.base_path AS path").
			Where("m.pulp_domain_id = ?", db.Domain().ID).Where("NOT m.hidden")
		if unguarded {
			q = q.Where("m.content_guard_id IS NULL")
		}
		err := c.where(q, "m.base_path", order).OrderExpr("m.base_path?", order).Limit(int64(n)).Scan(ctx, &rows)
		return rows, rowError(err, "distributions below", folder)
	})
}

// Source is the publication or the repository version whose files a distribution serves at a moment.
type Source struct {
	PublicationID *uuid.UUID `bun:"publication_id"` // nil if the version is served by itself
	PassThrough   bool       `bun:"pass_through"`   // the publication also serves the version's own files
	VersionID     uuid.UUID  `bun:"version_id"`
	RepositoryID  uuid.UUID  `bun:"repository_id"`
	Number        int        `bun:"number"`
}

const (
	// A complete publication has the repository and the number of its version, and an index on them. So the newest one
	// is found without a walk over versions that have none.
	publishedSource = `SELECT p.pulp_id AS publication_id, p.pass_through AS pass_through,
  p.repository_version_id AS version_id, p.repository_id AS repository_id, p.version_number AS number
FROM core_publication AS p`
	publicationSource = publishedSource + ` WHERE p.pulp_id = ? AND p.complete AND p.pulp_domain_id = ?`
	anySource         = `SELECT publication_id, pass_through, version_id, repository_id, number FROM (
SELECT *, 0 AS precedence FROM (` + publishedSource + `
  WHERE p.{column} = ? AND p.complete AND NOT p.checkpoint AND p.pulp_domain_id = ?
  ORDER BY p.version_number DESC, p.pulp_id DESC LIMIT 1) AS a
UNION ALL SELECT *, 1 FROM (SELECT CAST(NULL AS uuid), FALSE, v.pulp_id, v.repository_id, v.number
  FROM core_repositoryversion AS v WHERE v.{versionColumn} = ? AND v.complete ORDER BY v.number DESC LIMIT 1) AS b
) AS s ORDER BY precedence LIMIT 1`
)

// sourceBy returns anySource by a column of publications, and the column of versions that means the same.
func sourceBy(column, versionColumn string) string {
	return strings.NewReplacer("{column}", column, "{versionColumn}", versionColumn).Replace(anySource)
}

// Source returns what a distribution serves: its publication; else its version with the newest publication of it;
// else, of its repository, the newest version that has a publication, or the latest version if none has. It costs one
// statement.
//
// Errors: NotFound if the distribution has no source, or none that is complete.
func (f *Finder) Source(ctx context.Context, d *models.Distribution) (*Source, error) {
	source, domain := new(Source), f.db.Domain().ID
	var err error
	switch {
	case d.PublicationID != nil:
		err = f.one(ctx, f.publication, source, *d.PublicationID, domain)
	case d.RepositoryVersionID != nil:
		err = f.one(ctx, f.version, source, *d.RepositoryVersionID, domain, *d.RepositoryVersionID)
	case d.RepositoryID != nil:
		err = f.one(ctx, f.repository, source, *d.RepositoryID, domain, *d.RepositoryID)
	default:
		return nil, fmt.Errorf("content: distribution %q has no publication, version or repository: %w", d.Name,
			pulperr.NotFound)
	}
	if err != nil {
		return nil, rowError(err, "source of distribution", d.Name)
	}
	return source, nil
}

// folderOf returns what the paths of files in a folder begin with.
func folderOf(dir string) string {
	if dir == "" || strings.HasSuffix(dir, "/") {
		return dir
	}
	return dir + "/"
}

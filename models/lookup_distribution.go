package models

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// maxDepth is how many segments of a path are tried as a base path. It bounds the statement that a client's path
// becomes.
const maxDepth = 128

// DistributionMatch is the distribution that serves a path.
type DistributionMatch struct {
	Distribution AnyDistribution
	guardType    string // "" if nothing guards it
}

const (
	minBasePaths       = 4
	distributionByPath = `SELECT m.*, g.pulp_type AS guard_type FROM core_distribution AS m
LEFT JOIN core_contentguard AS g ON g.pulp_id = m.content_guard_id
WHERE m.pulp_domain_id = ? AND m.base_path IN `
	// Base paths do not contain each other; if rows of another program do, the one that says more wins.
	longestFirst = ` ORDER BY LENGTH(m.base_path) DESC LIMIT 1`
)

// Distribution returns the distribution whose base path is path or one of its parent folders. Base paths do not
// contain each other; the longest counts. The path has no slash at either end. It costs one statement, and a
// second one if the distribution's type has columns of its own.
//
// Errors: NotFound, also if the distribution's plugin is not part of this App.
func (l *Lookup) Distribution(ctx context.Context, path string) (*DistributionMatch, error) {
	var row struct {
		Distribution
		GuardType *string `bun:"guard_type"`
	}
	args, i := []any{l.db.domain.ID}, 0
	for _, p := range parents(path) {
		args = append(args, p)
	}
	for n := minBasePaths; len(args)-1 > n; n *= 2 {
		i++
	}
	for len(args)-1 < minBasePaths<<i {
		args = append(args, path)
	}
	if err := l.one(ctx, l.distributions[i], &row, args...); err != nil {
		return nil, rowError(err, "distribution of path", path)
	}
	db := l.db
	s := db.registry.byType[DistributionMaster][row.Type]
	if s == nil {
		return nil, fmt.Errorf("models: distribution %q: type %q is of no plugin here: %w",
			row.Name, row.Type, pulperr.NotFound)
	}
	match := &DistributionMatch{}
	if row.GuardType != nil {
		match.guardType = *row.GuardType
	}
	derived := s.newRow()
	if s.detail != "" {
		var err error
		if derived, err = db.get(ctx, DistributionMaster, row.Type, row.ID); err != nil {
			return nil, err
		}
	}
	match.Distribution = derived.(AnyDistribution)
	if s.detail == "" {
		*match.Distribution.AsDistribution() = row.Distribution
	}
	return match, nil
}

// Guard returns the content guard of the distribution, or nil if there is none.
//
// Errors: NotFound if the guard's plugin is not part of this App: then nobody may pass.
func (m *DistributionMatch) Guard(ctx context.Context, db *DB) (AnyContentGuard, error) {
	id := m.Distribution.AsDistribution().ContentGuardID
	if id == nil {
		return nil, nil
	}
	row, err := db.get(ctx, ContentGuardMaster, m.guardType, *id)
	if err != nil {
		return nil, err
	}
	return row.(AnyContentGuard), nil
}

// parents returns path and its parent folders, shortest first, at most maxDepth.
func parents(path string) []string {
	var out []string
	for i := 0; i < len(path) && len(out) < maxDepth; i++ {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	if len(out) < maxDepth {
		out = append(out, path)
	}
	return out
}

// DistributionsBelow lists one level of the tree of base paths: what follows folder, which is empty or ends with a
// slash. Hidden distributions are left out, and with unguarded those with a content guard too. A base path that ends
// on this level is a file of the listing, whose Name has no slash.
func DistributionsBelow(ctx context.Context, db *DB, folder, after string, limit int, unguarded bool,
) (*Listing, error) {
	order := db.conn.Kind.ByteOrder()
	return listLevel(folder, after, limit, 256, func(c cursor, n int) ([]pathRow, error) {
		var rows []pathRow
		q := db.q.NewSelect().TableExpr("core_distribution AS m").ColumnExpr("m.base_path AS path").
			Where("m.pulp_domain_id = ?", db.domain.ID).Where("NOT m.hidden")
		if unguarded {
			q = q.Where("m.content_guard_id IS NULL")
		}
		err := c.where(q, "m.base_path", order).OrderExpr("m.base_path?", order).Limit(int64(n)).Scan(ctx, &rows)
		return rows, rowError(err, "distributions below", folder)
	})
}

// Source is what a distribution serves at a moment: the files of a publication, or those of a repository version.
type Source struct {
	PublicationID *uuid.UUID `bun:"publication_id"` // nil if the version is served by itself
	PassThrough   bool       `bun:"pass_through"`   // the publication also serves the version's own files
	VersionID     uuid.UUID  `bun:"version_id"`
	RepositoryID  uuid.UUID  `bun:"repository_id"`
	Number        int        `bun:"number"`
}

const (
	// A complete publication has the place of its version, so a history without publications is not walked.
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
// Errors: NotFound if the distribution points to nothing, or to nothing that is complete.
func (l *Lookup) Source(ctx context.Context, d *Distribution) (*Source, error) {
	source, domain := new(Source), l.db.domain.ID
	var err error
	switch {
	case d.PublicationID != nil:
		err = l.one(ctx, l.publication, source, *d.PublicationID, domain)
	case d.RepositoryVersionID != nil:
		err = l.one(ctx, l.version, source, *d.RepositoryVersionID, domain, *d.RepositoryVersionID)
	case d.RepositoryID != nil:
		err = l.one(ctx, l.repository, source, *d.RepositoryID, domain, *d.RepositoryID)
	default:
		return nil, fmt.Errorf("models: distribution %q points to nothing: %w", d.Name, pulperr.NotFound)
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

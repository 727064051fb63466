package lookup

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Source is what a distribution serves at a moment: the files of a publication, or those of a repository version.
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
// Errors: NotFound if the distribution points to nothing, or to nothing that is complete.
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
		return nil, fmt.Errorf("content: distribution %q points to nothing: %w", d.Name, pulperr.NotFound)
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

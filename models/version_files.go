package models

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// VersionFile is one file of a repository version, as far as it is known: a file that is still at the remote has what
// the remote declared.
type VersionFile struct {
	ContentID         uuid.UUID  `bun:"content_id"`
	ContentArtifactID uuid.UUID  `bun:"content_artifact_id"`
	ArtifactID        *uuid.UUID `bun:"artifact_id"` // nil if the bytes are at the remote
	RelativePath      string     `bun:"relative_path"`
	Size              *int64     `bun:"size"` // bytes; nil if unknown
	hashlib.Digests              // allowed ones only
}

// firstRemoteSQL returns the key of the remote artifact that describes a file which is still at a remote: the oldest
// one of the content artifact ca.
func firstRemoteSQL() string {
	// Without unindexed, the planner would walk the primary key of all remote artifacts until one belongs to the file.
	// Rows of a deleted remote may still be there, see leftover.
	return `(SELECT x.pulp_id FROM core_remoteartifact AS x WHERE x.content_artifact_id = ca.pulp_id
  AND EXISTS (SELECT 1 FROM core_remote AS r WHERE r.pulp_id = x.remote_id)
  ORDER BY ` + unindexed("x.pulp_id") + ` LIMIT 1)`
}

// filesSQL returns the query for the files of one page of a version's members, with its repository, the last key of the
// page before, its number and the length of a page as arguments.
func filesSQL(kind sqldialect.Kind) string {
	// Every file is looked up by its key. With a plain join and statistics of an empty table, Postgres hashed all remote
	// artifacts for each page: seconds instead of milliseconds.
	return `SELECT p.content_id, ca.pulp_id AS content_artifact_id, ca.artifact_id, ca.relative_path,
  COALESCE(a.size, ra.size) AS size, COALESCE(a.md5, ra.md5) AS md5, COALESCE(a.sha1, ra.sha1) AS sha1,
  COALESCE(a.sha224, ra.sha224) AS sha224, COALESCE(a.sha256, ra.sha256) AS sha256,
  COALESCE(a.sha384, ra.sha384) AS sha384, COALESCE(a.sha512, ra.sha512) AS sha512
FROM (SELECT rc.content_id FROM core_repositorycontent AS rc
      WHERE rc.repository_id = ?0 AND rc.content_id > ?1 AND rc.version_added <= ?2
        AND (rc.version_removed IS NULL OR rc.version_removed > ?2)
      ORDER BY rc.content_id LIMIT ?3) AS p
` + kind.LeftJoinEach("core_contentartifact", "ca", "ca.content_id = p.content_id") + `
` + kind.LeftJoinEach("core_artifact", "a", "a.pulp_id = ca.artifact_id") + `
` + kind.LeftJoinEach("core_remoteartifact", "ra", "ca.artifact_id IS NULL AND ra.pulp_id = "+firstRemoteSQL()) + `
ORDER BY p.content_id, ca.relative_path`
}

// Files walks over all files of a complete version, those of one unit together, holding one page in memory. The error,
// if any, comes last.
func (v *RepositoryVersion) Files(ctx context.Context, db *DB) iter.Seq2[*VersionFile, error] {
	query := filesSQL(db.conn.Kind)
	return func(yield func(*VersionFile, error) bool) {
		var last uuid.UUID
		for {
			var rows []*VersionFile
			err := db.q.NewRaw(query, v.RepositoryID, last, v.Number, pageSize).Scan(ctx, &rows)
			if err != nil && !isNoRows(err) {
				yield(nil, rowError(err, "files of version", v.ID.String()))
				return
			}
			for _, f := range rows {
				// Plugins write the digests into metadata for clients.
				f.Digests = db.checksums.Filter(f.Digests)
				// A unit without files has a row too, by the outer join, so that its key can begin the next page.
				if f.ContentArtifactID != uuid.Nil && !yield(f, nil) {
					return
				}
			}
			// Only an empty page is the end. The limit counts units, a row is a file, and the two numbers differ.
			if len(rows) == 0 {
				return
			}
			last = rows[len(rows)-1].ContentID
		}
	}
}

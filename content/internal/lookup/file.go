package lookup

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// File is a file as the content app serves it: a content artifact, and its artifact if the bytes are here.
type File struct {
	ContentArtifactID uuid.UUID
	ArtifactID        *uuid.UUID // nil while the bytes are at a remote; then the rest is zero
	SHA256            string     // lowercase hex
	Size              int64      // bytes
	Stored            time.Time  // when the artifact was saved
}

// Expect returns the digest and the size of the bytes, as far as they are known.
func (f *File) Expect() *hashlib.Expect {
	if f.ArtifactID == nil {
		return &hashlib.Expect{}
	}
	return &hashlib.Expect{Digests: hashlib.SHA256Hex(f.SHA256), Size: hashlib.Size(f.Size)}
}

// servedRow is a File as the database returns it.
type servedRow struct {
	ContentArtifactID uuid.UUID  `bun:"content_artifact_id"`
	ArtifactID        *uuid.UUID `bun:"artifact_id"`
	SHA256            *string    `bun:"sha256"`
	Size              *int64     `bun:"size"`
	Stored            *time.Time `bun:"stored"`
}

func (r *servedRow) file() *File {
	f := &File{ContentArtifactID: r.ContentArtifactID, ArtifactID: r.ArtifactID}
	if r.ArtifactID != nil {
		f.SHA256, f.Size, f.Stored = *r.SHA256, *r.Size, r.Stored.UTC()
	}
	return f
}

const (
	servedColumns = `SELECT ca.pulp_id AS content_artifact_id, a.pulp_id AS artifact_id, a.sha256 AS sha256,
  a.size AS size, a.pulp_created AS stored `
	publishedFile = servedColumns + `FROM core_publishedartifact AS pa
JOIN core_contentartifact AS ca ON ca.pulp_id = pa.content_artifact_id
LEFT JOIN core_artifact AS a ON a.pulp_id = ca.artifact_id
WHERE pa.publication_id = ? AND pa.relative_path = ?`
)

// versionFile looks for the path among the members of a version: first the files with that path, then for each whether
// its unit is a member. Two units of one version can claim a path if their types allow it; the one made last is served.
// Its arguments are the repository, the number twice, and the path, and those of the condition and, which may be empty.
func versionFile(kind sqldialect.Kind, and string) string {
	return "SELECT * FROM (" + servedColumns + "FROM core_contentartifact AS ca " +
		kind.JoinEach("core_repositorycontent", "rc", `rc.content_id = ca.content_id AND rc.repository_id = ?
  AND rc.version_added <= ? AND (rc.version_removed IS NULL OR rc.version_removed > ?)`) + " " +
		kind.LeftJoinEach("core_artifact", "a", "a.pulp_id = ca.artifact_id") +
		" WHERE ca.relative_path = ?" + and + kind.Whole() + ") AS f ORDER BY f.content_artifact_id DESC LIMIT 1"
}

// passThroughFile looks in a publication, and in its version only if the publication has not the path. Its arguments
// are the publication and the path, those of versionFile, and the publication and the path.
func passThroughFile(kind sqldialect.Kind) string {
	return "SELECT * FROM (" + publishedFile + ") AS published\nUNION ALL SELECT * FROM (" + versionFile(kind, `
  AND NOT EXISTS (SELECT 1 FROM core_publishedartifact WHERE publication_id = ? AND relative_path = ?)`) + ") AS passed"
}

// File returns the file at a path of a source. It costs one statement.
//
// Errors: NotFound.
func (f *Finder) File(ctx context.Context, s *Source, path string) (*File, error) {
	var row servedRow
	var err error
	switch {
	case s.PublicationID == nil:
		err = f.one(ctx, f.versionFile, &row, s.RepositoryID, s.Number, s.Number, path)
	case s.PassThrough:
		err = f.one(ctx, f.passThrough, &row, *s.PublicationID, path, s.RepositoryID, s.Number, s.Number, path,
			*s.PublicationID, path)
	default:
		err = f.one(ctx, f.published, &row, *s.PublicationID, path)
	}
	if err != nil {
		return nil, rowError(err, "file", path)
	}
	return row.file(), nil
}

// FileByContentArtifact returns the file of a content artifact.
//
// Errors: NotFound.
func FileByContentArtifact(ctx context.Context, db *models.DB, contentArtifactID uuid.UUID) (*File, error) {
	var row servedRow
	err := db.Bun().NewRaw(servedColumns+`FROM core_contentartifact AS ca
JOIN core_content AS c ON c.pulp_id = ca.content_id
LEFT JOIN core_artifact AS a ON a.pulp_id = ca.artifact_id
WHERE ca.pulp_id = ? AND c.pulp_domain_id = ?`, contentArtifactID, db.Domain().ID).Scan(ctx, &row)
	if err != nil {
		return nil, rowError(err, "content artifact", contentArtifactID.String())
	}
	return row.file(), nil
}

// UnitOf returns the key and the type of the unit that a content artifact belongs to.
//
// Errors: NotFound.
func UnitOf(ctx context.Context, db *models.DB, contentArtifactID uuid.UUID) (uuid.UUID, string, error) {
	var row struct {
		ID   uuid.UUID `bun:"pulp_id"`
		Type string    `bun:"pulp_type"`
	}
	err := db.Bun().NewRaw(`SELECT c.pulp_id, c.pulp_type FROM core_contentartifact AS ca
JOIN core_content AS c ON c.pulp_id = ca.content_id
WHERE ca.pulp_id = ? AND c.pulp_domain_id = ?`, contentArtifactID, db.Domain().ID).Scan(ctx, &row)
	return row.ID, row.Type, rowError(err, "content artifact", contentArtifactID.String())
}

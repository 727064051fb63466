package lookup

import (
	"context"

	"github.com/pulpgo/pulpcore/models"
)

// ListPlanned is [Source.List] with a walk of the caller's choice.
func (s *Source) ListPlanned(ctx context.Context, db *models.DB, dir, after string, limit int, byPath bool, batch int,
) (*Listing, error) {
	plan := walkPlan{byPath: byPath, batch: batch}
	return listLevel(folderOf(dir), after, limit, batch, func(c cursor, n int) ([]pathRow, error) {
		return s.walk(ctx, db, plan, c, n)
	})
}

// Statements returns the queries for the source of a repository and for a file of a version. Their arguments are those
// of [Finder.Source] and [Finder.File].
func Statements(db *models.DB) (source, file string) {
	return sourceBy("repository_id", "repository_id"), versionFile(db.Conn().Kind, "")
}

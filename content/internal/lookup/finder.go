// Package lookup asks the database what a request to the content app needs: the distribution of a path, what it serves,
// the file at a path, the entries of a folder, and the remotes that have a file.
package lookup

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// Finder runs the queries of every request to the content app, as prepared statements. It is safe for concurrent use
// and caches no answers.
type Finder struct {
	db            *models.DB
	distributions []*sqldialect.Statement // by the number of base paths that they compare: 4, 8, 16, …
	publication   *sqldialect.Statement
	version       *sqldialect.Statement
	repository    *sqldialect.Statement
	published     *sqldialect.Statement
	passThrough   *sqldialect.Statement
	versionFile   *sqldialect.Statement
}

// New returns a finder in db's domain. db must not belong to a transaction. The caller closes the finder before the
// database.
func New(db *models.DB) *Finder {
	s := db.Conn().Statement
	f := &Finder{
		db:          db,
		publication: s(publicationSource),
		version:     s(sourceBy("repository_version_id", "pulp_id")),
		repository:  s(sourceBy("repository_id", "repository_id")),
		published:   s(publishedFile),
		passThrough: s(passThroughFile(db.Conn().Kind)),
		versionFile: s(versionFile(db.Conn().Kind, "")),
	}
	// A prepared statement has a fixed number of placeholders. Powers of two need few statements for all depths.
	for n := minBasePaths; n <= models.MaxBasePathSegments; n *= 2 {
		f.distributions = append(f.distributions, s(distributionByPath+"(?"+strings.Repeat(", ?", n-1)+")"+longestFirst))
	}
	return f
}

// Close closes the prepared statements. It may be called more than once.
func (f *Finder) Close() error {
	var faults []error
	sources := []*sqldialect.Statement{f.publication, f.version, f.repository}
	files := []*sqldialect.Statement{f.published, f.passThrough, f.versionFile}
	for _, s := range slices.Concat(f.distributions, sources, files) {
		faults = append(faults, s.Close())
	}
	return errors.Join(faults...)
}

// one scans the only row of a statement in dest, a pointer to a struct.
//
// Errors: sql.ErrNoRows.
func (f *Finder) one(ctx context.Context, s *sqldialect.Statement, dest any, args ...any) error {
	rows, err := s.Query(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := f.db.Conn().Bun.ScanRow(ctx, rows, dest); err != nil {
		return err
	}
	return rows.Close()
}

// rowError gives a database error its kind and names the row that it is about.
func rowError(err error, what, key string) error {
	return sqldialect.RowError("content", err, what, key)
}

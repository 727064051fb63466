package models

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// Lookup answers the questions that every request to the content app asks, as fast as the database can: which
// distribution, what does it serve, where is the file. It is safe for concurrent use and caches no answers.
type Lookup struct {
	db            *DB
	distributions []*sqldialect.Statement // by how many base paths they ask for: 4, 8, 16, …
	publication   *sqldialect.Statement
	version       *sqldialect.Statement
	repository    *sqldialect.Statement
	published     *sqldialect.Statement
	passThrough   *sqldialect.Statement
	versionFile   *sqldialect.Statement
}

// NewLookup returns a lookup in db's domain. db must not belong to a transaction. The caller closes the lookup before
// the database.
func NewLookup(db *DB) *Lookup {
	s := db.conn.Statement
	l := &Lookup{
		db:          db,
		publication: s(publicationSource),
		version:     s(sourceBy("repository_version_id", "pulp_id")),
		repository:  s(sourceBy("repository_id", "repository_id")),
		published:   s(publishedFile),
		passThrough: s(passThroughFile(db.conn.Kind)),
		versionFile: s(versionFile(db.conn.Kind, "")),
	}
	for n := minBasePaths; n <= maxDepth; n *= 2 {
		l.distributions = append(l.distributions, s(distributionByPath+"(?"+strings.Repeat(", ?", n-1)+")"+longestFirst))
	}
	return l
}

// Close frees what the lookup keeps in the database. It may be called more than once.
func (l *Lookup) Close() error {
	var faults []error
	sources := []*sqldialect.Statement{l.publication, l.version, l.repository}
	files := []*sqldialect.Statement{l.published, l.passThrough, l.versionFile}
	for _, s := range slices.Concat(l.distributions, sources, files) {
		faults = append(faults, s.Close())
	}
	return errors.Join(faults...)
}

// one scans the only row of a statement in dest, a pointer to a struct.
//
// Errors: sql.ErrNoRows.
func (l *Lookup) one(ctx context.Context, s *sqldialect.Statement, dest any, args ...any) error {
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
	if err := l.db.conn.Bun.ScanRow(ctx, rows, dest); err != nil {
		return err
	}
	return rows.Close()
}

package models

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/hashlib"
)

// ChecksumReport compares the digests in the database, of all domains, with the allowed checksums.
type ChecksumReport struct {
	Artifacts    int64 // all artifacts
	Lacking      int64 // artifacts that lack an allowed digest
	LackingBytes int64 // their size in bytes: what FixChecksums reads
	Forbidden    int64 // artifacts that have a digest which is not allowed

	// Algorithms has the six algorithms, strongest first.
	Algorithms []ChecksumCount

	// Unverifiable are the sources of files that are only at a remote, with digests of which none is allowed. Such a file
	// cannot be fetched from there until a sync finds an allowed digest in the remote's metadata. Open does not refuse
	// them, and FixChecksums cannot help.
	Unverifiable int64
}

// ChecksumCount is how many artifacts do not agree with the allowed checksums in one algorithm.
type ChecksumCount struct {
	Algorithm hashlib.Algorithm
	Allowed   bool
	Artifacts int64 // that lack the digest if it is allowed, that have it if not
}

// OK reports whether all artifacts have the allowed digests and no others.
func (r *ChecksumReport) OK() bool { return r.Lacking == 0 && r.Forbidden == 0 }

// String returns what is wrong with artifacts, as in "12 of 40 artifacts lack sha512, 3 have md5", or "" if nothing is.
func (r *ChecksumReport) String() string {
	var parts []string
	for _, c := range r.Algorithms {
		switch {
		case c.Artifacts == 0:
		case c.Allowed:
			parts = append(parts, fmt.Sprintf("%d lack %s", c.Artifacts, c.Algorithm))
		default:
			parts = append(parts, fmt.Sprintf("%d have %s", c.Artifacts, c.Algorithm))
		}
	}
	if parts == nil {
		return ""
	}
	return fmt.Sprintf("of %d artifacts %s", r.Artifacts, strings.Join(parts, ", "))
}

// ReportChecksums compares the digests in the database with [DB.Checksums]. It reads all artifacts and all sources of
// files at remotes once, and no bytes from the store.
func ReportChecksums(ctx context.Context, db *DB) (*ChecksumReport, error) {
	r, err := reportArtifacts(ctx, db)
	if err != nil {
		return nil, err
	}
	p := checksumPolicy{db}
	some, none := []string{}, []string{}
	for _, a := range hashlib.Known() {
		some = append(some, "ra."+string(a)+" IS NOT NULL")
		if db.checksums.Allowed(a) {
			none = append(none, "ra."+string(a)+" IS NULL")
		}
	}
	n, err := p.db.Bun().NewSelect().TableExpr("core_remoteartifact AS ra").
		Join("JOIN core_contentartifact AS ca ON ca.pulp_id = ra.content_artifact_id").Where("ca.artifact_id IS NULL").
		// Rows of a deleted remote may still be there, see leftover.
		Where("EXISTS (SELECT 1 FROM core_remote AS r WHERE r.pulp_id = ra.remote_id)").
		Where("(" + strings.Join(some, " OR ") + ")").Where(strings.Join(none, " AND ")).Count(ctx)
	r.Unverifiable = int64(n)
	return r, rowError(err, "remote artifact", "digests")
}

// reportArtifacts counts artifacts in one statement.
func reportArtifacts(ctx context.Context, db *DB) (*ChecksumReport, error) {
	p := checksumPolicy{db}
	sel := db.Bun().NewSelect().TableExpr("core_artifact AS a").ColumnExpr("COUNT(*)").
		ColumnExpr("COALESCE(SUM(CASE WHEN ? THEN 1 ELSE 0 END), 0)", p.lacking()).
		// Postgres sums up big integers as numeric.
		ColumnExpr("CAST(COALESCE(SUM(CASE WHEN ? THEN size ELSE 0 END), 0) AS BIGINT)", p.lacking()).
		ColumnExpr("COALESCE(SUM(CASE WHEN ? THEN 1 ELSE 0 END), 0)", p.forbidden())
	r := &ChecksumReport{}
	dest := []any{&r.Artifacts, &r.Lacking, &r.LackingBytes, &r.Forbidden}
	for _, a := range hashlib.Known() {
		r.Algorithms = append(r.Algorithms, ChecksumCount{Algorithm: a, Allowed: db.checksums.Allowed(a)})
		sel = sel.ColumnExpr("COALESCE(SUM(CASE WHEN ? THEN 1 ELSE 0 END), 0)", p.wrong(a))
	}
	for i := range r.Algorithms {
		dest = append(dest, &r.Algorithms[i].Artifacts)
	}
	return r, rowError(sel.Scan(ctx, dest...), "artifact", "digests")
}

// checksumPolicy makes conditions on the artifacts a of what the allowed checksums ask for.
type checksumPolicy struct{ db *DB }

// wrong is the condition that an artifact lacks an allowed digest, or has one that is not allowed.
func (p checksumPolicy) wrong(a hashlib.Algorithm) bun.Safe {
	if p.db.Checksums().Allowed(a) {
		return bun.Safe("a." + string(a) + " IS NULL")
	}
	return bun.Safe("a." + string(a) + " IS NOT NULL")
}

// lacking is the condition that an artifact lacks an allowed digest.
func (p checksumPolicy) lacking() bun.Safe { return p.any(true) }

// forbidden is the condition that an artifact has a digest which is not allowed.
func (p checksumPolicy) forbidden() bun.Safe { return p.any(false) }

func (p checksumPolicy) any(allowed bool) bun.Safe {
	var list []string
	for _, a := range hashlib.Known() {
		if p.db.Checksums().Allowed(a) == allowed {
			list = append(list, string(p.wrong(a)))
		}
	}
	if list == nil {
		return "FALSE" // all six are allowed
	}
	return bun.Safe("(" + strings.Join(list, " OR ") + ")")
}

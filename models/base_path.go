package models

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// MaxBasePathSegments is how many segments a base path has at most. It bounds the number of base paths that a client's
// path is compared with.
const MaxBasePathSegments = 128

// OverlappingDistribution returns the name of a distribution of the domain whose base path lies above or below that of
// d; "" if there is none. Saving d checks it again, in the same transaction.
func OverlappingDistribution(ctx context.Context, db *DB, d *Distribution) (string, error) {
	return basePaths{db}.overlapping(ctx, d)
}

// basePaths keeps the base paths of a domain apart. A request below two of them would be answered by one distribution,
// perhaps by the one without a content guard.
type basePaths struct{ db *DB }

func (b basePaths) overlapping(ctx context.Context, d *Distribution) (string, error) {
	var names []string
	below := d.BasePath + "/"
	// SUBSTR and not LIKE: paths may contain % and _, and LIKE of SQLite ignores the case of letters.
	err := b.db.Bun().NewSelect().TableExpr("core_distribution").Column("name").
		Where("pulp_domain_id = ?", b.db.Domain().ID).Where("pulp_id <> ?", d.ID).
		Where("(base_path IN (?) OR SUBSTR(base_path, 1, LENGTH(?)) = ?)", bun.List(folders(d.BasePath)), below, below).
		OrderExpr("name").Limit(1).Scan(ctx, &names)
	if err != nil && !isNoRows(err) {
		return "", fmt.Errorf("models: distributions beside %q: %w", d.BasePath, err)
	}
	if len(names) == 0 {
		return "", nil
	}
	return names[0], nil
}

// claim fails if the base path of d overlaps with another one. It belongs to a transaction.
func (b basePaths) claim(ctx context.Context, d *Distribution) error {
	if n := strings.Count(d.BasePath, "/") + 1; n > MaxBasePathSegments {
		return pulperr.Field("base_path", "has %d segments; at most %d are served", n, MaxBasePathSegments)
	}
	// Transactions that set base paths in a domain run one after the other. Without the lock, two of them could both find
	// that no path overlaps.
	_, err := b.db.Bun().NewRaw("SELECT 1 FROM core_domain WHERE pulp_id = ? ?", b.db.Domain().ID,
		b.db.Conn().Kind.ForNoKeyUpdate()).Exec(ctx)
	if err != nil {
		return rowError(err, "domain", b.db.Domain().Name)
	}
	name, err := b.overlapping(ctx, d)
	if err != nil || name == "" {
		return err
	}
	return pulperr.Field("base_path", "Overlaps with existing distribution '%s'", name)
}

// folders returns the folders above a path, shortest first.
func folders(path string) []string {
	var out []string
	for i := range len(path) {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	return out
}

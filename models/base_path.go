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

// OverlappingDistribution returns the name of a distribution of the domain, whose base path lies above or below that
// of d; "" if there is none. Saving d asks again, in the same transaction.
func OverlappingDistribution(ctx context.Context, db *DB, d *Distribution) (string, error) {
	var names []string
	below := d.BasePath + "/"
	err := db.q.NewSelect().TableExpr("core_distribution").Column("name").
		Where("pulp_domain_id = ?", db.domain.ID).Where("pulp_id <> ?", d.ID).
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

// claimBasePath refuses a base path that overlaps with another one. A request below both would be answered by one of
// them, perhaps by the one without a content guard. Transactions that set base paths in a domain run one after the
// other, so that two of them cannot both find the place free.
func (tx *Tx) claimBasePath(ctx context.Context, d *Distribution) error {
	if n := strings.Count(d.BasePath, "/") + 1; n > MaxBasePathSegments {
		return pulperr.Field("base_path", "has %d segments; at most %d are served", n, MaxBasePathSegments)
	}
	_, err := tx.q.NewRaw("SELECT 1 FROM core_domain WHERE pulp_id = ? ?", tx.domain.ID, tx.conn.Kind.ForNoKeyUpdate()).
		Exec(ctx)
	if err != nil {
		return rowError(err, "domain", tx.domain.Name)
	}
	name, err := OverlappingDistribution(ctx, tx.DB, d)
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

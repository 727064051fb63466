package lookup

import (
	"context"
	"fmt"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Match is the distribution that serves a path.
type Match struct {
	Distribution models.AnyDistribution
	guardType    string // "" without a content guard
}

const (
	minBasePaths       = 4
	distributionByPath = `SELECT m.*, g.pulp_type AS guard_type FROM core_distribution AS m
LEFT JOIN core_contentguard AS g ON g.pulp_id = m.content_guard_id
WHERE m.pulp_domain_id = ? AND m.base_path IN `
	// No base path contains another one, unless another program wrote the rows. Then the longest counts.
	longestFirst = ` ORDER BY LENGTH(m.base_path) DESC LIMIT 1`
)

// Distribution returns the distribution whose base path is path or one of its parent folders. Base paths do not
// contain each other; the longest counts. The path has no slash at either end. It costs one statement, and a
// second one if the distribution's type has columns of its own.
//
// Errors: NotFound, also if the distribution's plugin is not part of this App.
func (f *Finder) Distribution(ctx context.Context, path string) (*Match, error) {
	var row struct {
		models.Distribution
		GuardType *string `bun:"guard_type"`
	}
	args, i := []any{f.db.Domain().ID}, 0
	for _, p := range parents(path) {
		args = append(args, p)
	}
	for n := minBasePaths; len(args)-1 > n; n *= 2 {
		i++
	}
	for len(args)-1 < minBasePaths<<i {
		args = append(args, path)
	}
	if err := f.one(ctx, f.distributions[i], &row, args...); err != nil {
		return nil, rowError(err, "distribution of path", path)
	}
	d, err := f.derive(ctx, &row.Distribution)
	if err != nil {
		return nil, fmt.Errorf("content: distribution %q: %w", row.Name, err)
	}
	match := &Match{Distribution: d}
	if row.GuardType != nil {
		match.guardType = *row.GuardType
	}
	return match, nil
}

// derive returns a distribution in its most derived form.
func (f *Finder) derive(ctx context.Context, d *models.Distribution) (models.AnyDistribution, error) {
	if f.db.Registry().HasColumns(models.DistributionMaster, d.Type) {
		row, err := models.Load(ctx, f.db, models.DistributionMaster, d.Type, d.ID)
		if err != nil {
			return nil, err
		}
		return row.(models.AnyDistribution), nil
	}
	row, ok := f.db.Registry().Lookup(models.DistributionMaster, d.Type)
	if !ok {
		return nil, fmt.Errorf("type %q belongs to no plugin of this App: %w", d.Type, pulperr.NotFound)
	}
	derived := row.(models.AnyDistribution)
	*derived.AsDistribution() = *d // the type has no columns of its own, so that the row is complete
	return derived, nil
}

// Guard returns the content guard of the distribution, or nil if there is none.
//
// Errors: NotFound if the guard's plugin is not part of this App; the caller must deny the request then.
func (m *Match) Guard(ctx context.Context, db *models.DB) (models.AnyContentGuard, error) {
	id := m.Distribution.AsDistribution().ContentGuardID
	if id == nil {
		return nil, nil
	}
	row, err := models.Load(ctx, db, models.ContentGuardMaster, m.guardType, *id)
	if err != nil {
		return nil, err
	}
	return row.(models.AnyContentGuard), nil
}

// parents returns path and its parent folders, shortest first, at most models.MaxBasePathSegments.
func parents(path string) []string {
	var out []string
	for i := 0; i < len(path) && len(out) < models.MaxBasePathSegments; i++ {
		if path[i] == '/' {
			out = append(out, path[:i])
		}
	}
	if len(out) < models.MaxBasePathSegments {
		out = append(out, path)
	}
	return out
}

// DistributionsBelow lists one level of the tree of base paths: what follows folder, which is empty or ends with a
// slash. Hidden distributions are left out, and with unguarded those with a content guard too. A base path that ends
// on this level is a file of the listing, whose Name has no slash.
func DistributionsBelow(ctx context.Context, db *models.DB, folder, after string, limit int, unguarded bool,
) (*Listing, error) {
	order := db.Conn().Kind.ByteOrder()
	return listLevel(folder, after, limit, 256, func(c cursor, n int) ([]pathRow, error) {
		var rows []pathRow
		q := db.Bun().NewSelect().TableExpr("core_distribution AS m").ColumnExpr("m.base_path AS path").
			Where("m.pulp_domain_id = ?", db.Domain().ID).Where("NOT m.hidden")
		if unguarded {
			q = q.Where("m.content_guard_id IS NULL")
		}
		err := c.where(q, "m.base_path", order).OrderExpr("m.base_path?", order).Limit(int64(n)).Scan(ctx, &rows)
		return rows, rowError(err, "distributions below", folder)
	})
}

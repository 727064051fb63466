package models

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// TypeCount is how many units of one content type a version added and removed compared with its predecessor, and how
// many it has.
type TypeCount struct {
	Added, Removed, Present int64
}

// versionCount is a row of the counts that are kept with every complete version.
type versionCount struct {
	bun.BaseModel `bun:"table:core_repositoryversioncount"`

	VersionID uuid.UUID `bun:"version_id,pk"`
	Type      string    `bun:"pulp_type,pk"`
	Added     int64     `bun:"added"`
	Removed   int64     `bun:"removed"`
	Present   int64     `bun:"present"`
}

// Counts returns the counts of a complete version by content type. Types without units and changes are left out.
func (v *RepositoryVersion) Counts(ctx context.Context, db *DB) (map[string]TypeCount, error) {
	var rows []versionCount
	// uncount leaves rows of which all counts are 0.
	err := db.q.NewSelect().Model(&rows).Where("version_id = ?", v.ID).
		Where("added <> 0 OR removed <> 0 OR present <> 0").Scan(ctx)
	if err != nil {
		return nil, rowError(err, "counts of version", v.ID.String())
	}
	counts := make(map[string]TypeCount, len(rows))
	for _, r := range rows {
		counts[r.Type] = TypeCount{r.Added, r.Removed, r.Present}
	}
	return counts, nil
}

// versionCounter counts the units of versions by content type.
type versionCounter struct{ db *DB }

// count returns the counts of a version that is about to become the latest complete one. They follow from its
// predecessor's, so the cost depends on what changed.
func (c versionCounter) count(ctx context.Context, v *RepositoryVersion) (map[string]TypeCount, error) {
	counts := map[string]TypeCount{}
	before := new(RepositoryVersion)
	err := c.db.Bun().NewSelect().Model(before).Where("repository_id = ?", v.RepositoryID).Where("complete").
		OrderExpr("number DESC").Limit(1).Scan(ctx)
	if err == nil {
		counts, err = before.Counts(ctx, c.db)
	}
	if err != nil && !isNoRows(err) {
		return nil, rowError(err, "versions of repository", v.RepositoryID.String())
	}
	for name, n := range counts {
		counts[name] = TypeCount{Present: n.Present}
	}
	changes, err := c.changesByType(ctx, v.RepositoryID, before.Number, v.Number)
	if err != nil {
		return nil, err
	}
	for name, n := range changes {
		n.Present = counts[name].Present + n.Added - n.Removed
		counts[name] = n
	}
	return counts, nil
}

// changesByType counts what differs between a version and the complete one before it.
func (c versionCounter) changesByType(ctx context.Context, repositoryID uuid.UUID, before, number int) (
	map[string]TypeCount, error,
) {
	changes := map[string]TypeCount{}
	for column, count := range map[string]func(t *TypeCount, n int64){
		"version_added":   func(t *TypeCount, n int64) { t.Added = n },
		"version_removed": func(t *TypeCount, n int64) { t.Removed = n },
	} {
		// The last comparison is always true; for version_added it is that of useAddedIndex.
		rows, err := c.countByType(ctx, repositoryID, "?0 > ?1 AND ?0 <= ?2 AND ?0 >= 0", bun.Ident(column), before, number)
		if err != nil {
			return nil, err
		}
		for name, n := range rows {
			change := changes[name]
			count(&change, n)
			changes[name] = change
		}
	}
	return changes, nil
}

// countByType counts memberships for which a condition on rc holds.
func (c versionCounter) countByType(ctx context.Context, repositoryID uuid.UUID, cond string, args ...any) (
	map[string]int64, error,
) {
	var rows []struct {
		Type string `bun:"pulp_type"`
		N    int64  `bun:"n"`
	}
	err := c.db.Bun().NewSelect().TableExpr("core_repositorycontent AS rc").
		Join("JOIN core_content AS c ON c.pulp_id = rc.content_id").ColumnExpr("c.pulp_type, COUNT(*) AS n").
		Where("rc.repository_id = ?", repositoryID).Where(cond, args...).GroupExpr("c.pulp_type").Scan(ctx, &rows)
	if err != nil {
		return nil, rowError(err, "content of repository", repositoryID.String())
	}
	counts := make(map[string]int64, len(rows))
	for _, r := range rows {
		counts[r.Type] = r.N
	}
	return counts, nil
}

// write replaces the counts of a version.
func (c versionCounter) write(ctx context.Context, versionID uuid.UUID, counts map[string]TypeCount) error {
	// All rows are replaced: an update would leave the rows of types that have no counts any more.
	_, err := c.db.Bun().NewDelete().Model((*versionCount)(nil)).Where("version_id = ?", versionID).Exec(ctx)
	if err != nil {
		return rowError(err, "counts of version", versionID.String())
	}
	var rows []versionCount
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[name]; n != (TypeCount{}) {
			rows = append(rows, versionCount{
				VersionID: versionID, Type: name, Added: n.Added, Removed: n.Removed, Present: n.Present,
			})
		}
	}
	if rows == nil {
		return nil
	}
	_, err = c.db.Bun().NewInsert().Model(&rows).Exec(ctx)
	return rowError(err, "counts of version", versionID.String())
}

// fold adds the changes of a version that is going to be deleted to those of its successor, if there is one.
func (c versionCounter) fold(ctx context.Context, v *RepositoryVersion) error {
	g, err := newGap(ctx, c.db, v)
	if errors.Is(err, pulperr.NotFound) { // it is the latest: its changes are undone
		return nil
	}
	if err != nil {
		return err
	}
	counts, err := (&RepositoryVersion{Base: Base{ID: g.nextID}}).Counts(ctx, c.db)
	if err != nil {
		return err
	}
	mine, err := v.Counts(ctx, c.db)
	if err != nil {
		return err
	}
	for name, m := range mine {
		n := counts[name]
		n.Added += m.Added
		n.Removed += m.Removed
		counts[name] = n
	}
	return c.write(ctx, g.nextID, counts)
}

// uncount takes units whose coming and going cancel each other out from both counts of a version.
func (c versionCounter) uncount(ctx context.Context, versionID uuid.UUID, units []gapUnit) error {
	byType := map[string]int64{}
	for _, u := range units {
		byType[u.Type]++
	}
	for _, name := range slices.Sorted(maps.Keys(byType)) {
		_, err := c.db.Bun().NewUpdate().Model((*versionCount)(nil)).Set("added = added - ?", byType[name]).
			Set("removed = removed - ?", byType[name]).Where("version_id = ?", versionID).
			Where("pulp_type = ?", name).Exec(ctx)
		if err != nil {
			return rowError(err, "counts of version", versionID.String())
		}
	}
	return nil
}

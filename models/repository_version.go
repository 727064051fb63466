package models

import (
	"context"
)

// createVersionZero gives a new repository its empty, complete version 0.
func (db *DB) createVersionZero(ctx context.Context, repo *Repository) error {
	v := &RepositoryVersion{RepositoryID: repo.ID, Complete: true, Info: map[string]any{}}
	v.stamp(Now())
	if _, err := db.q.NewInsert().Model(v).Exec(ctx); err != nil {
		return rowError(err, "version 0 of repository", repo.Name)
	}
	repo.NextVersion = 1
	_, err := db.q.NewUpdate().Model((*RepositoryVersion)(nil)).ModelTableExpr("core_repository AS r").
		Set("next_version = 1").Where("pulp_id = ?", repo.ID).Exec(ctx)
	return rowError(err, "repository", repo.Name)
}

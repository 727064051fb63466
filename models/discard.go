package models

import (
	"context"
	"strings"

	"github.com/google/uuid"
)

// DiscardIncomplete removes what a task left unfinished, a repository version or a publication, given its PRN. What is
// complete, gone, or of another kind stays as it is.
//
// Errors: Invalid if prn is no PRN; Locked if somebody else works on it.
func DiscardIncomplete(ctx context.Context, db *DB, prn string) error {
	p, err := ParsePRN(prn)
	if err != nil {
		return err
	}
	switch {
	case p.Plugin == "core" && p.Model == "repositoryversion":
		return db.discardVersion(ctx, p)
	case strings.HasSuffix(p.Model, string(PublicationMaster)):
		return DiscardPublication(ctx, db, p.ID)
	}
	return nil
}

func (db *DB) discardVersion(ctx context.Context, p PRN) error {
	var found struct {
		RepositoryID uuid.UUID  `bun:"repository_id"`
		TaskID       *uuid.UUID `bun:"lease_task_id"`
	}
	err := db.q.NewSelect().TableExpr("core_repositoryversion").Column("repository_id", "lease_task_id").
		Where("pulp_id = ?", p.ID).Where("NOT complete").Scan(ctx, &found)
	if isNoRows(err) {
		return nil
	}
	if err != nil {
		return rowError(err, "repository version", p.ID.String())
	}
	if found.TaskID != nil { // its own task does not stand in the way
		db = db.ForTask(&TaskScope{TaskID: *found.TaskID})
	}
	return RepairVersions(ctx, db, found.RepositoryID)
}

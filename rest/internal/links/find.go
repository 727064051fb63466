package links

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// Batch is the largest number of keys in one statement.
const Batch = 1000

// Resolve returns the key of the row that an href or a PRN names, which must be of a kind and exist in the domain. The
// reasons why it is refused are for the client.
func (l *Links) Resolve(ctx context.Context, db *models.DB, kind, text string) (uuid.UUID, []string, error) {
	t, ok := l.Parse(text)
	if !ok {
		// Answers name a row whose type is not served by its PRN. A client that sends back what it has read keeps the
		// reference.
		t, ok = parseBarePRN(db.Registry(), text)
	}
	switch {
	case !ok:
		return uuid.Nil, []string{"Invalid hyperlink - No URL match."}, nil
	case t.Kind != kind:
		return uuid.Nil, []string{"Invalid hyperlink - Incorrect URL match."}, nil
	}
	found, err := l.Find(ctx, db, t)
	if err != nil {
		return uuid.Nil, nil, err
	}
	id, ok := found[t]
	if !ok {
		return uuid.Nil, []string{"Invalid hyperlink - Object does not exist."}, nil
	}
	return id, nil, nil
}

// Found has the keys of the rows that exist.
type Found map[Target]uuid.UUID

// Find returns the keys of the targets that exist in the domain, with one statement per table and [Batch] of them.
func (l *Links) Find(ctx context.Context, db *models.DB, targets ...Target) (Found, error) {
	found := make(Found, len(targets))
	// Targets of one table differ only in their keys.
	byTable := map[Target][]Target{} // by a target without what differs within a table
	for _, t := range targets {
		table := Target{Kind: t.Kind, Type: t.Type, bare: t.bare, number: min(t.number, 0)}
		byTable[table] = append(byTable[table], t)
	}
	for table, group := range byTable {
		find, batch := l.findRows, Batch
		if table.Kind == Version && table.number == 0 {
			find, batch = findNumbers, Batch/10 // it reads the product of repositories and numbers
		}
		for chunk := range slices.Chunk(group, batch) {
			if err := find(ctx, db, table, chunk, found); err != nil {
				return nil, fmt.Errorf("rest: look up %s: %w", table.Kind, err)
			}
		}
	}
	return found, nil
}

// findRows adds the rows of a table that exist to found.
func (l *Links) findRows(ctx context.Context, db *models.DB, table Target, targets []Target, found Found) error {
	ids := make([]uuid.UUID, len(targets))
	for i, t := range targets {
		ids[i] = t.ID
	}
	kind := l.kinds[table.Kind]
	q := db.Bun().NewSelect().TableExpr("? AS x", bun.Ident(kind.Table)).ColumnExpr("x.pulp_id").
		Where("x.pulp_id IN (?)", bun.List(ids))
	switch {
	// A version that is not complete is being made, or was left behind by a task that failed.
	case table.Kind == Version:
		q = q.Where("x.complete").Join("JOIN core_repository AS r ON r.pulp_id = x.repository_id").
			Where("r.pulp_domain_id = ?", db.Domain().ID)
	// A row of another domain counts as missing, so its existence is not revealed.
	case kind.Domain:
		q = q.Where("x.pulp_domain_id = ?", db.Domain().ID)
	}
	switch {
	case table.Kind == Version:
	case table.Type != nil:
		q = q.Where("x.pulp_type = ?", table.Type.Name())
	case table.bare != nil:
		q = q.Where("x.pulp_type = ?", table.bare.Name())
	}
	var there []uuid.UUID
	if err := q.Scan(ctx, &there); err != nil {
		return err
	}
	exists := make(map[uuid.UUID]bool, len(there))
	for _, id := range there {
		exists[id] = true
	}
	for _, t := range targets {
		if exists[t.ID] {
			found[t] = t.ID
		}
	}
	return nil
}

// findNumbers adds the complete versions to found that hrefs name by repository and number.
func findNumbers(ctx context.Context, db *models.DB, table Target, targets []Target, found Found) error {
	repositories, numbers := make([]uuid.UUID, len(targets)), make([]int, len(targets))
	wanted := make(map[Target]bool, len(targets))
	for i, t := range targets {
		repositories[i], numbers[i], wanted[t] = t.ID, t.number, true
	}
	var rows []place
	err := db.Bun().NewSelect().TableExpr("core_repositoryversion AS rv").
		ColumnExpr("rv.pulp_id, rv.number, rv.repository_id").
		Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").Where("r.pulp_domain_id = ?", db.Domain().ID).
		Where("r.pulp_type = ?", table.Type.Name()).Where("rv.complete").
		Where("rv.repository_id IN (?)", bun.List(repositories)).Where("rv.number IN (?)", bun.List(numbers)).
		Scan(ctx, &rows)
	if err != nil {
		return err
	}
	for _, row := range rows {
		// The statement also finds the repository of one href with the number of another.
		if t := OfVersion(table.Type, row.Repository, row.Number); wanted[t] {
			found[t] = row.ID
		}
	}
	return nil
}

// FindVersion returns a complete repository version of the domain, or nil if there is none.
func FindVersion(ctx context.Context, db *models.DB, t Target) (*models.RepositoryVersion, error) {
	v := new(models.RepositoryVersion)
	q := db.Bun().NewSelect().Model(v).Join("JOIN core_repository AS r ON r.pulp_id = rv.repository_id").
		Where("r.pulp_domain_id = ?", db.Domain().ID).Where("rv.complete")
	if t.number >= 0 {
		q = q.Where("rv.repository_id = ?", t.ID).Where("rv.number = ?", t.number).
			Where("r.pulp_type = ?", t.Type.Name())
	} else {
		q = q.Where("rv.pulp_id = ?", t.ID)
	}
	err := q.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rest: look up repository version: %w", err)
	}
	return v, nil
}

// PRN returns the PRN of the row that a target names. A version that does not exist has the zero key.
func (l *Links) PRN(ctx context.Context, db *models.DB, t Target) (string, error) {
	switch {
	case t.Kind == Version:
		found, err := l.Find(ctx, db, t)
		return models.CorePRN(Version, found[t]), err
	case t.Type == nil:
		return models.CorePRN(t.Kind, t.ID), nil
	}
	return models.TypedPRN(t.Type.Master(), t.Type.Name(), t.ID), nil
}

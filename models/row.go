package models

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Validator is implemented by rows that check themselves before they are saved, by the API, by a sync or by a plugin.
type Validator interface {
	// Validate returns nil, or an error of kind Invalid, preferably made with pulperr.Field.
	Validate() error
}

// Create inserts a row of any type; see [Type.Create].
//
// Errors: Exists; Invalid, also for a distribution whose base path overlaps with another one.
func Create(ctx context.Context, db *DB, row Row) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	t := table{s, db}
	if err := t.prepare(row, Now()); err != nil {
		return err
	}
	if r, ok := row.(AnyRepository); ok {
		r.AsRepository().NextVersion = 1 // it is inserted with version 0
	}
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if d, ok := row.(AnyDistribution); ok {
			if err := (basePaths{tx.DB}).claim(ctx, d.AsDistribution()); err != nil {
				return err
			}
		}
		if err := t.in(tx).insert(ctx, row); err != nil {
			return err
		}
		switch row := row.(type) {
		case AnyRepository:
			return createVersionZero(ctx, tx, row.AsRepository())
		case AnyPublication:
			return placePublication(ctx, tx, row.PulpID())
		}
		return nil
	})
}

// Update writes columns of a row of any type; see [Type.Update].
//
// Errors: NotFound, Exists; Invalid as for [Create], without a column, for an unknown one, and for a key.
func Update(ctx context.Context, db *DB, row Row, columns ...string) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	t := table{s, db}
	master, own, err := t.split(columns)
	if err != nil {
		return err
	}
	if err := t.check(row); err != nil {
		return err
	}
	row.base().Updated = Now()
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		// Other updates do not need the lock on the domain, which claim takes.
		if d, ok := row.(AnyDistribution); ok && slices.Contains(master, "base_path") {
			if err := (basePaths{tx.DB}).claim(ctx, d.AsDistribution()); err != nil {
				return err
			}
		}
		t := t.in(tx)
		if err := t.updateColumns(ctx, t.master.Table(), row, master); err != nil || own == nil {
			return err
		}
		return t.updateColumns(ctx, t.own, row, own)
	})
}

// Delete removes a row of any type: a repository with its versions and memberships, a remote with its remote artifacts,
// a publication with its files. The row disappears at once and the rest in batches. The time that takes grows with the
// rest, so call it in a task.
//
// Errors: NotFound; Conflict if a row that must not disappear refers to it; Locked for a repository that is being
// changed.
func Delete(ctx context.Context, db *DB, row Row) error {
	s, err := db.registry.of(row)
	if err != nil {
		return err
	}
	return deleteWhole(ctx, table{s, db}, row.PulpID())
}

func deleteWhole(ctx context.Context, t table, id uuid.UUID) error {
	switch t.master {
	case RepositoryMaster:
		return repositoryRemover{t, id}.remove(ctx)
	case RemoteMaster, PublicationMaster:
		return ownerRemover{t, id}.remove(ctx)
	default:
		// Few rows belong to a row of another master, so the cascades of the database can delete them in one transaction.
		return t.db.Tx(ctx, func(ctx context.Context, tx *Tx) error { return t.in(tx).deleteRow(ctx, id) })
	}
}

// Cast returns the row of a master in its most derived form, as its plugin defined it.
//
// Errors: NotFound, also if its plugin is not part of this App.
func Cast(ctx context.Context, db *DB, m Master, id uuid.UUID) (Row, error) {
	var pulpType string
	err := db.q.NewSelect().TableExpr("?", bun.Ident(m.Table())).Column("pulp_type").
		Where("pulp_id = ?", id).Where("pulp_domain_id = ?", db.domain.ID).Scan(ctx, &pulpType)
	if err != nil {
		return nil, rowError(err, string(m), id.String())
	}
	return Load(ctx, db, m, pulpType, id)
}

// Load is [Cast] for a row whose pulp_type is known, which saves a statement.
//
// Errors: NotFound, also if its plugin is not part of this App.
func Load(ctx context.Context, db *DB, m Master, pulpType string, id uuid.UUID) (Row, error) {
	s := db.registry.byType[m][pulpType]
	if s == nil {
		return nil, fmt.Errorf("models: %s type %q belongs to no plugin of this App: %w", m, pulpType, pulperr.NotFound)
	}
	return table{s, db}.get(ctx, id)
}

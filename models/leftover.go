package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

// leftover names a remote or a publication whose row is gone while rows that belonged to it are still there. Millions
// can belong to one, so they have no foreign key to it whose cascade would delete them in one transaction. The row goes
// first, which hides all of them, and they follow in batches. Whoever inserts such rows holds the owner's row in the
// same transaction, so that none comes after it.
type leftover struct {
	bun.BaseModel `bun:"table:core_leftover"`

	ID     uuid.UUID `bun:"pulp_id,pk"`
	Master Master    `bun:"master"`
}

// leftoverBatch is how many rows of a leftover go in one transaction.
const leftoverBatch = 1000

// statements returns what deletes a batch of the rows that belonged to the leftover, with its key and the limit as
// arguments; in this order, each until it deletes less than the limit.
func (o *leftover) statements() []string {
	switch o.Master {
	case RemoteMaster:
		return []string{`DELETE FROM core_remoteartifact WHERE pulp_id IN (
			SELECT ra.pulp_id FROM core_remoteartifact AS ra WHERE ra.remote_id = ? LIMIT ?)`}
	case PublicationMaster:
		return []string{
			`DELETE FROM core_publishedartifact WHERE pulp_id IN (
			SELECT pa.pulp_id FROM core_publishedartifact AS pa WHERE pa.publication_id = ? LIMIT ?)`,
			`DELETE FROM core_content WHERE pulp_id IN (
			SELECT pm.pulp_id FROM core_publishedmetadata AS pm WHERE pm.publication_id = ? LIMIT ?)`,
		}
	}
	return nil
}

// RemoveLeftovers deletes what belonged to remotes and publications that are gone, of all domains. Deleting one does
// it, too; this finishes what a process that died has begun. Two processes may do it at the same time.
func RemoveLeftovers(ctx context.Context, db *DB) error {
	var list []*leftover
	if err := db.q.NewSelect().Model(&list).OrderExpr("pulp_id").Scan(ctx); err != nil {
		return rowError(err, "leftovers", "all")
	}
	var errs []error
	for _, o := range list {
		errs = append(errs, db.removeLeftover(ctx, o))
	}
	return errors.Join(errs...)
}

func (db *DB) removeLeftover(ctx context.Context, o *leftover) error {
	for _, stmt := range o.statements() {
		for n := int64(leftoverBatch); n == leftoverBatch; {
			err := db.retryTx(ctx, func(ctx context.Context, tx *Tx) (err error) {
				n, err = affected(tx.q.NewRaw(stmt, o.ID, leftoverBatch).Exec(ctx))
				return err
			})
			if err != nil {
				return rowError(err, "what is left of "+string(o.Master), o.ID.String())
			}
		}
	}
	return db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewDelete().Model(o).WherePK().Exec(ctx)
		return rowError(err, "what is left of "+string(o.Master), o.ID.String())
	})
}

// deleteOwner removes a remote or a publication, and then what belongs to it.
func (db *DB) deleteOwner(ctx context.Context, s *schema, id uuid.UUID) error {
	var o *leftover
	err := db.retryTx(ctx, func(ctx context.Context, tx *Tx) (err error) {
		o, err = tx.deleteOwnerRow(ctx, s, id)
		return err
	})
	if err != nil {
		return err
	}
	return db.followUp(ctx, o)
}

// deleteOwnerRow removes the row of a remote or a publication and notes what is left of it.
func (tx *Tx) deleteOwnerRow(ctx context.Context, s *schema, id uuid.UUID) (*leftover, error) {
	o := &leftover{ID: id, Master: s.master}
	if err := tx.deleteRow(ctx, s, id); err != nil {
		return nil, err
	}
	_, err := tx.q.NewInsert().Model(o).Exec(ctx)
	return o, rowError(err, "what is left of "+string(o.Master), id.String())
}

// followUp removes what is left of a row that is gone. A failure is no failure of the deletion: nobody can see what is
// left, and the next [RemoveLeftovers] finishes.
func (db *DB) followUp(ctx context.Context, o *leftover) error {
	err := db.removeLeftover(ctx, o)
	if err == nil || db.tx != nil { // a transaction in which a statement failed cannot go on
		return err
	}
	db.log.WarnContext(ctx, "what belonged to a deleted row is removed later", "master", string(o.Master),
		"pulp_id", o.ID, "err", err)
	return nil
}

// holdRemotes makes sure that remotes stay until the transaction ends.
func (tx *Tx) holdRemotes(ctx context.Context, ids []uuid.UUID) error {
	var found []uuid.UUID
	q := tx.q.NewSelect().TableExpr("core_remote").Column("pulp_id").Where("pulp_id IN (?)", bun.List(ids)).
		Where("pulp_domain_id = ?", tx.domain.ID)
	if tx.conn.Kind == sqldialect.Postgres {
		q = q.OrderExpr("pulp_id").For("KEY SHARE") // SQLite has one writer
	}
	if err := q.Scan(ctx, &found); err != nil {
		return rowError(err, "remote", ids[0].String())
	}
	if missing := without(ids, found); len(missing) > 0 {
		return pulperr.Public(pulperr.Invalid, "there is no remote %s", missing[0])
	}
	return nil
}

// holdVersion makes sure that a version stays complete until the transaction ends.
//
// Errors: NotFound.
func (tx *Tx) holdVersion(ctx context.Context, id uuid.UUID) error {
	q := tx.versions((*RepositoryVersion)(nil)).Where("rv.pulp_id = ?", id)
	if tx.conn.Kind == sqldialect.Postgres {
		q = q.For("SHARE OF rv")
	}
	var number int
	err := q.Column("rv.number").Scan(ctx, &number)
	return rowError(err, "repository version", id.String())
}

var errPublicationGone = fmt.Errorf("models: %w",
	pulperr.Public(pulperr.NotFound, "the publication was deleted while it was being made"))

// holdPublication makes sure that an incomplete publication stays until the transaction ends.
func (tx *Tx) holdPublication(ctx context.Context, id uuid.UUID) error {
	n, err := affected(tx.q.NewUpdate().TableExpr("core_publication").Set("pulp_last_updated = ?", Now()).
		Where("pulp_id = ?", id).Where("NOT complete").Exec(ctx))
	if err == nil && n == 0 {
		return errPublicationGone
	}
	return rowError(err, "publication", id.String())
}

package models

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// leftover names a remote or a publication whose row is gone while rows that belonged to it are still there. Millions
// can belong to one, so they have no foreign key to it: its cascade would delete them in one transaction. The row goes
// first, which hides all of them, and they follow in batches. A transaction that inserts such rows holds the owner's
// row ([rowHolder]), so that none is inserted after the owner is gone.
type leftover struct {
	bun.BaseModel `bun:"table:core_leftover"`

	ID     uuid.UUID `bun:"pulp_id,pk"`
	Master Master    `bun:"master"`
}

// leftoverBatch is how many rows of a leftover go in one transaction.
const leftoverBatch = 1000

// statements returns the statements that delete a batch of the rows, with the owner's key and the limit as arguments.
// They run in this order, each until it deletes fewer rows than the limit.
func (o *leftover) statements() []string {
	switch o.Master {
	case RemoteMaster:
		return []string{`DELETE FROM core_remoteartifact WHERE pulp_id IN (
			SELECT ra.pulp_id FROM core_remoteartifact AS ra WHERE ra.remote_id = ? LIMIT ?)`}
	case PublicationMaster:
		return []string{
			`DELETE FROM core_publishedartifact WHERE pulp_id IN (
			SELECT pa.pulp_id FROM core_publishedartifact AS pa WHERE pa.publication_id = ? LIMIT ?)`,
			// The row of core_publishedmetadata goes with that of core_content, by a cascade.
			`DELETE FROM core_content WHERE pulp_id IN (
			SELECT pm.pulp_id FROM core_publishedmetadata AS pm WHERE pm.publication_id = ? LIMIT ?)`,
		}
	}
	return nil
}

// RemoveLeftovers deletes the rows that belonged to deleted remotes and publications, of all domains. The deletion does
// so too; this finishes it where a process died. Two processes may do it at the same time.
func RemoveLeftovers(ctx context.Context, db *DB) error {
	var list []*leftover
	if err := db.q.NewSelect().Model(&list).OrderExpr("pulp_id").Scan(ctx); err != nil {
		return rowError(err, "leftovers", "all")
	}
	var errs []error
	for _, o := range list {
		// A failure does not stop the others, because the next run would fail at the same row.
		errs = append(errs, o.remove(ctx, db))
	}
	return errors.Join(errs...)
}

func (o *leftover) remove(ctx context.Context, db *DB) error {
	for _, stmt := range o.statements() {
		for n := int64(leftoverBatch); n == leftoverBatch; {
			err := db.RetryTx(ctx, func(ctx context.Context, tx *Tx) (err error) {
				n, err = affected(tx.q.NewRaw(stmt, o.ID, leftoverBatch).Exec(ctx))
				return err
			})
			if err != nil {
				return rowError(err, "leftover of "+string(o.Master), o.ID.String())
			}
		}
	}
	// The note goes last: after a crash, RemoveLeftovers finds the other rows by it.
	return db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.q.NewDelete().Model(o).WherePK().Exec(ctx)
		return rowError(err, "leftover of "+string(o.Master), o.ID.String())
	})
}

// ownerRemover deletes a remote or a publication, and then the rows that belong to it.
type ownerRemover struct {
	table
	id uuid.UUID
}

func (r ownerRemover) remove(ctx context.Context) error {
	if err := r.db.RetryTx(ctx, r.removeRow); err != nil {
		return err
	}
	return r.followUp(ctx)
}

// removeRow deletes the row and notes that others are left.
func (r ownerRemover) removeRow(ctx context.Context, tx *Tx) error {
	if err := r.in(tx).deleteRow(ctx, r.id); err != nil {
		return err
	}
	// The note is written in the transaction of the deletion: after a crash, it is the only trace of the rows that are
	// left.
	_, err := tx.q.NewInsert().Model(r.leftover()).Exec(ctx)
	return rowError(err, "leftover of "+string(r.master), r.id.String())
}

func (r ownerRemover) leftover() *leftover { return &leftover{ID: r.id, Master: r.master} }

// followUp deletes the rows that belonged to the deleted one. If that fails, the deletion has succeeded all the same:
// the rows that are left are invisible, and the next [RemoveLeftovers] deletes them.
func (r ownerRemover) followUp(ctx context.Context) error {
	err := r.leftover().remove(ctx, r.db)
	// Within the caller's transaction the error is returned: a transaction in which a statement failed cannot go on.
	if err == nil || r.db.tx != nil {
		return err
	}
	r.db.Log().WarnContext(ctx, "what belonged to a deleted row is removed later", "master", string(r.master),
		"pulp_id", r.id, "err", err)
	return nil
}

package models

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/pulperr"
)

// rowHolder keeps rows from being deleted or completed until its transaction ends.
type rowHolder struct{ tx *Tx }

// remotes makes sure that remotes stay until the transaction ends.
func (h rowHolder) remotes(ctx context.Context, ids []uuid.UUID) error {
	var found []uuid.UUID
	q := h.tx.Bun().NewSelect().TableExpr("core_remote").Column("pulp_id").Where("pulp_id IN (?)", bun.List(ids)).
		Where("pulp_domain_id = ?", h.tx.Domain().ID)
	if h.tx.Conn().Kind == sqldialect.Postgres {
		// KEY SHARE stops deletions and lets updates of the remotes pass.
		q = q.OrderExpr("pulp_id").For("KEY SHARE") // SQLite needs no lock: it has one writer
	}
	if err := q.Scan(ctx, &found); err != nil {
		return rowError(err, "remote", ids[0].String())
	}
	if missing := without(ids, found); len(missing) > 0 {
		return pulperr.Public(pulperr.Invalid, "there is no remote %s", missing[0])
	}
	return nil
}

// version makes sure that a version stays complete until the transaction ends.
//
// Errors: NotFound.
func (h rowHolder) version(ctx context.Context, id uuid.UUID) error {
	q := completeVersions(h.tx.DB, (*RepositoryVersion)(nil)).Where("rv.pulp_id = ?", id)
	if h.tx.Conn().Kind == sqldialect.Postgres {
		// SHARE, because KEY SHARE would let the update pass that makes the version incomplete.
		q = q.For("SHARE OF rv")
	}
	var number int
	err := q.Column("rv.number").Scan(ctx, &number)
	return rowError(err, "repository version", id.String())
}

var errPublicationGone = fmt.Errorf("models: %w",
	pulperr.Public(pulperr.NotFound, "the publication was deleted while it was being made"))

// publication makes sure that an incomplete publication stays until the transaction ends.
func (h rowHolder) publication(ctx context.Context, id uuid.UUID) error {
	// An UPDATE locks the row on both databases, and evaluates its conditions again after a wait.
	n, err := affected(h.tx.Bun().NewUpdate().TableExpr("core_publication").Set("pulp_last_updated = ?", Now()).
		Where("pulp_id = ?", id).Where("NOT complete").Exec(ctx))
	if err == nil && n == 0 {
		return errPublicationGone
	}
	return rowError(err, "publication", id.String())
}

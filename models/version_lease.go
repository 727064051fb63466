package models

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/pulperr"
)

var (
	errBeingChanged = pulperr.Public(pulperr.Locked,
		"the repository is being changed by another task or process; try again when that has ended")
	errTakenOver = pulperr.Public(pulperr.Locked,
		"another process took over the repository while it was being changed; try again")
)

// repositoryLocks keeps the goroutines of one process from changing one repository at the same time. Between processes
// the [lease] of a version does.
type repositoryLocks struct {
	mu    sync.Mutex
	repos map[uuid.UUID]bool
}

// claim locks a repository until the caller releases it.
//
// Errors: Locked if another goroutine has it.
func (b *repositoryLocks) claim(id uuid.UUID) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The caller gets an error and does not wait: a closure that changes its own repository again would wait for itself.
	if b.repos[id] {
		return nil, fmt.Errorf("models: repository %s: %w", id, errBeingChanged)
	}
	if b.repos == nil {
		b.repos = map[uuid.UUID]bool{}
	}
	b.repos[id] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.repos, id)
	}, nil
}

// lease is the right of one process to work on incomplete versions of a repository. Every transaction that changes
// memberships holds the version's row under its lease. A takeover puts a new lease into the row: it waits for the
// transaction of the old holder, whose next one fails. The lease of a dead process needs no cleaning up.
type lease struct {
	id uuid.UUID
}

// hold locks the version's row until the transaction ends.
//
// Errors: Locked if the lease was taken over.
func (l lease) hold(ctx context.Context, tx *Tx, versionID uuid.UUID) error {
	// An UPDATE locks the row on both databases, and its conditions are evaluated again after the wait for another
	// transaction. A SELECT could return the lease from before a takeover.
	n, err := affected(tx.q.NewUpdate().TableExpr("core_repositoryversion").Set("pulp_last_updated = ?", Now()).
		Where("pulp_id = ?", versionID).Where("lease = ?", l.id).Where("NOT complete").Exec(ctx))
	if err == nil && n == 0 {
		return errTakenOver
	}
	return rowError(err, "repository version", versionID.String())
}

// lockedRepository is the row of a repository that a transaction holds.
type lockedRepository struct {
	Next   int  `bun:"next_version"`
	Hidden bool `bun:"user_hidden"`
}

// lockedVersions are the versions of a repository whose row the transaction holds.
type lockedVersions struct {
	tx           *Tx
	repositoryID uuid.UUID
}

// lock holds the repository's row until the transaction ends.
func (v lockedVersions) lock(ctx context.Context) (lockedRepository, error) {
	var row lockedRepository
	// An update without a change is the one lock on a row that both databases have.
	err := v.tx.Bun().NewRaw(`UPDATE core_repository SET next_version = next_version WHERE pulp_id = ?
		AND pulp_domain_id = ? RETURNING next_version, user_hidden`, v.repositoryID, v.tx.Domain().ID).Scan(ctx, &row)
	return row, rowError(err, "repository", v.repositoryID.String())
}

// incomplete returns the incomplete versions, by number.
func (v lockedVersions) incomplete(ctx context.Context) ([]*RepositoryVersion, error) {
	var list []*RepositoryVersion
	err := v.tx.Bun().NewSelect().Model(&list).Where("repository_id = ?", v.repositoryID).Where("NOT complete").
		OrderExpr("number").Scan(ctx)
	return list, rowError(err, "versions of repository", v.repositoryID.String())
}

// take puts a new lease into all incomplete versions.
func (v lockedVersions) take(ctx context.Context) (lease, error) {
	return v.takeWhere(ctx, "repository_id = ?", v.repositoryID)
}

// takeOne puts a new lease into one version, if it is incomplete.
func (v lockedVersions) takeOne(ctx context.Context, id uuid.UUID) (lease, error) {
	return v.takeWhere(ctx, "pulp_id = ?", id)
}

func (v lockedVersions) takeWhere(ctx context.Context, cond string, id uuid.UUID) (lease, error) {
	l := lease{id: NewID()}
	var task *uuid.UUID
	if v.tx.task != nil {
		task = &v.tx.Task().TaskID
	}
	_, err := v.tx.Bun().NewUpdate().TableExpr("core_repositoryversion").Set("lease = ?", l.id).
		Set("lease_task_id = ?", task).Where(cond, id).Where("NOT complete").Exec(ctx)
	return l, rowError(err, "repository version", id.String())
}

// checkNotLeased fails if a running task, other than the handle's own, holds an incomplete version.
//
// Errors: Locked.
func (v lockedVersions) checkNotLeased(ctx context.Context, left []*RepositoryVersion) error {
	// The inner join leaves out leases of no task. Whether their process is alive cannot be known, so they can be taken
	// over; the old holder then fails at its next write.
	q := v.tx.Bun().NewSelect().TableExpr("core_repositoryversion AS rv").
		Join("JOIN core_task AS t ON t.pulp_id = rv.lease_task_id").
		Where("rv.pulp_id IN (?)", bun.List(versionIDs(left))).Where("t.state IN (?, ?)", Running, Canceling)
	// A task that runs again after a crash finds the version that its earlier attempt has left.
	if v.tx.task != nil {
		q = q.Where("t.pulp_id <> ?", v.tx.Task().TaskID)
	}
	n, err := q.Count(ctx)
	if err == nil && n > 0 {
		return errBeingChanged
	}
	return rowError(err, "versions of repository", v.repositoryID.String())
}

// hide makes versions and their publications incomplete, and so invisible.
func (v lockedVersions) hide(ctx context.Context, list ...*RepositoryVersion) error {
	ids := bun.List(versionIDs(list))
	_, err := v.tx.Bun().NewUpdate().TableExpr("core_repositoryversion").Set("complete = FALSE").
		Where("pulp_id IN (?)", ids).Exec(ctx)
	if err != nil {
		return rowError(err, "versions of repository", v.repositoryID.String())
	}
	// The publications are hidden in the same transaction: the content app must not serve one while the members of its
	// version are removed.
	_, err = v.tx.Bun().NewUpdate().TableExpr("core_publication").Set("complete = FALSE").
		Where("repository_version_id IN (?)", ids).Exec(ctx)
	return rowError(err, "publications of repository", v.repositoryID.String())
}

func versionIDs(list []*RepositoryVersion) []uuid.UUID {
	ids := make([]uuid.UUID, len(list))
	for i, v := range list {
		ids[i] = v.ID
	}
	return ids
}

// changeRepository runs fn in a transaction that holds the repository's row and finds no incomplete version. Versions
// that dead processes left incomplete are removed before, in transactions of their own. Every change of a repository
// starts here, so what fn makes incomplete and leases cannot be another process's.
//
// Errors: Locked if a running task works on the repository, or another process began to while it was repaired.
func changeRepository(ctx context.Context, db *DB, id uuid.UUID,
	fn func(ctx context.Context, v lockedVersions, r lockedRepository) error,
) error {
	for repaired := false; ; repaired = true {
		var l lease
		var left []*RepositoryVersion
		err := db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
			v := lockedVersions{tx, id}
			r, err := v.lock(ctx)
			if err != nil {
				return err
			}
			left, err = v.incomplete(ctx)
			switch {
			case err != nil:
				return err
			case len(left) == 0:
				// fn runs in the transaction that found no incomplete version. Between two, another process could begin one.
				return fn(ctx, v, r)
			case repaired:
				// Another process has begun a version since the repair, and most likely still works on it.
				return errBeingChanged
			}
			if err := v.checkNotLeased(ctx, left); err != nil {
				return err
			}
			// If the process that began the version is slow and not dead, the new lease makes its next write fail.
			l, err = v.take(ctx)
			return err
		})
		if err != nil || len(left) == 0 {
			return err
		}
		// The versions are removed after the transaction and in batches: they may have millions of memberships, and all other
		// writers of SQLite wait while a transaction is open.
		for _, row := range left {
			if err := (leasedVersion{db, l, row}).remove(ctx); err != nil {
				return fmt.Errorf("models: repair version %d of repository %s: %w", row.Number, id, err)
			}
		}
	}
}

// RepairVersions removes the incomplete versions that a dead process left of a repository: a version that was being
// built is undone, and a version that was being deleted is deleted. Every change of the repository does the same first.
//
// Errors: Locked if a version is still being worked on; NotFound.
func RepairVersions(ctx context.Context, db *DB, repositoryID uuid.UUID) error {
	release, err := db.locks.claim(repositoryID)
	if err != nil {
		return err
	}
	defer release()
	nothing := func(context.Context, lockedVersions, lockedRepository) error { return nil }
	return changeRepository(ctx, db, repositoryID, nothing)
}

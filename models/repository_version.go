package models

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// VersionOptions are the parts of [CreateVersion] that have defaults.
type VersionOptions struct {
	// Base is a complete version, of any repository of the domain, with whose content the new version starts. Nil
	// starts with the latest version's.
	Base *RepositoryVersion
}

// Hooks that a plugin's repository type may have. Each runs once for every version that is created.
type (
	// VersionInitializer is called before the closure of [CreateVersion].
	VersionInitializer interface {
		InitializeNewVersion(ctx context.Context, v *NewVersion) error
	}
	// VersionFinalizer is called after the closure. [RemoveDuplicates] follows; a finalizer that needs the final content
	// calls it first, and one that chooses between new units of one place removes the others. An error discards the
	// version.
	VersionFinalizer interface {
		FinalizeNewVersion(ctx context.Context, v *NewVersion) error
	}
	// VersionObserver is called once a version is complete, with the handle given to [CreateVersion]. It may publish the
	// version with the handle's [DB.Store]. The version stays, whatever happens here.
	VersionObserver interface {
		OnNewVersion(ctx context.Context, db *DB, v *RepositoryVersion) error
	}
)

// CreateVersion lets fn change the content of a repository and makes the result its next version. Nobody sees the
// version before it is complete; an error from fn, a panic or the end of the process leaves the repository as it was.
// If fn changed nothing there is no new version, and both results are nil. In both cases [Retain] is applied then.
//
// A repository is changed by one caller at a time. Tasks reserve it; of two callers that do not, the second gets
// Locked, and in another process a caller whose version is taken over gets Locked at its next write.
//
// Errors: what fn and the type's hooks return, with a nil version if it was discarded; Locked; NotFound if the
// repository is gone; Invalid if content has a type that the repository does not accept (PLP0022 if two units claim
// one place in it).
func CreateVersion(ctx context.Context, db *DB, repo AnyRepository, opts *VersionOptions, fn func(v *NewVersion) error,
) (*RepositoryVersion, error) {
	if opts == nil {
		opts = &VersionOptions{}
	}
	v, err := db.createVersion(ctx, repo, opts, fn)
	if err != nil || v == nil {
		return nil, err
	}
	if o, ok := repo.(VersionObserver); ok {
		if err := o.OnNewVersion(ctx, db, v); err != nil {
			return v, fmt.Errorf("models: after version %d of repository %s: %w", v.Number, v.RepositoryID, err)
		}
	}
	return v, nil
}

func (db *DB) createVersion(ctx context.Context, repo AnyRepository, opts *VersionOptions,
	fn func(v *NewVersion) error,
) (*RepositoryVersion, error) {
	id := repo.PulpID()
	release, err := db.locks.claim(id)
	if err != nil {
		return nil, err
	}
	defer release()
	v, err := db.buildVersion(ctx, repo, opts, fn)
	if err != nil {
		return nil, err
	}
	if err := db.retain(ctx, id); err != nil {
		// The next version tries again, and this one is good.
		db.log.WarnContext(ctx, "old repository versions were not deleted", "repository", id, "err", err)
	}
	return v, nil
}

// buildVersion returns nil if nothing changed.
func (db *DB) buildVersion(ctx context.Context, repo AnyRepository, opts *VersionOptions,
	fn func(v *NewVersion) error,
) (*RepositoryVersion, error) {
	v, err := db.startVersion(ctx, repo, opts)
	if err != nil {
		return nil, err
	}
	defer v.discard(ctx) // unless it is complete; also on panic
	if err := v.build(ctx, fn); err != nil {
		return nil, err
	}
	v.end()
	if changed, err := v.changed(ctx); err != nil || !changed {
		return nil, err
	}
	if v.seen.Load() { // before the end: no complete version has such notes, whatever happens
		if err := db.forget(ctx, v.lease, v.row.ID); err != nil {
			return nil, err
		}
	}
	if err := v.complete(ctx); err != nil {
		return nil, err
	}
	repo.AsRepository().NextVersion = v.row.Number + 1
	return v.row, nil
}

// RepairVersions finishes or undoes what a process that died left of a version it was building or deleting. It is
// also done before any change of the repository, so that nothing but disk space depends on it.
//
// Errors: Locked if the version is still being worked on; NotFound.
func RepairVersions(ctx context.Context, db *DB, repositoryID uuid.UUID) error {
	release, err := db.locks.claim(repositoryID)
	if err != nil {
		return err
	}
	defer release()
	return db.withRepository(ctx, repositoryID, func(context.Context, *Tx, lockedRepository) error { return nil })
}

// startVersion makes the incomplete row of the next version.
func (db *DB) startVersion(ctx context.Context, repo AnyRepository, opts *VersionOptions) (*NewVersion, error) {
	s, err := db.registry.of(repo)
	if err != nil {
		return nil, err
	}
	id := repo.PulpID()
	if err := db.checkBase(ctx, opts.Base); err != nil {
		return nil, err
	}
	v := &NewVersion{db: db, repo: repo, schema: s, base: opts.Base}
	err = db.withRepository(ctx, id, func(ctx context.Context, tx *Tx, r lockedRepository) error {
		v.row = &RepositoryVersion{RepositoryID: id, Number: r.Next, Info: map[string]any{}}
		if opts.Base != nil {
			v.row.BaseVersionID = &opts.Base.ID
		}
		v.row.stamp(Now())
		v.hidden = r.Hidden
		if _, err := tx.q.NewInsert().Model(v.row).Exec(ctx); err != nil {
			return rowError(err, "version of repository", id.String())
		}
		var err error
		v.lease, err = tx.leaseVersions(ctx, id)
		if err != nil || v.hidden {
			return err
		}
		return tx.recordCreated(ctx, CorePRN("repositoryversion", v.row.ID), true)
	})
	if err != nil {
		return nil, fmt.Errorf("models: new version of repository %s: %w", id, err)
	}
	return v, nil
}

func (v *NewVersion) build(ctx context.Context, fn func(v *NewVersion) error) error {
	if v.base != nil {
		if err := v.startFromBase(ctx); err != nil {
			return err
		}
	}
	if h, ok := v.repo.(VersionInitializer); ok {
		if err := h.InitializeNewVersion(ctx, v); err != nil {
			return err
		}
	}
	if err := fn(v); err != nil {
		return err
	}
	if ctx.Err() != nil { // a closure that overlooked its end has not done all of its work
		return context.Cause(ctx)
	}
	if h, ok := v.repo.(VersionFinalizer); ok {
		if err := h.FinalizeNewVersion(ctx, v); err != nil {
			return err
		}
	}
	return RemoveDuplicates(ctx, v)
}

// complete checks the version and makes it visible, together with its counts and the repository's next number. What
// takes long, which is to read all that changed, comes before the transaction: on SQLite all writers wait for that.
// Nothing changes in between, since the version has ended and its lease still stands at the end.
func (v *NewVersion) complete(ctx context.Context) error {
	if err := v.checkTypes(ctx); err != nil {
		return err
	}
	counts, err := v.db.countVersion(ctx, v.row)
	if err != nil {
		return err
	}
	err = v.db.retryTx(ctx, func(ctx context.Context, tx *Tx) error {
		r, err := tx.lockRepository(ctx, v.row.RepositoryID)
		if err != nil {
			return err
		}
		if r.Next != v.row.Number {
			return errTakenOver
		}
		if err := v.lease.hold(ctx, tx, v.row.ID); err != nil {
			return err
		}
		if err := tx.writeCounts(ctx, v.row.ID, counts); err != nil {
			return err
		}
		now := Now()
		v.row.Updated = now
		_, err = tx.q.NewUpdate().Model(v.row).Set("complete = TRUE").Set("info = ?info").Set("lease = NULL").
			Set("lease_task_id = NULL").Set("pulp_last_updated = ?", now).WherePK().Exec(ctx)
		if err != nil {
			return rowError(err, "repository version", v.row.ID.String())
		}
		_, err = tx.q.NewUpdate().TableExpr("core_repository").Set("next_version = ?", v.row.Number+1).
			Set("pulp_last_updated = ?", now).Where("pulp_id = ?", v.row.RepositoryID).Exec(ctx)
		if err != nil || v.hidden {
			return rowError(err, "repository", v.row.RepositoryID.String())
		}
		return tx.recordCreated(ctx, CorePRN("repositoryversion", v.row.ID), false)
	})
	if err != nil {
		return fmt.Errorf("models: complete version %d of repository %s: %w", v.row.Number, v.row.RepositoryID, err)
	}
	v.row.Complete = true
	return nil
}

// discardTimeout bounds the undoing of a version whose context may have ended already.
const discardTimeout = time.Minute

// discard undoes a version that did not become complete. If that fails the next change of the repository does it.
func (v *NewVersion) discard(ctx context.Context) {
	v.end()
	if v.row.Complete {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := v.db.endIncomplete(ctx, v.lease, v.row); err != nil {
		v.db.log.WarnContext(ctx, "leftovers of a repository version stay until the next one",
			"repository", v.row.RepositoryID, "number", v.row.Number, "err", err)
	}
}

// createVersionZero gives a new repository its empty, complete version 0.
func (db *DB) createVersionZero(ctx context.Context, repo *Repository) error {
	v := &RepositoryVersion{RepositoryID: repo.ID, Complete: true, Info: map[string]any{}}
	v.stamp(Now())
	if _, err := db.q.NewInsert().Model(v).Exec(ctx); err != nil {
		return rowError(err, "version 0 of repository", repo.Name)
	}
	repo.NextVersion = 1
	_, err := db.q.NewUpdate().TableExpr("core_repository").Set("next_version = 1").
		Where("pulp_id = ?", repo.ID).Exec(ctx)
	return rowError(err, "repository", repo.Name)
}

// repositoryLocks keeps the goroutines of one process from changing one repository at the same time. Between processes the
// lease of a version does.
type repositoryLocks struct {
	mu    sync.Mutex
	repos map[uuid.UUID]bool
}

func (b *repositoryLocks) claim(id uuid.UUID) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
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

var (
	errBeingChanged = pulperr.Public(pulperr.Locked, "the repository is being changed by another task or process")
	errTakenOver    = pulperr.Public(pulperr.Locked,
		"another process took over the repository while it was being changed; try again")
)

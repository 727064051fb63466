package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/pulperr"
)

// versionBuilder takes a new version from its incomplete row to its end: complete, or discarded.
type versionBuilder struct {
	*NewVersion
	hidden bool // the repository is not shown to users, so its versions are not recorded as created
}

// startVersion makes the incomplete row of a repository's next version.
func startVersion(ctx context.Context, db *DB, repo AnyRepository, opts *VersionOptions) (*versionBuilder, error) {
	s, err := db.registry.of(repo)
	if err != nil {
		return nil, err
	}
	if opts.Base != nil {
		// VersionByID finds only complete versions of the handle's domain: a base must neither disappear while it is read
		// nor show content of another domain.
		if _, err := VersionByID(ctx, db, opts.Base.ID); err != nil {
			return nil, fmt.Errorf("models: base version: %w", err)
		}
	}
	id := repo.PulpID()
	b := &versionBuilder{}
	err = changeRepository(ctx, db, id, func(ctx context.Context, locked lockedVersions, r lockedRepository) error {
		row := &RepositoryVersion{RepositoryID: id, Number: r.Next, Info: map[string]any{}}
		if opts.Base != nil {
			row.BaseVersionID = &opts.Base.ID
		}
		row.stamp(Now())
		// Incomplete: no query of clients shows it before complete.
		if _, err := locked.tx.Bun().NewInsert().Model(row).Exec(ctx); err != nil {
			return rowError(err, "version of repository", id.String())
		}
		// The lease is taken in the transaction that inserts the row. Another process that found the version without a lease
		// would remove it, as if a dead process had left it.
		l, err := locked.take(ctx)
		if err != nil {
			return err
		}
		b.hidden = r.Hidden
		b.NewVersion = &NewVersion{
			db: db, repo: repo, schema: s, base: opts.Base, row: row,
			members: &memberWriter{leasedVersion: leasedVersion{db, l, row}},
		}
		// Recorded as incomplete, so that the version is discarded if its task does not complete.
		return b.record(ctx, locked.tx, true)
	})
	if err != nil {
		return nil, fmt.Errorf("models: new version of repository %s: %w", id, err)
	}
	return b, nil
}

// record notes the version as created by the task of the handle.
func (b *versionBuilder) record(ctx context.Context, tx *Tx, incomplete bool) error {
	if b.hidden {
		return nil
	}
	return createdResources{tx.DB}.record(ctx, CorePRN("repositoryversion", b.row.ID), incomplete)
}

// build runs the base, the hooks of the type and the caller's closure.
func (b *versionBuilder) build(ctx context.Context, fn func(v *NewVersion) error) error {
	if b.base != nil {
		if err := b.startFromBase(ctx); err != nil {
			return err
		}
	}
	if h, ok := b.repo.(VersionInitializer); ok {
		if err := h.InitializeNewVersion(ctx, b.NewVersion); err != nil {
			return err
		}
	}
	if err := fn(b.NewVersion); err != nil {
		return err
	}
	// A closure may ignore the end of its context and return nil. Its work is not done then, and the version must not
	// become complete.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if h, ok := b.repo.(VersionFinalizer); ok {
		if err := h.FinalizeNewVersion(ctx, b.NewVersion); err != nil {
			return err
		}
	}
	// After the finalizer: a type that has a finalizer for another purpose must not lose the removal of duplicates.
	return RemoveDuplicates(ctx, b.NewVersion)
}

// startFromBase replaces the content of the version by that of its base.
func (b *versionBuilder) startFromBase(ctx context.Context) error {
	base := b.base
	// Units that both have stay as they are: a version costs what it changes.
	_, err := b.removeWhere(ctx, "NOT "+inVersionSQL("rc"), base.RepositoryID, base.Number, base.Number)
	if err != nil {
		return err
	}
	var last uuid.UUID
	for {
		page, err := base.ContentIDs(ctx, b.db, last, memberBatch)
		if err != nil {
			return err
		}
		missing, err := b.Missing(ctx, page)
		if err == nil {
			_, err = b.Add(ctx, missing)
		}
		if err != nil || len(page) < memberBatch {
			return err
		}
		last = page[len(page)-1]
	}
}

// inVersionSQL is the membership of alias.content_id in a version, with the arguments repository, number, number.
func inVersionSQL(alias string) string {
	return `EXISTS (SELECT 1 FROM core_repositorycontent AS b WHERE b.repository_id = ?
		AND b.content_id = ` + alias + `.content_id AND b.version_added <= ?
		AND (b.version_removed IS NULL OR b.version_removed > ?))`
}

// changed reports whether the version differs from its predecessor.
func (b *versionBuilder) changed(ctx context.Context) (bool, error) {
	var yes bool
	// The two EXISTS end at the first row of an index that begins with the version's number. A count would read all
	// changes.
	err := b.db.Bun().NewRaw(`SELECT EXISTS (SELECT 1 FROM core_repositorycontent AS rc
			WHERE rc.repository_id = ?0 AND rc.version_added = ?1 AND `+useAddedIndex("rc")+`)
		OR EXISTS (SELECT 1 FROM core_repositorycontent WHERE repository_id = ?0 AND version_removed = ?1)`,
		b.row.RepositoryID, b.row.Number).Scan(ctx, &yes)
	return yes, rowError(err, "content of repository", b.row.RepositoryID.String())
}

// complete checks the version and makes it visible, together with its counts and the repository's next number.
func (b *versionBuilder) complete(ctx context.Context) error {
	// The notes are removed before the version is complete. If the process dies in between, they are removed together
	// with the incomplete version; those of a complete version would stay as long as that.
	if b.members.seen.Load() {
		if err := b.members.forgetSeen(ctx); err != nil {
			return err
		}
	}
	// The checks read all that changed, which takes long. They come before the transaction, because on SQLite that blocks
	// all other writers. The members stay the same in between, because the version has ended.
	if err := b.checkTypes(ctx); err != nil {
		return err
	}
	counts, err := versionCounter{b.db}.count(ctx, b.row)
	if err != nil {
		return err
	}
	err = b.db.RetryTx(ctx, func(ctx context.Context, tx *Tx) error {
		// The repository is locked before its version, as everywhere: the other order could deadlock.
		r, err := lockedVersions{tx, b.row.RepositoryID}.lock(ctx)
		if err != nil {
			return err
		}
		// The next number moves only when a version becomes complete. Another process has taken over and used this number.
		if r.Next != b.row.Number {
			return errTakenOver
		}
		// The counts were read without a lock. They are right if no other process has taken over since.
		if err := b.members.lease.hold(ctx, tx, b.row.ID); err != nil {
			return err
		}
		if err := (versionCounter{tx.DB}).write(ctx, b.row.ID, counts); err != nil {
			return err
		}
		return b.publish(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("models: complete version %d of repository %s: %w", b.row.Number, b.row.RepositoryID, err)
	}
	// After the commit, which may fail: discard removes the version unless it is complete.
	b.row.Complete = true
	b.repo.AsRepository().NextVersion = b.row.Number + 1
	return nil
}

// publish marks the row as complete and moves the repository's next number.
func (b *versionBuilder) publish(ctx context.Context, tx *Tx) error {
	now := Now()
	b.row.Updated = now
	_, err := tx.q.NewUpdate().Model(b.row).Set("complete = TRUE").Set("info = ?info").Set("lease = NULL").
		Set("lease_task_id = NULL").Set("pulp_last_updated = ?", now).WherePK().Exec(ctx)
	if err != nil {
		return rowError(err, "repository version", b.row.ID.String())
	}
	_, err = tx.q.NewUpdate().TableExpr("core_repository").Set("next_version = ?", b.row.Number+1).
		Set("pulp_last_updated = ?", now).Where("pulp_id = ?", b.row.RepositoryID).Exec(ctx)
	if err != nil {
		return rowError(err, "repository", b.row.RepositoryID.String())
	}
	return b.record(ctx, tx, false)
}

// checkTypes fails if a unit was added whose type the repository does not accept.
func (b *versionBuilder) checkTypes(ctx context.Context) error {
	var types []string
	// Only added units are read: the others were checked when an earlier version added them.
	err := b.db.Bun().NewRaw(`SELECT DISTINCT c.pulp_type FROM core_repositorycontent AS rc
		JOIN core_content AS c ON c.pulp_id = rc.content_id
		WHERE rc.repository_id = ? AND rc.version_added = ? AND `+useAddedIndex("rc"),
		b.row.RepositoryID, b.row.Number).Scan(ctx, &types)
	if err != nil {
		return rowError(err, "content of repository", b.row.RepositoryID.String())
	}
	bad := slices.DeleteFunc(types, func(t string) bool {
		return slices.ContainsFunc(b.schema.accepts, func(d *definition) bool { return d.name == t })
	})
	if len(bad) == 0 {
		return nil
	}
	// DISTINCT has no order, and the same fault should always have the same text.
	slices.Sort(bad)
	return pulperr.Public(pulperr.Invalid, "a repository of type %s cannot hold content of type %s",
		b.schema.name, strings.Join(bad, ", "))
}

// discardTimeout bounds the removal of a version or publication whose context may have ended already.
const discardTimeout = time.Minute

// discard removes a version that did not become complete. If that fails, the next change of the repository does it.
func (b *versionBuilder) discard(ctx context.Context) {
	// After a panic of the closure its goroutines may still write. Their rows would stay after the removal.
	b.members.end()
	if b.row.Complete {
		return
	}
	// The context may be the reason for the failure, and the removal must not end with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := b.members.remove(ctx); err != nil {
		b.db.Log().WarnContext(ctx, "an incomplete repository version stays until the repository is changed again",
			"repository", b.row.RepositoryID, "number", b.row.Number, "err", err)
	}
}

// createVersionZero gives a new repository its empty, complete version 0.
func createVersionZero(ctx context.Context, tx *Tx, repo *Repository) error {
	v := &RepositoryVersion{RepositoryID: repo.ID, Complete: true, Info: map[string]any{}}
	v.stamp(Now())
	_, err := tx.q.NewInsert().Model(v).Returning("NULL").Exec(ctx)
	return rowError(err, "version 0 of repository", repo.Name)
}

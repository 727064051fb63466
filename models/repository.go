package models

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Repository is the master of repositories: a name with a history of versions, each a set of content units.
type Repository struct {
	MasterModel
	Name               string     `bun:"name" json:"name"`               // unique within the domain
	Description        *string    `bun:"description" json:"description"` // nil for none
	Labels             Labels     `bun:"pulp_labels,type:jsonb" json:"pulp_labels"`
	NextVersion        int        `bun:"next_version" json:"-"`                            // number of the version to come
	RetainRepoVersions *int       `bun:"retain_repo_versions" json:"retain_repo_versions"` // nil keeps all, else ≥ 1
	RetainCheckpoints  *int       `bun:"retain_checkpoints" json:"retain_checkpoints"`     // nil keeps all, else ≥ 1
	UserHidden         bool       `bun:"user_hidden" json:"-"`
	RemoteID           *uuid.UUID `bun:"remote_id" json:"remote"` // the remote to sync from unless another is named
}

// RepositoryVersion is one numbered state of a repository. Only complete versions are visible outside the closure
// that builds them.
type RepositoryVersion struct {
	bun.BaseModel `bun:"table:core_repositoryversion,alias:rv" json:"-"`

	Base
	RepositoryID  uuid.UUID      `bun:"repository_id"`
	Number        int            `bun:"number"`          // from 0, ascending, never used again
	Complete      bool           `bun:"complete"`        // false while it is built or deleted
	BaseVersionID *uuid.UUID     `bun:"base_version_id"` // nil unless it began with another version than the latest
	Info          map[string]any `bun:"info,type:jsonb"` // the plugin's own data
}

// RepositoryContent is a unit's membership in the versions Added ≤ n < Removed of a repository.
type RepositoryContent struct {
	bun.BaseModel `bun:"table:core_repositorycontent,alias:rc" json:"-"`

	RepositoryID uuid.UUID `bun:"repository_id,pk"`
	ContentID    uuid.UUID `bun:"content_id,pk"`
	Added        int       `bun:"version_added,pk"`
	Removed      *int      `bun:"version_removed"` // nil: still a member
}

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
	// version with the handle's [DB.Store]. The version stays even if this fails.
	VersionObserver interface {
		OnNewVersion(ctx context.Context, db *DB, v *RepositoryVersion) error
	}
)

// CreateVersion lets fn change the content of a repository and makes the result its next version. It returns the latest
// version, and whether that is a new one: without a change no version is made. In both cases [Retain] is applied.
//
// The version is invisible until it is complete. An error from fn, a panic or the end of the process leaves the
// repository as it was.
//
// A repository is changed by one caller at a time. Tasks reserve it. Of two callers without a reservation the second
// gets Locked; a caller whose version another process takes over gets Locked at its next write.
//
// Errors: what fn and the type's hooks return, with a version only if the error is from [VersionObserver]; Locked;
// NotFound if the repository is gone; Invalid if content has a type that the repository does not accept (PLP0022 if two
// units claim one place in it).
func CreateVersion(ctx context.Context, db *DB, repo AnyRepository, opts *VersionOptions, fn func(v *NewVersion) error,
) (v *RepositoryVersion, changed bool, err error) {
	if opts == nil {
		opts = &VersionOptions{}
	}
	if v, err = createVersion(ctx, db, repo, opts, fn); err != nil {
		return nil, false, err
	}
	if v == nil {
		v, err = LatestVersion(ctx, db, repo.PulpID())
		return v, false, err
	}
	if o, ok := repo.(VersionObserver); ok {
		if err := o.OnNewVersion(ctx, db, v); err != nil {
			return v, true, fmt.Errorf("models: after version %d of repository %s: %w", v.Number, v.RepositoryID, err)
		}
	}
	return v, true, nil
}

// createVersion returns nil if fn did not change the content.
func createVersion(ctx context.Context, db *DB, repo AnyRepository, opts *VersionOptions,
	fn func(v *NewVersion) error,
) (*RepositoryVersion, error) {
	id := repo.PulpID()
	release, err := db.locks.claim(id)
	if err != nil {
		return nil, err
	}
	defer release()
	v, err := buildVersion(ctx, db, repo, opts, fn)
	if err != nil {
		return nil, err
	}
	if err := (retention{db, id}).apply(ctx); err != nil {
		// The version is complete all the same, and the next change of the repository tries again.
		db.log.WarnContext(ctx, "old repository versions were not deleted", "repository", id, "err", err)
	}
	return v, nil
}

// buildVersion returns nil if fn did not change the content.
func buildVersion(ctx context.Context, db *DB, repo AnyRepository, opts *VersionOptions, fn func(v *NewVersion) error,
) (*RepositoryVersion, error) {
	b, err := startVersion(ctx, db, repo, opts)
	if err != nil {
		return nil, err
	}
	// Deferred, so that a panic of the closure does not leave the incomplete version either.
	defer b.discard(ctx)
	if err := b.build(ctx, fn); err != nil {
		return nil, err
	}
	// Goroutines of the closure that it did not wait for may still write. The batches that follow here read the final
	// members.
	b.members.end()
	if changed, err := b.changed(ctx); err != nil || !changed {
		return nil, err
	}
	if err := b.complete(ctx); err != nil {
		return nil, err
	}
	return b.row, nil
}

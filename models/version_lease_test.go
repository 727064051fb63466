package models_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Of goroutines that change one repository at the same time each either makes its version or is told to wait.
func TestConcurrentVersions(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 8)
		var made, locked int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, id := range units {
			wg.Go(func() {
				mine := &Repo{Repository: repo.Repository}
				v, _, err := models.CreateVersion(ctx, db, mine, nil, func(v *models.NewVersion) error {
					_, err := v.Add(ctx, []uuid.UUID{id})
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && v != nil:
					made++
				case errors.Is(err, pulperr.Locked):
					locked++
				default:
					t.Errorf("CreateVersion = %v, %v", v, err)
				}
			})
		}
		wg.Wait()
		v, err := models.LatestVersion(ctx, db, repo.ID)
		if err != nil {
			t.Fatal(err)
		}
		got, err := members(ctx, db, v)
		if err != nil || v.Number != made || len(got) != made || made+locked != len(units) {
			t.Fatalf("version %d has %d units, %v; %d made, %d locked", v.Number, len(got), err, made, locked)
		}
	})
}

// A second process takes over what it must take for a dead one's work; the first can do no more harm.
func TestVersionTakenOver(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		first, second := open(t, url), open(t, url)
		repo, units := newRepo(t, first), newNotes(t, first, 5)
		late := func(name string, do func(v *models.NewVersion) error) {
			v, _, err := models.CreateVersion(ctx, first, repo, nil, func(v *models.NewVersion) error {
				if _, err := v.Add(ctx, units[:2]); err != nil {
					return err
				}
				_, _, err := models.CreateVersion(ctx, second, repo, nil, func(v *models.NewVersion) error {
					_, err := v.Add(ctx, []uuid.UUID{newNotes(t, second, 1)[0]})
					return err
				})
				if err != nil {
					return err
				}
				return do(v)
			})
			if v != nil || !errors.Is(err, pulperr.Locked) {
				t.Fatalf("%s: CreateVersion = %v, %v, want Locked", name, v, err)
			}
		}
		late("a write", func(v *models.NewVersion) error {
			_, err := v.Add(ctx, units[2:])
			return err
		})
		late("completion", func(v *models.NewVersion) error { return nil })
		v, err := models.LatestVersion(ctx, first, repo.ID)
		if err != nil || v.Number != 2 {
			t.Fatalf("LatestVersion = %+v, %v, want number 2", v, err)
		}
		if got, err := members(ctx, first, v); err != nil || len(got) != 2 {
			t.Fatalf("content = %v, %v, want the second process's 2 units", got, err)
		}
		if n, err := models.DeadMemberships(ctx, first, repo.ID); err != nil || n != 0 {
			t.Fatalf("%d memberships belong to no version, %v", n, err)
		}
	})
}

func TestVersionOfRunningTask(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 2)
		task := newTask(t, db, models.Running)
		scoped := db.ForTask(&models.TaskScope{TaskID: task})
		errGone := errors.New("process gone")
		fill := func(v *models.NewVersion) error {
			_, err := v.Add(ctx, units)
			return err
		}
		_, _, err := models.CreateVersion(ctx, scoped, repo, nil, func(v *models.NewVersion) error {
			if err := fill(v); err != nil {
				return err
			}
			models.Abandon(v)
			return errGone
		})
		if !errors.Is(err, errGone) {
			t.Fatal(err)
		}
		_, _, err = models.CreateVersion(ctx, db, repo, nil, fill)
		wantKind(t, err, pulperr.Locked, "changed by another task")
		wantKind(t, models.RepairVersions(ctx, db, repo.ID), pulperr.Locked, "")
		// The task itself, started again, goes on; and anybody once it is over.
		if err := models.RepairVersions(ctx, scoped, repo.ID); err != nil {
			t.Fatal(err)
		}
		setTask(t, db, task, models.Failed)
		if v, _, err := models.CreateVersion(ctx, db, repo, nil, fill); err != nil || v.Number != 1 {
			t.Fatalf("CreateVersion = %+v, %v", v, err)
		}
	})
}

func newTask(t *testing.T, db *models.DB, state models.TaskState) uuid.UUID {
	t.Helper()
	id := models.NewID()
	row := map[string]any{
		"pulp_id": id, "pulp_created": models.Now(), "pulp_last_updated": models.Now(),
		"pulp_domain_id": db.Domain().ID, "name": "test.task", "state": string(state),
		"reserved_resources": "{}", "rkeys": "{}",
	}
	if db.Conn().Kind.String() == "postgres" {
		row["seq"], row["rexcl"] = serial.Add(1), "{}"
	}
	if _, err := db.Bun().NewInsert().Model(&row).TableExpr("core_task").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return id
}

func setTask(t *testing.T, db *models.DB, id uuid.UUID, state models.TaskState) {
	t.Helper()
	_, err := db.Bun().NewUpdate().TableExpr("core_task").Set("state = ?", string(state)).Where("pulp_id = ?", id).
		Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

// What a mirroring change has seen dies with it, or the next one would keep what its source no longer has.
func TestSeenOfCrashedVersion(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 3)
		add(t, db, repo, units...)
		errGone := errors.New("process gone")
		mirror := func(end func(v *models.NewVersion) error, ids ...uuid.UUID) (*models.RepositoryVersion, error) {
			return tryVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
				if err := v.MarkSeen(ctx, ids); err != nil {
					return err
				}
				return end(v)
			})
		}
		_, err := mirror(func(v *models.NewVersion) error {
			models.Abandon(v)
			return errGone
		}, units...)
		if !errors.Is(err, errGone) {
			t.Fatal(err)
		}
		v, err := mirror(func(v *models.NewVersion) error {
			_, err := v.RemoveUnseen(ctx)
			return err
		}, units[0])
		if err != nil {
			t.Fatal(err)
		}
		checkContent(ctx, t, db, v, units[:1])
		if n, err := db.Bun().NewSelect().TableExpr("core_versionseen").Count(ctx); err != nil || n != 0 {
			t.Fatalf("%d notes of seen units are left, %v", n, err)
		}
	})
}

// A task that was given up for dead can neither complete its version nor leave part of it visible.
func TestVersionOfFencedTask(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 2)
		errFenced := errors.New("fenced")
		var dead bool
		scoped := db.ForTask(&models.TaskScope{TaskID: models.NewID(), Fence: fence(func() error {
			if dead {
				return errFenced
			}
			return nil
		})})
		_, _, err := models.CreateVersion(ctx, scoped, repo, nil, func(v *models.NewVersion) error {
			_, err := v.Add(ctx, units)
			dead = true
			return err
		})
		if !errors.Is(err, errFenced) {
			t.Fatalf("CreateVersion = %v, want %v", err, errFenced)
		}
		if n, err := models.CountVersions(ctx, db, repo.ID); err != nil || n != 1 {
			t.Fatalf("CountVersions = %d, %v", n, err)
		}
		if err := models.RepairVersions(ctx, db, repo.ID); err != nil {
			t.Fatal(err)
		}
		if n, err := models.DeadMemberships(ctx, db, repo.ID); err != nil || n != 0 {
			t.Fatalf("%d memberships belong to no version, %v", n, err)
		}
	})
}

func fence(fn func() error) func(context.Context, bun.IDB) error {
	return func(context.Context, bun.IDB) error { return fn() }
}

package models_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// wantKind fails unless err is of a kind and tells clients something that contains text.
func wantKind(t *testing.T, err error, kind pulperr.Kind, text string) {
	t.Helper()
	if pulperr.KindOf(err) != kind || err == nil || !strings.Contains(pulperr.Message(err), text) {
		t.Fatalf("error = %v (kind %v, told %q), want kind %v and %q", err, pulperr.KindOf(err), pulperr.Message(err),
			kind, text)
	}
}

func TestCreateVersion(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 2500) // more than two batches
		v := add(t, db, repo, units...)
		if v.Number != 1 || !v.Complete || repo.NextVersion != 2 {
			t.Fatalf("CreateVersion = %+v, next %d", v, repo.NextVersion)
		}
		latest, err := models.LatestVersion(ctx, db, repo.ID)
		if err != nil || latest.ID != v.ID || latest.Created.Location() != time.UTC {
			t.Fatalf("LatestVersion = %+v, %v, want %+v", latest, err, v)
		}
		has, err := v.Has(ctx, db, append(slices.Clone(units), repo.ID))
		if err != nil || len(has) != len(units) {
			t.Fatalf("Has = %d units, %v", len(has), err)
		}
		counts, err := v.Counts(ctx, db)
		if err != nil || counts["test.note"] != (models.TypeCount{Added: 2500, Present: 2500}) {
			t.Fatalf("Counts = %v, %v", counts, err)
		}
		same, changed, err := models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
			if _, err := v.Remove(ctx, units[:3]); err != nil {
				return err
			}
			_, err := v.Add(ctx, units) // undoes the removal
			return err
		})
		if err != nil || changed || same.ID != v.ID {
			t.Fatalf("CreateVersion without a change = %v, %t, %v, want the latest version %v", same, changed, err, v)
		}
		n, err := models.CountVersions(ctx, db, repo.ID)
		if err != nil || n != 2 {
			t.Fatalf("CountVersions = %d, %v", n, err)
		}
	})
}

func TestCreateVersionRefuses(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		stranger := &Stranger{Text: "x"}
		if err := strangers.Create(ctx, db, stranger); err != nil {
			t.Fatal(err)
		}
		elsewhere := inNewDomain(t, db)
		foreign := newNotes(t, elsewhere, 1)
		foreignRepo := newRepo(t, elsewhere)
		foreignVersion := add(t, elsewhere, foreignRepo, foreign...)
		repo := newRepo(t, db)
		gone := newRepo(t, db)
		if err := repos.Delete(ctx, db, models.RefOf(gone)); err != nil {
			t.Fatal(err)
		}
		plain := &models.Repository{}
		plain.ID = repo.ID
		tests := []struct {
			name string
			repo models.AnyRepository
			base *models.RepositoryVersion
			ids  []uuid.UUID
			kind pulperr.Kind
			text string
		}{
			{"a type that is not accepted", repo, nil, []uuid.UUID{stranger.ID}, pulperr.Invalid, "test.stranger"},
			{"a unit that does not exist", repo, nil, []uuid.UUID{models.NewID()}, pulperr.Invalid, "no content unit"},
			{"a unit of another domain", repo, nil, foreign, pulperr.Invalid, foreign[0].String()},
			{"a base of another domain", repo, foreignVersion, nil, pulperr.NotFound, ""},
			{"a repository of another domain", foreignRepo, nil, nil, pulperr.NotFound, ""},
			{"a repository that is gone", gone, nil, nil, pulperr.NotFound, ""},
			{"a repository that is of no plugin", plain, nil, nil, pulperr.Unsupported, ""},
		}
		for _, test := range tests {
			v, _, err := models.CreateVersion(ctx, db, test.repo, &models.VersionOptions{Base: test.base},
				func(v *models.NewVersion) error {
					_, err := v.Add(ctx, test.ids)
					return err
				})
			if v != nil {
				t.Errorf("%s: CreateVersion = %+v", test.name, v)
			}
			t.Run(test.name, func(t *testing.T) { wantKind(t, err, test.kind, test.text) })
		}
		if v, err := models.LatestVersion(ctx, db, repo.ID); err != nil || v.Number != 0 {
			t.Fatalf("LatestVersion = %+v, %v, want version 0", v, err)
		}
	})
}

// inNewDomain returns a handle on a domain of its own.
func inNewDomain(t *testing.T, db *models.DB) *models.DB {
	t.Helper()
	d := &models.Domain{Name: fmt.Sprintf("domain-%d", serial.Add(1)), Labels: models.Labels{}}
	d.ID, d.Created, d.Updated = models.NewID(), models.Now(), models.Now()
	if _, err := db.Bun().NewInsert().Model(d).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := db.InDomain(t.Context(), d.Name)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

func TestVersionHooks(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		units := newNotes(t, db, 3)
		errHook := errors.New("hook")
		var calls []string
		repo := &HookRepo{
			initialize: func(ctx context.Context, v *models.NewVersion) error {
				calls = append(calls, fmt.Sprint("initialize ", v.Number()))
				_, err := v.Add(ctx, units[:1])
				return err
			},
			finalize: func(ctx context.Context, v *models.NewVersion) error {
				calls = append(calls, fmt.Sprint("finalize ", v.Repository().AsRepository().Name))
				_, err := v.Add(ctx, units[2:])
				return err
			},
			observe: func(ctx context.Context, db *models.DB, v *models.RepositoryVersion) error {
				calls = append(calls, fmt.Sprint("observe ", v.Complete))
				return errHook
			},
		}
		repo.Name = "hooked"
		if err := hookRepos.Create(ctx, db, repo); err != nil {
			t.Fatal(err)
		}
		fill := func(v *models.NewVersion) error {
			calls = append(calls, "closure")
			v.Version().Info["revision"] = "abc"
			_, err := v.Add(ctx, units[1:2])
			return err
		}
		v, _, err := models.CreateVersion(ctx, db, repo, nil, fill)
		if !errors.Is(err, errHook) || v == nil {
			t.Fatalf("CreateVersion = %v, %v, want the version and the observer's error", v, err)
		}
		want := []string{"initialize 1", "closure", "finalize hooked", "observe true"}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Fatalf("calls (-want +got):\n%s", diff)
		}
		v, err = models.LatestVersion(ctx, db, repo.ID)
		if err != nil || v.Info["revision"] != "abc" {
			t.Fatalf("LatestVersion = %+v, %v", v, err)
		}
		if got, err := members(ctx, db, v); err != nil || len(got) != 3 {
			t.Fatalf("content = %v, %v", got, err)
		}
		repo.finalize = func(context.Context, *models.NewVersion) error { return errHook }
		v, _, err = models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
			_, err := v.RemoveAll(ctx)
			return err
		})
		if !errors.Is(err, errHook) || v != nil {
			t.Fatalf("CreateVersion = %v, %v, want the finalizer's error", v, err)
		}
	})
}

// TestFinalizerKeepsPlacesUnique gives a type with a finalizer the handling of duplicates that others have: the
// finalizer may settle what would be a collision, and cannot leave two units in one place.
func TestFinalizerKeepsPlacesUnique(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		first, second, third := newFile(t, db, "a", "1", nil), newFile(t, db, "a", "2", nil), newFile(t, db, "a", "3", nil)
		nothing := func(context.Context, *models.NewVersion) error { return nil }
		repo := &HookRepo{
			initialize: nothing, finalize: nothing,
			observe: func(context.Context, *models.DB, *models.RepositoryVersion) error { return nil },
		}
		repo.Name = "hooked"
		if err := hookRepos.Create(ctx, db, repo); err != nil {
			t.Fatal(err)
		}
		create := func(ids ...uuid.UUID) (*models.RepositoryVersion, error) {
			return tryVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
				_, err := v.Add(ctx, ids)
				return err
			})
		}
		for _, id := range []uuid.UUID{first, second} {
			v, err := create(id)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := members(ctx, db, v); err != nil || len(got) != 1 || !got[id] {
				t.Errorf("content = %v, %v, want only the new unit %s", got, err, id)
			}
		}
		if v, err := create(first, third); v != nil || pulperr.Code(err) != "PLP0022" {
			t.Errorf("two new units in one place = %v, %v, want PLP0022", v, err)
		}
		repo.finalize = func(ctx context.Context, v *models.NewVersion) error {
			_, err := v.Remove(ctx, []uuid.UUID{first})
			return err
		}
		v, err := create(first, third)
		if err != nil {
			t.Fatalf("a collision that the finalizer settles = %v", err)
		}
		if got, err := members(ctx, db, v); err != nil || len(got) != 1 || !got[third] {
			t.Errorf("content = %v, %v, want %s", got, err, third)
		}
	})
}

func TestVersionAfterItsEnd(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		units := newNotes(t, db, 1)
		var kept *models.NewVersion
		_, _, err := models.CreateVersion(ctx, db, newRepo(t, db), nil, func(v *models.NewVersion) error {
			kept = v
			_, err := v.Add(ctx, units)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = kept.Remove(ctx, units)
		wantKind(t, err, pulperr.Conflict, "cannot be changed")
		if pulperr.Code(err) != "PLP0006" {
			t.Fatalf("Remove = %v, want PLP0006", err)
		}
	})
}

func TestVersionOfCanceledContext(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		units, repo := newNotes(t, db, 1), newRepo(t, db)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("somebody asked to stop")
		v, _, err := models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
			_, err := v.Add(ctx, units)
			cancel(cause) // the closure overlooks it and reports success
			return err
		})
		if v != nil || !errors.Is(err, cause) {
			t.Fatalf("CreateVersion = %v, %v, want %v", v, err, cause)
		}
		if clean, err := models.Clean(t.Context(), db, repo.ID); err != nil || !clean {
			t.Fatalf("the incomplete version was not discarded, %v", err)
		}
	})
}

// A version that completes must not write back what the repository looked like when it began.
func TestVersionKeepsRepositoryChanges(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 1)
		_, _, err := models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
			other, err := repos.Get(ctx, db, models.RefOf(repo))
			if err != nil {
				return err
			}
			other.Labels = models.Labels{"set": new("meanwhile")}
			if err := repos.Update(ctx, db, other, "pulp_labels"); err != nil {
				return err
			}
			_, err = v.Add(ctx, units)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := repos.Get(ctx, db, models.RefOf(repo))
		if err != nil || !reflect.DeepEqual(got.Labels, models.Labels{"set": new("meanwhile")}) || got.NextVersion != 2 {
			t.Fatalf("repository = %+v, %v", got, err)
		}
	})
}

func TestVersionIsRecordedForItsTask(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		units := newNotes(t, db, 1)
		task := models.NewID()
		scoped := db.ForTask(&models.TaskScope{TaskID: task})
		created := func() (list []models.CreatedResource) {
			err := db.Bun().NewSelect().Model(&list).Where("task_id = ?", task).Scan(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		var inside []models.CreatedResource
		fill := func(v *models.NewVersion) error {
			inside = created()
			_, err := v.Add(ctx, units)
			return err
		}
		hidden := &Repo{}
		hidden.Name, hidden.UserHidden = "hidden", true
		if err := repos.Create(ctx, db, hidden); err != nil {
			t.Fatal(err)
		}
		if _, _, err := models.CreateVersion(ctx, scoped, hidden, nil, fill); err != nil || len(inside)+len(created()) > 0 {
			t.Fatalf("CreateVersion of a hidden repository = %v, recorded %v", err, created())
		}
		errFill := errors.New("fill")
		_, _, err := models.CreateVersion(ctx, scoped, newRepo(t, db), nil, func(v *models.NewVersion) error {
			return errors.Join(fill(v), errFill)
		})
		if !errors.Is(err, errFill) || len(inside) != 1 || !inside[0].Incomplete || len(created()) != 0 {
			t.Fatalf("failed CreateVersion = %v, recorded %v then %v", err, inside, created())
		}
		v, _, err := models.CreateVersion(ctx, scoped, newRepo(t, db), nil, fill)
		if err != nil {
			t.Fatal(err)
		}
		got := created()
		if len(got) != 1 || got[0].Incomplete || got[0].PRN != models.CorePRN("repositoryversion", v.ID) {
			t.Fatalf("recorded %v, want version %v", got, v.ID)
		}
	})
}

func TestVersionInTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		repo, units := newRepo(t, db), newNotes(t, db, 2)
		errRollback := errors.New("rollback")
		for _, end := range []error{errRollback, nil} {
			err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
				_, _, err := models.CreateVersion(ctx, tx.DB, repo, nil, func(v *models.NewVersion) error {
					_, err := v.Add(ctx, units)
					return err
				})
				return errors.Join(err, end)
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
		}
		v, err := models.LatestVersion(ctx, db, repo.ID)
		if err != nil || v.Number != 1 {
			t.Fatalf("LatestVersion = %+v, %v, want number 1", v, err)
		}
	})
}

package models_test

import (
	"errors"
	"testing"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestDeleteRepository(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		p := newPublished(t, db)
		p.publish(t, db, 2, false)
		p.distribute(t, db, func(d *models.Distribution) { d.RepositoryID = &p.repo.ID })
		errStop := errors.New("stop")
		_, _, err := models.CreateVersion(ctx, db, p.repo, nil, func(v *models.NewVersion) error {
			if err := v.MarkSeen(ctx, newNotes(t, db, 2)); err != nil {
				return err
			}
			wantKind(t, repos.Delete(ctx, db, models.RefOf(p.repo)), pulperr.Locked, "")
			models.Abandon(v)
			return errStop
		})
		if !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		err = hookRepos.Delete(ctx, db, models.Ref[HookRepo]{ID: p.repo.ID}) // it is of another type
		wantKind(t, err, pulperr.NotFound, "")
		if n, err := models.CountVersions(ctx, db, p.repo.ID); err != nil || n != 5 {
			t.Fatalf("CountVersions = %d, %v, want 5", n, err)
		}
		if err := repos.Delete(ctx, db, models.RefOf(p.repo)); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{
			"core_repository", "core_repositoryversion", "core_repositorycontent", "core_repositoryversioncount",
			"core_versionseen", "core_publication", "core_createdresource",
		} {
			if n, err := db.Bun().NewSelect().TableExpr(table).Count(ctx); err != nil || n != 0 {
				t.Errorf("%s has %d rows left, %v", table, n, err)
			}
		}
		if n, err := notes.Count(ctx, db); err != nil || n != 6 {
			t.Errorf("%d units are left, %v, want 6: units belong to no repository", n, err)
		}
		wantKind(t, repos.Delete(ctx, db, models.RefOf(p.repo)), pulperr.NotFound, "")
	})
}

package models_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// dieAt lets a process die before its n-th transaction, and keeps the most rows that a statement deleted.
type dieAt struct {
	n       int
	die     context.CancelFunc
	largest int64
}

func (d *dieAt) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	if e.Query == "BEGIN" {
		if d.n--; d.n == 0 {
			d.die()
		}
	}
	return ctx
}

func (d *dieAt) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if e.Result == nil || !strings.HasPrefix(strings.TrimSpace(e.Query), "DELETE") {
		return
	}
	if n, err := e.Result.RowsAffected(); err == nil {
		d.largest = max(d.largest, n)
	}
}

// owner is a row to which many others belong.
type owner struct {
	row    models.Row
	hidden func(db *models.DB) error // nil if nothing of it can be seen
}

// testDeleteOwner deletes owners in processes that die before their first transaction, their second one and so on.
func testDeleteOwner(t *testing.T, batches int, tables []string, create func(t *testing.T, db *models.DB) owner) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := open(t, url)
		for n, died := 1, true; died; n++ {
			o := create(t, db)
			ctx, cancel := context.WithCancel(t.Context())
			d := &dieAt{n: n, die: cancel}
			err := models.Delete(ctx, models.WithHook(open(t, url), d), o.row)
			died = ctx.Err() != nil
			cancel()
			if n == 1 {
				if err == nil {
					t.Fatal("dead before the first transaction, nil; want an error")
				}
				if err := models.Delete(t.Context(), db, o.row); err != nil { // nothing has happened
					t.Fatal(err)
				}
			} else if err != nil {
				t.Fatalf("dead before transaction %d: %v", n, err)
			}
			if err := o.hidden(db); err != nil {
				t.Errorf("dead before transaction %d: %v", n, err)
			}
			wantKind(t, models.Delete(t.Context(), db, o.row), pulperr.NotFound, "")
			if err := models.RemoveLeftovers(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			for _, table := range append(tables, "core_leftover") {
				if left, err := db.Bun().NewSelect().TableExpr(table).Count(t.Context()); err != nil || left > 0 {
					t.Errorf("dead before transaction %d: %s has %d rows left, %v", n, table, left, err)
				}
			}
			if d.largest > 1000 {
				t.Errorf("a statement deleted %d rows", d.largest)
			}
			if !died && n-1 < batches {
				t.Errorf("%d transactions, want at least %d", n-1, batches)
			}
		}
	})
}

func TestDeleteRemoteInBatches(t *testing.T) {
	tables := []string{"core_remote", "core_remoteartifact", "test_test_remote"}
	testDeleteOwner(t, 3, tables, func(t *testing.T, db *models.DB) owner {
		ctx := t.Context()
		var units []*models.ContentWithFiles
		for range 1100 {
			text := fmt.Sprint("of a remote ", serial.Add(1))
			units = append(units, &models.ContentWithFiles{Content: &Note{Text: text}, Files: []models.ContentFile{{RelativePath: text}}})
		}
		if err := models.SaveContents(ctx, db, units); err != nil {
			t.Fatal(err)
		}
		r := newRemote(fmt.Sprint("remote ", serial.Add(1)))
		if err := remotes.Create(ctx, db, r); err != nil {
			t.Fatal(err)
		}
		var ras []*models.RemoteArtifact
		for _, u := range units {
			ras = append(ras, &models.RemoteArtifact{ContentArtifactID: u.Files[0].ID, RemoteID: r.ID, URL: "http://x.example/"})
		}
		if err := models.SaveRemoteArtifacts(ctx, db, ras); err != nil {
			t.Fatal(err)
		}
		return owner{r, func(db *models.DB) error {
			for _, ra := range []*models.RemoteArtifact{ras[0], ras[1000], ras[1099]} {
				n, err := db.Bun().NewSelect().Model((*models.RemoteArtifact)(nil)).
					Join("JOIN core_remote AS m ON m.pulp_id = ra.remote_id").
					Where("ra.content_artifact_id = ?", ra.ContentArtifactID).Count(ctx)
				if err != nil || n > 0 {
					return fmt.Errorf("%d sources of a file are left, %w", n, err)
				}
			}
			return nil
		}}
	})
}

func TestDeletePublicationInBatches(t *testing.T) {
	tables := []string{"core_publication", "core_publishedartifact", "core_publishedmetadata"}
	testDeleteOwner(t, 4, tables, func(t *testing.T, db *models.DB) owner {
		ctx := t.Context()
		store, err := storage.Open(ctx, "mem://", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, files := newFiles(t, db, "one")
		v := add(t, db, newRepo(t, db), newNotes(t, db, 1)...)
		pub := &Publication{}
		pub.RepositoryVersionID = v.ID
		err = models.Publish(ctx, db, store, pub, func(p *models.NewPublication) error {
			var list []*models.PublishedArtifact
			for i := range 1100 {
				list = append(list, &models.PublishedArtifact{ContentArtifactID: files[0], RelativePath: fmt.Sprint(i)})
			}
			if err := p.Add(ctx, list...); err != nil {
				return err
			}
			return p.Metadata(ctx, "index", strings.NewReader("index"))
		})
		if err != nil {
			t.Fatal(err)
		}
		return owner{pub, func(db *models.DB) error {
			_, err := models.LatestPublication(ctx, db, v.RepositoryID, nil)
			if pulperr.KindOf(err) != pulperr.NotFound {
				return fmt.Errorf("LatestPublication: %w, want NotFound", err)
			}
			return nil
		}}
	})
}

// The files made for a publication are content, which no cascade may leave behind without its own half.
func TestPublicationIsNeverCascaded(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		p := newPublished(t, db)
		p.publish(t, db, 2, false)
		for _, q := range []string{"DELETE FROM core_repositoryversion", "DELETE FROM core_repository"} {
			if _, err := db.Bun().ExecContext(t.Context(), q); err == nil {
				t.Errorf("%s took a publication along", q)
			}
		}
	})
}

// A publication whose version is deleted while it is being made is deleted, and cannot grow any more.
func TestPublishOfDeletedVersion(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		store, err := storage.Open(ctx, "mem://", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, files := newFiles(t, db, "one")
		for name, late := range map[string]func(p *models.NewPublication) error{
			"add": func(p *models.NewPublication) error {
				return p.Add(ctx, &models.PublishedArtifact{ContentArtifactID: files[0], RelativePath: "late"})
			},
			"metadata": func(p *models.NewPublication) error {
				return p.Metadata(ctx, "late", strings.NewReader("late"))
			},
			"complete": func(*models.NewPublication) error { return nil },
		} {
			p, pub := newPublished(t, db), &Publication{}
			pub.RepositoryVersionID = p.versions[2].ID
			err := models.Publish(ctx, db, store, pub, func(n *models.NewPublication) error {
				if err := n.Metadata(ctx, "index", strings.NewReader("index")); err != nil {
					return err
				}
				if err := models.DeleteVersion(ctx, db, p.versions[2]); err != nil {
					t.Fatal(err)
				}
				return late(n)
			})
			wantKind(t, err, pulperr.NotFound, "")
			for _, table := range []string{"core_publication", "core_publishedartifact", "core_publishedmetadata", "core_leftover"} {
				if n, err := db.Bun().NewSelect().TableExpr(table).Count(ctx); err != nil || n > 0 {
					t.Errorf("%s: %s has %d rows, %v", name, table, n, err)
				}
			}
			pub = &Publication{}
			pub.RepositoryVersionID = p.versions[2].ID
			wantKind(t, models.Publish(ctx, db, store, pub, late), pulperr.NotFound, "")
		}
	})
}

func TestRemoteArtifactOfNoRemote(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		_, files := newFiles(t, db, "one")
		err := models.SaveRemoteArtifacts(t.Context(), db, []*models.RemoteArtifact{
			{ContentArtifactID: files[0], RemoteID: uuid.New(), URL: "http://x.example/"},
		})
		wantKind(t, err, pulperr.Invalid, "there is no remote")
	})
}

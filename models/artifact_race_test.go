package models_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func openStore(t testing.TB, url string, opts *storage.Options) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), url, opts)
	noErrorTB(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func noErrorTB(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func putArtifact(t testing.TB, db *models.DB, store *storage.Store, body string) *models.Artifact {
	t.Helper()
	a, err := models.NewArtifact(t.Context(), db, store, strings.NewReader(body), nil)
	noErrorTB(t, err)
	return a
}

// later is after everything that a test does.
func later() time.Time { return models.Now().Add(time.Hour) }

func wantBytes(t *testing.T, store *storage.Store, key string, want bool) {
	t.Helper()
	if got, err := store.Exists(t.Context(), key); err != nil || got != want {
		t.Errorf("Exists(%q) = %v, %v, want %v", key, got, err, want)
	}
}

// A sync finds bytes stored and writes nothing; before it saves the row, the old row is deleted with the bytes.
func TestDeletedBetweenBytesAndRow(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, store := t.Context(), openStore(t, "mem://", nil)
		old := putArtifact(t, db, store, "bytes")
		again, err := models.InitAndValidate(ctx, store, strings.NewReader("bytes"), nil)
		noError(t, err)
		noError(t, old.Delete(ctx, db, store, later()))
		wantBytes(t, store, old.Key(), false)
		err = models.SaveArtifacts(ctx, db, store, []*models.Artifact{again})
		gone, ok := errors.AsType[*models.BytesGoneError](err)
		if !ok || !errors.Is(err, pulperr.Unavailable) || len(gone.SHA256) != 1 || gone.SHA256[0] != old.SHA256 {
			t.Fatalf("SaveArtifacts = %v, want a BytesGoneError for %s", err, old.SHA256)
		}
		wantKind(t, old.Delete(ctx, db, store, later()), pulperr.NotFound, "")
		wantBytes(t, store, putArtifact(t, db, store, "bytes").Key(), true)
	})
}

func TestDeleteRepeatsItsConditions(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, store := t.Context(), openStore(t, "mem://", nil)
		a := putArtifact(t, db, store, "bytes")
		age(t, db)
		before := models.Now().Add(-time.Hour)
		found, err := models.FindArtifacts(ctx, db, hashlib.SHA256, []string{a.SHA256})
		if err != nil || len(found) != 1 {
			t.Fatalf("FindArtifacts = %v, %v", found, err)
		}
		wantKind(t, a.Delete(ctx, db, store, before), pulperr.Conflict, "")
		unit := &models.ContentWithFiles{
			Content: &Note{Text: "user"}, Files: []models.ContentFile{{RelativePath: "f", ArtifactID: &a.ID}},
		}
		noError(t, models.SaveContents(ctx, db, []*models.ContentWithFiles{unit}))
		wantKind(t, a.Delete(ctx, db, store, later()), pulperr.Conflict, "")
		wantBytes(t, store, a.Key(), true)
	})
}

// age makes all artifacts old.
func age(t *testing.T, db *models.DB) {
	t.Helper()
	_, err := db.Bun().NewUpdate().TableExpr("core_artifact").Set("timestamp_of_interest = ?",
		models.Now().Add(-1000*time.Hour)).Where("TRUE").Exec(t.Context())
	noError(t, err)
}

// A failure after any operation on the store, or a death there, leaves a row with bytes, or what a sweep removes.
func TestDeleteFailsAtTheStore(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		var broken atomic.Bool
		store := openStore(t, t.TempDir(), &storage.Options{
			Relaxed: true, Intercept: func(_ context.Context, op storage.Op, _ string) error {
				if op == storage.OpDelete && broken.Load() {
					return errors.New("broken")
				}
				return nil
			},
		})
		ctx := t.Context()
		a, b := putArtifact(t, db, store, "one"), putArtifact(t, db, store, "two")
		broken.Store(true)
		for _, x := range []*models.Artifact{a, b} {
			noError(t, x.Delete(ctx, db, store, later()))
			wantBytes(t, store, x.Key(), true)
		}
		broken.Store(false)
		a = putArtifact(t, db, store, "one") // it is wanted again, and its bytes are there
		n, err := models.StraySweep{DB: db, Store: store, Before: models.Now().Add(-time.Hour)}.Run(ctx)
		if n != 1 || err != nil {
			t.Errorf("StraySweep = %d, %v, want 1", n, err)
		}
		wantBytes(t, store, a.Key(), true)
		wantBytes(t, store, b.Key(), false)
	})
}

func TestStraySweep(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, store := t.Context(), openStore(t, t.TempDir(), &storage.Options{Relaxed: true})
		kept := putArtifact(t, db, store, "kept")
		keptTemp, err := models.NewTemporaryFile(ctx, db, store, strings.NewReader("kept"), nil)
		noError(t, err)
		stray, err := store.PutArtifact(ctx, strings.NewReader("stray"), nil)
		noError(t, err)
		strayTemp, err := store.PutTemp(ctx, uuid.New(), strings.NewReader("stray"), nil)
		noError(t, err)
		for _, test := range []struct {
			name   string
			before time.Time
			want   int
		}{
			{"young objects stay", models.Now().Add(-time.Hour), 0},
			{"old ones go", later(), 2},
			{"again nothing", later(), 0},
		} {
			n := 0
			for part := range 24 {
				removed, err := models.StraySweep{DB: db, Store: store, Before: test.before, Part: part, Of: 24}.Run(ctx)
				noError(t, err)
				n += removed
			}
			if n != test.want {
				t.Errorf("%s: removed %d, want %d", test.name, n, test.want)
			}
		}
		wantBytes(t, store, kept.Key(), true)
		wantBytes(t, store, keptTemp.Key(), true)
		wantBytes(t, store, stray.Key, false)
		wantBytes(t, store, strayTemp.Key, false)
	})
}

func TestTemporaryFileWhoseArtifactWasRemoved(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, store := t.Context(), openStore(t, "mem://", nil)
		noError(t, putArtifact(t, db, store, "bytes").Delete(ctx, db, store, later()))
		tf, err := models.NewTemporaryFile(ctx, db, store, strings.NewReader("bytes"), nil)
		noError(t, err)
		a, err := models.ArtifactFromTemporaryFile(ctx, db, store, tf)
		noError(t, err)
		wantBytes(t, store, a.Key(), true)
	})
}

func TestDigestsAreChecked(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		store := openStore(t, "mem://", nil)
		obj, err := store.PutArtifact(t.Context(), strings.NewReader("bytes"), nil)
		noError(t, err)
		obj.Digests.SHA256 = strings.ToUpper(obj.Digests.SHA256)
		err = models.SaveArtifacts(t.Context(), db, store, []*models.Artifact{{Size: 5, Digests: obj.Digests}})
		wantKind(t, err, pulperr.Invalid, "is not 64 lowercase hex characters")
	})
}

// Savers, deleters and sweeps meet at random, on stores that fail now and then; any of them may give up between two
// steps. In the end no row lacks its bytes, and a last sweep leaves no bytes without a row.
func TestArtifactsUnderStress(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"folder": func(t *testing.T) string { return t.TempDir() },
		"bucket": func(*testing.T) string { return "mem://" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db string) {
				t.Parallel()
				stressArtifacts(t, open(t, db), url(t))
			})
		})
	}
}

func stressArtifacts(t *testing.T, db *models.DB, url string) {
	ctx := t.Context()
	var calm atomic.Bool
	store := openStore(t, url, &storage.Options{Relaxed: true, Intercept: func(context.Context, storage.Op, string) error {
		if !calm.Load() && rand.IntN(12) == 0 {
			return fmt.Errorf("broken: %w", pulperr.Unavailable)
		}
		return nil
	}})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 60 {
				stressSave(ctx, t, db, store)
			}
		})
		wg.Go(func() {
			for range 60 {
				stressDelete(ctx, t, db, store)
			}
		})
	}
	wg.Go(func() {
		for range 8 {
			_, err := models.StraySweep{DB: db, Store: store, Before: later()}.Run(ctx)
			allow(t, err, pulperr.Unavailable)
		}
	})
	wg.Wait()
	calm.Store(true)
	_, err := models.StraySweep{DB: db, Store: store, Before: later()}.Run(ctx)
	noError(t, err)
	var rows []*models.Artifact
	noError(t, db.Bun().NewSelect().Model(&rows).Scan(ctx))
	want := map[string]bool{}
	for _, a := range rows {
		want[a.Key()] = true
		wantBytes(t, store, a.Key(), true)
	}
	for a, err := range store.List(ctx, "artifact") {
		if err != nil || !want[a.Key] {
			t.Errorf("%s is without a row, %v", a.Key, err)
		}
	}
}

func stressSave(ctx context.Context, t *testing.T, db *models.DB, store *storage.Store) {
	a, err := models.InitAndValidate(ctx, store, strings.NewReader(fmt.Sprint(rand.IntN(6))), nil)
	if err != nil || rand.IntN(4) == 0 { // it dies between bytes and row
		allow(t, err, pulperr.Unavailable)
		return
	}
	allow(t, models.SaveArtifacts(ctx, db, store, []*models.Artifact{a}), pulperr.Unavailable)
}

func stressDelete(ctx context.Context, t *testing.T, db *models.DB, store *storage.Store) {
	var rows []*models.Artifact
	if err := db.Bun().NewSelect().Model(&rows).Scan(ctx); err != nil || len(rows) == 0 {
		allow(t, err, pulperr.Unavailable)
		return
	}
	err := rows[rand.IntN(len(rows))].Delete(ctx, db, store, later())
	allow(t, err, pulperr.NotFound)
}

// allow fails the test if err is of another kind.
func allow(t *testing.T, err error, kind pulperr.Kind) {
	t.Helper()
	if err != nil && !errors.Is(err, kind) {
		t.Errorf("%v (kind %v)", err, pulperr.KindOf(err))
	}
}

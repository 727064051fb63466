package models_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

const secret = "s3cret-that-must-not-be-found"

func newRemote(name string) *Remote {
	r := &Remote{Fanciness: 7, Token: secrets.NewEncryptedText(secret)}
	r.Name, r.URL, r.Password = name, "https://example.org/", secrets.NewEncryptedText(secret)
	r.Labels = models.Labels{"a": new("b"), "none": nil}
	r.Headers = []map[string]string{{"X-Y": "z?"}}
	r.TotalTimeout, r.RateLimit = ptr(1.5), ptr(3)
	return r
}

func TestTypeRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		want := newRemote("one")
		if err := remotes.Create(ctx, db, want); err != nil {
			t.Fatal(err)
		}
		got, err := remotes.Get(ctx, db, models.RefOf(want))
		if err != nil {
			t.Fatal(err)
		}
		sameSecret := cmp.Comparer(func(a, b secrets.EncryptedText) bool {
			return a.IsSet() == b.IsSet() && a.Reveal() == b.Reveal()
		})
		if diff := cmp.Diff(want, got, sameSecret); diff != "" {
			t.Fatalf("Get (-created +read):\n%s", diff)
		}
		if got.Policy != models.Immediate || !*got.TLSValidation || got.Type != "test.test" || got.Username.IsSet() {
			t.Errorf("defaults: %+v", got)
		}
		cast, err := models.Cast(ctx, db, models.RemoteMaster, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, cast, sameSecret); diff != "" {
			t.Errorf("Cast (-got +cast):\n%s", diff)
		}
		got.Fanciness, got.Name, got.MaxRetries, got.Token = 8, "two", ptr(9), secrets.NewEncryptedText("")
		if err := remotes.Update(ctx, db, got, "fanciness", "name", "token"); err != nil {
			t.Fatal(err)
		}
		again, err := remotes.One(ctx, db, models.Eq("name", "two"), models.Eq("fanciness", 8))
		if err != nil || again.MaxRetries != nil || !again.Token.IsSet() || again.Token.Reveal() != "" ||
			again.Password.Reveal() != secret || !again.Updated.After(want.Updated) {
			t.Fatalf("after Update = %+v, %v", again, err)
		}
		if err := remotes.Delete(ctx, db, models.RefOf(got)); err != nil {
			t.Fatal(err)
		}
		_, err = remotes.Get(ctx, db, models.RefOf(got))
		wantKind(t, err, pulperr.NotFound, "")
		if n, err := db.Bun().NewSelect().TableExpr("test_test_remote").Count(ctx); err != nil || n != 0 {
			t.Errorf("%d detail rows are left, %v", n, err)
		}
	})
}

func TestTypeRefuses(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		first := newRemote("first")
		if err := remotes.Create(ctx, db, first); err != nil {
			t.Fatal(err)
		}
		remote := func(change func(r *Remote)) func() error {
			return func() error {
				r := newRemote(models.NewID().String())
				change(r)
				return remotes.Create(ctx, db, r)
			}
		}
		file := func(f File) func() error {
			return func() error { return files.Create(ctx, db, &f) }
		}
		gone := newRemote("gone")
		gone.ID = models.NewID()
		second := newRemote("second")
		if err := remotes.Create(ctx, db, second); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name string
			do   func() error
			kind pulperr.Kind
			text string
		}{
			{"a name that is taken", remote(func(r *Remote) { r.Name = "first" }), pulperr.Exists, ""},
			{"no name", remote(func(r *Remote) { r.Name = "" }), pulperr.Invalid, "name: "},
			{"a long name", remote(func(r *Remote) { r.Name = strings.Repeat("é", 256) }), pulperr.Invalid, "name: "},
			{"a long name that fits", remote(func(r *Remote) { r.Name = strings.Repeat("é", 255) }), 0, ""},
			{"a NUL byte", remote(func(r *Remote) { r.Name = "a\x00b" }), pulperr.Invalid, "name: Null"},
			{"a NUL byte behind a pointer", remote(func(r *Remote) { r.CACert = ptr("\x00") }), pulperr.Invalid, "ca_cert: "},
			{"text that is not UTF-8", remote(func(r *Remote) { r.URL = "\xff" }), pulperr.Invalid, "url: "},
			{"credentials in the URL", remote(func(r *Remote) { r.URL = "http://u:p@h/" }), pulperr.Invalid, "url: "},
			{"an unknown policy", remote(func(r *Remote) { r.Policy = "now" }), pulperr.Invalid, "policy: "},
			{"a key too long for an index", file(File{Path: strings.Repeat("x", 2001)}), pulperr.Invalid, "relative_path: "},
			{"an update to a taken name", func() error {
				r := *second
				r.Name = "first"
				return remotes.Update(ctx, db, &r, "name")
			}, pulperr.Exists, ""},
			{"an update of no row", func() error { return remotes.Update(ctx, db, gone, "name") }, pulperr.NotFound, ""},
			{"an update of an unknown column", func() error {
				return remotes.Update(ctx, db, second, "nme")
			}, pulperr.Invalid, `no column "nme"`},
			{"an update without a column", func() error { return models.Update(ctx, db, second) }, pulperr.Invalid, "name the"},
			{"a condition on an unknown column", func() error {
				_, err := remotes.List(ctx, db, models.Eq("nme", "x"))
				return err
			}, pulperr.Invalid, `no column "nme"`},
			{"an order by an unknown column", func() error {
				for _, err := range remotes.All(ctx, db, models.OrderBy("-nme")) {
					return err
				}
				return nil
			}, pulperr.Invalid, `no column "nme"`},
			{"a deletion of no row", func() error { return remotes.Delete(ctx, db, models.RefOf(gone)) }, pulperr.NotFound, ""},
			{"a type of no plugin", func() error {
				type unknown struct{ models.Remote }
				return models.Define[unknown]("test.unknown").Create(ctx, db, &unknown{})
			}, pulperr.Unsupported, ""},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				err := test.do()
				if test.kind == 0 && err == nil {
					return
				}
				wantKind(t, err, test.kind, test.text)
			})
		}
		if _, err := remotes.List(ctx, db, models.Eq("no such", 1)); err == nil {
			t.Error("List with an unknown column succeeded")
		}
	})
}

func TestTypeQueries(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		const n = 1203 // more than two pages
		units := make([]*models.ContentWithFiles, n)
		for i := range units {
			units[i] = &models.ContentWithFiles{Content: &File{Path: fmt.Sprintf("%05d", n-i), Digest: "x"}}
		}
		if err := models.SaveContents(ctx, db, units); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for f, err := range files.All(ctx, db, models.Where("d.path > ?", "00003")) {
			if err != nil {
				t.Fatal(err)
			}
			if f.Path <= "00003" {
				t.Fatalf("All gave %q", f.Path)
			}
			seen++
		}
		if seen != n-3 {
			t.Errorf("All gave %d rows, want %d", seen, n-3)
		}
		tests := []struct {
			name  string
			where []models.Cond
			want  []string
		}{
			{"a page", []models.Cond{models.OrderBy("path"), models.Limit(2), models.Offset(1)}, []string{"00002", "00003"}},
			{"descending", []models.Cond{models.OrderBy("-path"), models.Limit(1)}, []string{"01203"}},
			{"a list", []models.Cond{models.In("path", []string{"00007", "x"})}, []string{"00007"}},
			{"an empty list", []models.Cond{models.In("path", []string{})}, nil},
			{"a null", []models.Cond{models.Where("d.arch IS NOT NULL")}, nil},
			{"an offset alone", []models.Cond{models.OrderBy("path"), models.Offset(n - 1)}, []string{"01203"}},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				list, err := files.List(ctx, db, test.where...)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range list {
					got = append(got, f.Path)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Fatalf("List (-want +got):\n%s", diff)
				}
				var all []string
				for f, err := range files.All(ctx, db, test.where...) {
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, f.Path)
				}
				if diff := cmp.Diff(test.want, all); diff != "" {
					t.Fatalf("All (-want +got):\n%s", diff)
				}
			})
		}
		elsewhere := inNewDomain(t, db)
		if n, err := files.Count(ctx, elsewhere); err != nil || n != 0 {
			t.Errorf("another domain sees %d units, %v", n, err)
		}
	})
}

// A row that is older than a version must not take the version's number back.
func TestUpdateLeavesNextVersion(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		repo := newRepo(t, db)
		stale := *repo
		add(t, db, repo, newNotes(t, db, 1)...)
		err := repos.Update(t.Context(), db, &stale, "name", "next_version")
		wantKind(t, err, pulperr.Invalid, "next_version")
		if err := repos.Update(t.Context(), db, &stale, "name"); err != nil {
			t.Fatal(err)
		}
		if v := add(t, db, repo, newNotes(t, db, 1)...); v.Number != 2 {
			t.Fatalf("number = %d, want 2", v.Number)
		}
	})
}

// Whoever reads the database's files finds no secret.
func TestSecretsAreEncrypted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, "sqlite:"+filepath.Join(dir, "test.db"))
	if err := remotes.Create(t.Context(), db, newRemote("one")); err != nil {
		t.Fatal(err)
	}
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("%s contains the secret", d.Name())
		}
		found = found || bytes.Contains(raw, []byte("https://example.org/"))
		return err
	})
	if err != nil || !found {
		t.Fatalf("the row was not found at all, %v", err)
	}
}

func TestSecretsNeedTheirKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		db := open(t, url)
		r := newRemote("one")
		if err := remotes.Create(ctx, db, r); err != nil {
			t.Fatal(err)
		}
		withKeys := func(keys *secrets.Keyring) *models.DB {
			h, err := models.OpenDB(ctx, url, &models.DBOptions{Registry: db.Registry(), Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.Close() })
			if h, err = h.InDomain(ctx, models.DefaultDomain); err != nil {
				t.Fatal(err)
			}
			return h
		}
		key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
		other, err := secrets.NewKeyring(key(1))
		if err != nil {
			t.Fatal(err)
		}
		rotated, err := secrets.NewKeyring(key(1), key(0))
		if err != nil {
			t.Fatal(err)
		}
		for _, keys := range []*secrets.Keyring{nil, other} {
			_, err := remotes.Get(ctx, withKeys(keys), models.RefOf(r))
			wantKind(t, err, pulperr.Unavailable, "encryption key")
		}
		wantKind(t, remotes.Create(ctx, withKeys(nil), newRemote("two")), pulperr.Unavailable, "no encryption key")
		got, err := remotes.Get(ctx, withKeys(rotated), models.RefOf(r))
		if err != nil || got.Token.Reveal() != secret {
			t.Fatalf("Get with a rotated key = %v", err)
		}
		text := fmt.Sprintf("%v %+v %#v %s", got, got, got, slog.AnyValue(got.Token).String())
		if strings.Contains(text, secret) {
			t.Error("a secret is printed")
		}
	})
}

func TestTransactions(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		errUndo := errors.New("undo")
		var hooks []string
		exists := func(name string) bool {
			_, err := remotes.One(ctx, db, models.Eq("name", name))
			return err == nil
		}
		create := func(ctx context.Context, tx *models.Tx, name string) error {
			return remotes.Create(ctx, tx.DB, newRemote(name))
		}
		err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
			tx.AfterCommit(func() { hooks = append(hooks, "outer") })
			if err := create(ctx, tx, "outer"); err != nil {
				return err
			}
			err := tx.Tx(ctx, func(ctx context.Context, in *models.Tx) error { // a savepoint that is rolled back
				in.AfterCommit(func() { hooks = append(hooks, "undone") })
				return errors.Join(create(ctx, in, "undone"), errUndo)
			})
			if !errors.Is(err, errUndo) {
				return fmt.Errorf("savepoint: %w", err)
			}
			if err := create(ctx, tx, "outer"); !errors.Is(err, pulperr.Exists) {
				return fmt.Errorf("a taken name: %w", err)
			}
			return tx.Tx(ctx, func(ctx context.Context, in *models.Tx) error {
				in.AfterCommit(func() { hooks = append(hooks, "inner") })
				return create(ctx, in, "inner")
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"outer", "inner"}, hooks, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("hooks (-want +got):\n%s", diff)
		}
		if !exists("outer") || !exists("inner") || exists("undone") {
			t.Errorf("outer %v, inner %v, undone %v", exists("outer"), exists("inner"), exists("undone"))
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.Tx(canceled, func(context.Context, *models.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("Tx after the end of its context = %v", err)
		}
	})
}

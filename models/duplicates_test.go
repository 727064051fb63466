package models_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestRemoveDuplicates(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		x86 := ptr("x86")
		unit := map[string]uuid.UUID{}
		for name, f := range map[string]File{
			"a1": {Path: "a", Digest: "1"}, "a2": {Path: "a", Digest: "2"}, "a3": {Path: "a", Digest: "3"},
			"a4x86": {Path: "a", Digest: "4", Arch: x86}, "a5x86": {Path: "a", Digest: "5", Arch: x86},
			"b1": {Path: "b", Digest: "1"},
		} {
			unit[name] = newFile(t, db, f.Path, f.Digest, f.Arch)
		}
		note := newNotes(t, db, 1)[0]
		unit["note"] = note
		list := func(names ...string) (ids []uuid.UUID) {
			for _, n := range names {
				ids = append(ids, unit[n])
			}
			return ids
		}
		otherBase := add(t, db, newRepo(t, db), list("a2", "b1")...)
		tests := []struct {
			name         string
			first, then  []string
			base         string // "0" is version 0, "1" the first, "other" another repository's with a2 and b1
			want, refuse []string
		}{
			{
				name: "a new unit takes the place of the old", first: []string{"a1", "b1", "note"}, then: []string{"a2"},
				want: []string{"a2", "b1", "note"},
			},
			{
				name: "a null is a value like others", first: []string{"a1", "a4x86"}, then: []string{"a5x86"},
				want: []string{"a1", "a5x86"},
			},
			{name: "two new units in one place", first: []string{"b1"}, then: []string{"a1", "a2"}, refuse: []string{"a"}},
			{
				name: "two new units in one place with a value", first: []string{"b1"}, then: []string{"a4x86", "a5x86"},
				refuse: []string{"a"},
			},
			{name: "an old base is older", first: []string{"a1"}, base: "1", then: []string{"a2"}, want: []string{"a2"}},
			{
				name: "a unit back from the latest version is new to an older base", first: []string{"a1"}, base: "0",
				then: []string{"a1", "b1"}, want: []string{"a1", "b1"},
			},
			{
				name: "the content of another base is older", first: []string{"a1"}, base: "other", then: []string{"a3"},
				want: []string{"a3", "b1"},
			},
			{
				name: "new units collide on another base", first: []string{"a1"}, base: "other", then: []string{"a1", "a3"},
				refuse: []string{"a"},
			},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				ctx := t.Context()
				repo := newRepo(t, db)
				add(t, db, repo, list(test.first...)...)
				v, _, err := models.CreateVersion(ctx, db, repo, &models.VersionOptions{
					Base: pickBase(t, db, repo, test.base, otherBase),
				}, func(v *models.NewVersion) error {
					_, err := v.Add(ctx, list(test.then...))
					return err
				})
				if test.refuse != nil {
					wantKind(t, err, pulperr.Invalid, "same relative_path, arch ("+test.refuse[0]+",")
					if pulperr.Code(err) != "PLP0022" {
						t.Fatalf("code = %q", pulperr.Code(err))
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				checkContent(ctx, t, db, v, list(test.want...))
			})
		}
	})
}

// A base of another repository may hold two units in one place, for its type may have other rules. A new unit in that
// place takes it from both.
func TestRemoveDuplicatesOfBase(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		var units []uuid.UUID
		for _, digest := range []string{"1", "2", "3"} {
			units = append(units, newFile(t, db, "a", digest, nil))
		}
		base := add(t, db, newRepo(t, db), units[0])
		_, err := db.Bun().NewRaw(`INSERT INTO core_repositorycontent (repository_id, content_id, version_added)
			VALUES (?, ?, ?)`, base.RepositoryID, units[1], base.Number).Exec(ctx)
		if err != nil {
			t.Fatal(err)
		}
		build := func(ids ...uuid.UUID) (*models.RepositoryVersion, error) {
			return tryVersion(ctx, db, newRepo(t, db), &models.VersionOptions{Base: base},
				func(v *models.NewVersion) error {
					_, err := v.Add(ctx, ids)
					return err
				})
		}
		_, err = build()
		wantKind(t, err, pulperr.Invalid, "2 units of type test.file with the same relative_path, arch (a,")
		v, err := build(units[2])
		if err != nil {
			t.Fatal(err)
		}
		checkContent(ctx, t, db, v, units[2:])
	})
}

// Many units that replace many others are looked up a page at a time, each page once.
func TestRemoveDuplicatesInPages(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		const n = 2500
		save := func(digest string) (ids []uuid.UUID) {
			units := []*models.ContentWithFiles{}
			for i := range n {
				units = append(units, &models.ContentWithFiles{Content: &File{Path: fmt.Sprint(i), Digest: digest}})
			}
			if err := models.SaveContents(ctx, db, units); err != nil {
				t.Fatal(err)
			}
			for _, u := range units {
				ids = append(ids, u.Content.PulpID())
			}
			return ids
		}
		repo := newRepo(t, db)
		add(t, db, repo, save("old")...)
		fresh := save("new")
		var lookups int
		v := add(t, models.WithHook(db, seeing(func(q string) {
			if strings.Contains(q, "AS place") {
				lookups++
			}
		})), repo, fresh...)
		checkContent(ctx, t, db, v, fresh)
		if lookups > 6 { // a page of which all are replaced is looked up once more
			t.Errorf("%d look-ups for %d units", lookups, n)
		}
	})
}

// seeing is called with each query that has ended.
type seeing func(query string)

func (s seeing) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (s seeing) AfterQuery(_ context.Context, e *bun.QueryEvent)                    { s(e.Query) }

func pickBase(t *testing.T, db *models.DB, repo *Repo, name string, other *models.RepositoryVersion,
) *models.RepositoryVersion {
	t.Helper()
	number := 0
	switch name {
	case "":
		return nil
	case "other":
		return other
	case "1":
		number = 1
	}
	v, err := models.VersionByNumber(t.Context(), db, repo.ID, number)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func checkContent(ctx context.Context, t *testing.T, db *models.DB, v *models.RepositoryVersion, want []uuid.UUID) {
	t.Helper()
	got, err := members(ctx, db, v)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || slices.ContainsFunc(want, func(id uuid.UUID) bool { return !got[id] }) {
		t.Fatalf("content = %v, want %v", got, want)
	}
}

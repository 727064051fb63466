package models_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

// Release is a unit of a package index: many have the same project.
type Release struct {
	models.Content
	Filename string  `pulp:"natural"`
	Project  string  `pulp:"index"`
	Size     int64   `pulp:"index"`
	Python   *string // without an index
}

var (
	releases     = models.Define[Release]("ix.release")
	releaseRepos = models.Define[Repo]("ix.repo", models.Accepts(releases))
	tokens       = models.Define[Remote]("ix.remote")
)

func openReleases(t testing.TB, url string) *models.DB {
	t.Helper()
	return modelstest.Open(t, url, nil,
		models.PluginModels{Plugin: "ix", Types: []models.AnyType{releases, releaseRepos, tokens}})
}

// collect returns the values of a walk.
func collect[V any](t *testing.T, db *models.DB, column string, where ...models.Cond) []V {
	t.Helper()
	var list []V
	for v, err := range models.Distinct[V](t.Context(), db, releases, column, where...) {
		if err != nil {
			t.Fatalf("Distinct(%q): %v", column, err)
		}
		list = append(list, v)
	}
	return list
}

// newReleases saves n releases of each project and returns their keys.
func newReleases(t *testing.T, db *models.DB, n int, projects ...string) []uuid.UUID {
	t.Helper()
	units := make([]*models.ContentWithFiles, 0, n*len(projects))
	for i := range n * len(projects) {
		python := fmt.Sprint("cp", 3+i/3%3)
		r := &Release{Filename: fmt.Sprint(serial.Add(1)), Project: projects[i%len(projects)], Size: int64(i % 4)}
		if i%4 != 0 {
			r.Python = &python
		}
		units = append(units, &models.ContentWithFiles{Content: r})
	}
	noError(t, models.SaveContents(t.Context(), db, units))
	ids := make([]uuid.UUID, len(units))
	for i, u := range units {
		ids[i] = u.Content.PulpID()
	}
	return ids
}

func eachReleases(t *testing.T, fn func(t *testing.T, db *models.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		fn(t, openReleases(t, url))
	})
}

func TestDistinct(t *testing.T) {
	eachReleases(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		if got := collect[string](t, db, "project"); got != nil {
			t.Errorf("values without rows = %q", got)
		}
		repo := &Repo{}
		repo.Name = "r"
		noError(t, releaseRepos.Create(ctx, db, repo))
		version := func(ids []uuid.UUID) *models.RepositoryVersion {
			v, _, err := models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
				_, err := v.Add(ctx, ids)
				return err
			})
			noError(t, err)
			return v
		}
		newReleases(t, db, 3, "z", "it's", "", "ünï", "out")
		v := version(newReleases(t, db, 5, "b", "a", "it's"))
		other := models.Domain{Name: "other", Labels: models.Labels{}}
		other.ID, other.Created, other.Updated = models.NewID(), models.Now(), models.Now()
		_, err := db.Bun().NewInsert().Model(&other).Exec(ctx)
		noError(t, err)
		elsewhere, err := db.InDomain(ctx, "other")
		noError(t, err)
		newReleases(t, elsewhere, 2, "hidden", "a")

		incomplete := *v
		incomplete.Complete = false // its members are not counted, so the index is walked
		members, walked := models.InVersion(v), models.InVersion(&incomplete)
		three := []string{"a", "b", "it's"}
		for name, tt := range map[string]struct {
			where []models.Cond
			want  []string
		}{
			"all":              {nil, []string{"", "a", "b", "it's", "out", "z", "ünï"}},
			"members":          {[]models.Cond{members}, three},
			"index of members": {[]models.Cond{walked}, three},
			"in two versions":  {[]models.Cond{members, walked}, three},
			"by an expression": {[]models.Cond{models.Where("d.project > ?", "b"), members}, []string{"it's"}},
			"by the master's":  {[]models.Cond{models.Where("m.pulp_created < ?", repo.Created)}, nil},
			"by an equality":   {[]models.Cond{models.Eq("project", "b"), walked}, []string{"b"}},
			"of none":          {[]models.Cond{models.In[string]("project", nil)}, nil},

			"by an equality without index": {[]models.Cond{models.Eq("python", "cp5"), walked}, []string{"a", "b"}},
		} {
			got := collect[string](t, db, "project", tt.where...)
			if db.Conn().Kind == sqldialect.Postgres {
				slices.Sort(got) // the database may sort as a language does
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: Distinct = %q, want %q", name, got, tt.want)
			}
		}
		if got := collect[string](t, elsewhere, "project"); !slices.Equal(got, []string{"a", "hidden"}) {
			t.Errorf("values of another domain = %q", got)
		}
		if got := collect[int64](t, db, "size"); !slices.Equal(got, []int64{0, 1, 2, 3}) {
			t.Errorf("sizes = %v", got)
		}
		if got := collect[string](t, db, "python", walked); !slices.Equal(got, []string{"cp3", "cp4", "cp5"}) {
			t.Errorf("values without NULL = %q", got)
		}
		if got := collect[string](t, db, "pulp_type"); !slices.Equal(got, []string{"ix.release"}) {
			t.Errorf("values of a column of the master = %q", got)
		}
		if got := collect[string](t, db, "filename"); len(got) != 30 {
			t.Errorf("%d values of the natural key, want 30", len(got))
		}
	})
}

// More values than one statement reads, the walk stopped early, and a context that ends.
func TestDistinctPages(t *testing.T) {
	eachReleases(t, func(t *testing.T, db *models.DB) {
		var names []string
		for i := range 1203 {
			names = append(names, fmt.Sprintf("%05d", i))
		}
		newReleases(t, db, 2, names...)
		if got := collect[string](t, db, "project"); !slices.Equal(got, names) {
			t.Errorf("%d values, or not in order; want %d", len(got), len(names))
		}
		n := 0
		for _, err := range models.Distinct[string](t.Context(), db, releases, "project") {
			noError(t, err)
			if n++; n == 700 {
				break
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n = 0
		var last error
		for _, err := range models.Distinct[string](ctx, db, releases, "project") {
			n, last = n+1, err
			cancel()
		}
		if n != 501 || !errors.Is(last, context.Canceled) {
			t.Errorf("a canceled walk ends after %d values with %v", n, last)
		}
	})
}

func TestDistinctFaults(t *testing.T) {
	eachReleases(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		fault := func(column string, where ...models.Cond) (err error) {
			for _, err = range models.Distinct[string](ctx, db, releases, column, where...) {
			}
			return err
		}
		wantKind(t, fault("projekt"), pulperr.Invalid, `no column "projekt"`)
		wantKind(t, fault("project", models.Eq("nothing", 1)), pulperr.Invalid, `no column "nothing"`)
		for _, c := range []models.Cond{models.Limit(1), models.Offset(1), models.OrderBy("size")} {
			wantKind(t, fault("project", c), pulperr.Invalid, "leave them out")
		}
		for _, err := range models.Distinct[secrets.EncryptedText](ctx, db, tokens, "token") {
			wantKind(t, err, pulperr.Invalid, "is encrypted")
		}
		for _, err := range models.Distinct[string](ctx, db, notes, "text") {
			wantKind(t, err, pulperr.Unsupported, "not supported")
		}
	})
}

// fillReleases writes n releases of n/per projects, beside those of another repository, and a version of all of them,
// without the library. Postgres was last told of its tables when they were empty.
func fillReleases(t *testing.T, db *models.DB, n, per int) *models.RepositoryVersion {
	t.Helper()
	ctx := t.Context()
	repo := &Repo{}
	repo.Name = "large"
	noError(t, releaseRepos.Create(ctx, db, repo))
	if db.Conn().Kind == sqldialect.Postgres {
		for _, table := range []string{"core_content", "ix_release_content", "core_repositorycontent"} {
			_, err := db.Bun().ExecContext(ctx, "ALTER TABLE "+table+" SET (autovacuum_enabled = false)")
			noError(t, err)
		}
	}
	noError(t, sqldialect.Analyze(ctx, db.Conn().Kind, db.Bun(), "core_content", "ix_release_content",
		"core_repositorycontent"))
	numbers, id, name := "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?0) ",
		"printf('%08x-0000-7000-8000-000000000000', i.n)", "printf('project %07d', i.n % (?0 / ?4))"
	if db.Conn().Kind == sqldialect.Postgres {
		numbers = "WITH i(n) AS (SELECT generate_series(1, ?0)) "
		id = "CAST(lpad(to_hex(i.n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid)"
		name = "'project ' || lpad((i.n % (?0 / ?4))::text, 7, '0')"
	}
	for _, statement := range []string{
		"INSERT INTO core_content (pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, pulp_type, pulp_labels, " +
			"timestamp_of_interest) " + numbers + "SELECT ?id, ?1, ?1, ?2, 'ix.release', '{}', ?1 FROM i",
		"INSERT INTO ix_release_content (pulp_id, pulp_domain_id, filename, project, size) " + numbers +
			"SELECT ?id, ?2, 'file ' || i.n, ?name, i.n FROM i",
		"INSERT INTO core_repositorycontent (repository_id, content_id, version_added) " + numbers +
			"SELECT ?3, ?id, 1 FROM i",
	} {
		noError(t, db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
			_, err := tx.Bun().ExecContext(ctx, strings.NewReplacer("?id", id, "?name", name).Replace(statement),
				n, models.Now(), db.Domain().ID, repo.ID, per)
			return err
		}))
	}
	v := &models.RepositoryVersion{RepositoryID: repo.ID, Number: 1, Complete: true}
	v.ID, v.Created, v.Updated, v.Info = models.NewID(), models.Now(), models.Now(), map[string]any{}
	_, err := db.Bun().NewInsert().Model(v).Exec(ctx)
	noError(t, err)
	_, err = db.Bun().ExecContext(ctx, `INSERT INTO core_repositoryversioncount (version_id, pulp_type, added, removed,
		present) VALUES (?, 'ix.release', ?, 0, ?)`, v.ID, n, n)
	noError(t, err)
	return v
}

// TestDistinctAtScale explains the statements for the names of a large version, and for the units of one name, before
// and after the tables were analysed.
func TestDistinctAtScale(t *testing.T) {
	eachReleases(t, func(t *testing.T, db *models.DB) {
		const per = 200
		v := fillReleases(t, db, *scale, per)
		for _, fresh := range []bool{false, true} {
			if fresh {
				noError(t, sqldialect.Analyze(t.Context(), db.Conn().Kind, db.Bun(), "core_content", "ix_release_content",
					"core_repositorycontent"))
			}
			watch := func(name string, read int, ask func()) {
				t.Helper()
				// An index is of no use if only the domain is looked for in it.
				plans := &modelstest.Plans{DB: db, Sorts: true, Wrong: `SEARCH d .*\(pulp_domain_id=\?\)`}
				db.Conn().Bun.AddQueryHook(plans) //nolint:staticcheck // the pool of the test alone
				ask()
				plans.Check(t, fmt.Sprintf("%s, fresh statistics %t", name, fresh), read)
			}
			projects := *scale / per
			watch("names of a version", projects, func() {
				if got := collect[string](t, db, "project", models.InVersion(v)); len(got) != projects {
					t.Errorf("%d names, want %d", len(got), projects)
				}
			})
			watch("names of a type", projects, func() {
				if got := collect[string](t, db, "project"); len(got) != projects {
					t.Errorf("%d names, want %d", len(got), projects)
				}
			})
			watch("units of a name", per, func() {
				got, err := releases.List(t.Context(), db, models.InVersion(v), models.Eq("project", "project 0000007"))
				if err != nil || len(got) != per {
					t.Errorf("%d units of a name, %v, want %d", len(got), err, per)
				}
			})
			watch("number of units of a name", per, func() {
				n, err := releases.Count(t.Context(), db, models.InVersion(v), models.Where("d.project = ?", "project 0000007"))
				if err != nil || n != per {
					t.Errorf("%d units of a name, %v, want %d", n, err, per)
				}
			})
			watch("sizes of a name", per, func() {
				got := collect[int64](t, db, "size", models.InVersion(v), models.Eq("project", "project 0000007"))
				if len(got) != per {
					t.Errorf("%d sizes of a name, want %d", len(got), per)
				}
			})
		}
	})
}

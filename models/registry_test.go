package models_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// All faults of all types are in one error.
func TestNewRegistryReportsEveryFault(t *testing.T) {
	t.Parallel()
	type (
		noKey struct {
			models.Content
			Text string
		}
		badWord struct {
			models.Content
			Text string `pulp:"natural,unique"`
		}
		badLen struct {
			models.Content
			Text string `pulp:"natural,len=no"`
		}
		pointerKey struct {
			models.Content
			Text *string `pulp:"natural"`
		}
		hiding struct {
			models.Remote
			Name string `bun:"name"`
		}
		twice  struct{ models.Remote }
		clashA struct {
			models.Content
			Text string `pulp:"natural"`
		}
		clashB struct {
			models.Content
			Text string `pulp:"natural"`
		}
		samePRN struct{ models.Remote }
		repoBad struct{ models.Repository }
		guard   struct{ models.ContentGuard }

		distribution struct{ models.Distribution }
	)
	stray := models.Define[Note]("stray.note")
	set := models.PluginModels{Plugin: "bad", Types: []models.AnyType{
		models.Define[noKey]("bad.no_key"),
		models.Define[badWord]("bad.word"),
		models.Define[badLen]("bad.len"),
		models.Define[pointerKey]("bad.pointer"),
		models.Define[hiding]("bad.hiding"),
		models.Define[twice]("bad.twice"),
		models.Define[twice]("bad.again"),
		models.Define[samePRN]("bad.twi_ce"),
		models.Define[clashA]("bad.x_content"),
		models.Define[Stranger]("Bad.Name"),
		models.Define[repoBad]("bad.repo", models.Accepts(stray, remotes), models.SyncsFrom(stray)),
		models.Define[guard]("bad.guard", models.Accepts(notes), models.PullsFrom(remotes)),
		models.Define[distribution]("bad.distribution", models.PullsFrom(notes)),
	}}
	_, err := models.NewRegistry(set, models.PluginModels{Plugin: "bad"}, models.PluginModels{Plugin: "core"}, models.PluginModels{
		Plugin: "bad_x", Types: []models.AnyType{models.Define[clashB]("bad_x.content"), models.Define[clashA]("other.a")},
	})
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("NewRegistry = %v, want Invalid", err)
	}
	for _, want := range []string{
		`type "bad.no_key": no field is tagged pulp:"natural"`,
		`type "bad.word": field Text: pulp tag: unknown word "unique"`,
		`type "bad.len": field Text: pulp tag: len="no" is not a positive number`,
		`type "bad.pointer": field Text: a natural key field cannot be a pointer`,
		`type "bad.hiding": field Name: it hides the master's column`,
		`type "bad.again": models_test.twice is defined as type "bad.twice" too`,
		`type "bad.twi_ce": its PRNs would be those of type "bad.twice"`,
		`type "Bad.Name": the name is not of the form plugin.type`,
		`type "bad.repo": Accepts: test.test is no content type`,
		`type "bad.repo": SyncsFrom: stray.note is no remote type`,
		`type "bad.guard": Accepts is for repositories`,
		`type "bad.guard": PullsFrom is for distributions`,
		`type "bad.distribution": PullsFrom: test.note is no remote type`,
		`type "bad_x.content": its table bad_x_content_content is that of type "bad.x_content"`,
		`type "other.a": the name does not start with the plugin's name; change it in models.Define to "bad_x.…"`,
		`plugin "bad": it is given twice`,
		`plugin "core": the name is not usable`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	r, err := models.NewRegistry(testSet())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for typ := range r.Types() {
		names = append(names, string(typ.Master())+" "+typ.Name())
	}
	want := []string{
		"content test.file", "content test.note", "content test.stranger", "remote test.test", "repository test.test",
		"repository test.hook", "publication test.test", "distribution test.test",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("Types (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"test.file", "test.note"}, r.Accepts(repos)); diff != "" {
		t.Errorf("Accepts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"test.test"}, r.SyncsFrom(repos)); diff != "" {
		t.Errorf("SyncsFrom (-want +got):\n%s", diff)
	}
	if row, ok := r.Lookup(models.ContentMaster, "test.file"); !ok || row.(*File) == nil {
		t.Errorf("Lookup = %T, %v", row, ok)
	}
	if _, ok := r.Lookup(models.ContentMaster, "test.test"); ok {
		t.Errorf("Lookup found a content type that is a repository type")
	}
	var own []string
	for _, f := range r.Fields(files) {
		if f.Own {
			own = append(own, f.Column+" "+f.JSON+" "+f.Doc)
		}
	}
	wantOwn := []string{"path relative_path Path within the repository.", "digest digest ", "arch arch "}
	if diff := cmp.Diff(wantOwn, own); diff != "" {
		t.Errorf("Fields (-want +got):\n%s", diff)
	}
	if models.PRNModel(repos) != "testrepository" {
		t.Errorf("PRNModel = %q", models.PRNModel(repos))
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		open := func(sets ...models.PluginModels) *models.DB {
			r, err := models.NewRegistry(sets...)
			if err != nil {
				t.Fatal(err)
			}
			db, err := models.OpenDB(ctx, url, &models.DBOptions{Registry: r})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db
		}
		step := func(name, up, down string) fstest.MapFS {
			return fstest.MapFS{
				name + ".up.sql": {Data: []byte(up)}, name + ".down.sql": {Data: []byte(down)},
			}
		}
		v1 := step("0001_one", "CREATE TABLE x_one (id {{.uuid}} PRIMARY KEY, q TEXT DEFAULT '?')", "DROP TABLE x_one")
		v2 := step("0002_two", "CREATE TABLE x_two (id {{.uuid}})\n--;;\nCREATE INDEX x_i ON x_two (id)",
			"DROP TABLE x_two")
		v2["0001_one.up.sql"], v2["0001_one.down.sql"] = v1["0001_one.up.sql"], v1["0001_one.down.sql"]
		old := open(testSet(), models.PluginModels{Plugin: "x", Migrations: v1})
		newer := open(testSet(), models.PluginModels{Plugin: "x", Migrations: v2})

		if empty, err := models.Empty(ctx, old); err != nil || !empty {
			t.Fatalf("Empty = %v, %v", empty, err)
		}
		wantKind(t, models.CheckSchema(ctx, old), pulperr.Conflict, "older than this program: migrations 0001_initial of core, 0002_tasking of core,")
		up := func(db *models.DB) {
			t.Helper()
			if err := errors.Join(models.Migrate(ctx, db), models.CheckSchema(ctx, db)); err != nil {
				t.Fatal(err)
			}
		}
		up(old)
		up(old) // again is nothing
		wantKind(t, models.CheckSchema(ctx, newer), pulperr.Conflict, "migration 0002_two of x has not been applied; call")
		up(newer)
		wantKind(t, models.CheckSchema(ctx, old), pulperr.Conflict, "newer than this program")
		wantKind(t, models.Migrate(ctx, old), pulperr.Conflict, "newer than this program")

		changed := step("0001_one", "CREATE TABLE x_one (id INTEGER)", "DROP TABLE x_one")
		wantKind(t, models.Migrate(ctx, open(models.PluginModels{Plugin: "x", Migrations: changed})), pulperr.Conflict, "has been changed")

		for _, want := range []string{
			"x 0002_two", "x 0001_one", "x ", "test 0001_initial", "test ", "core 0004_checksum_policy",
			"core 0003_task_trace", "core 0002_tasking", "core 0001_initial", "core ",
		} {
			plugin, id, _ := strings.Cut(want, " ")
			if got, err := models.Rollback(ctx, newer, plugin); err != nil || got != id {
				t.Fatalf("Rollback(%q) = %q, %v, want %q", plugin, got, err, id)
			}
		}
		if empty, err := models.Empty(ctx, newer); err != nil || !empty {
			t.Fatalf("Empty after all rollbacks = %v, %v", empty, err)
		}
		up(newer)
		if _, err := newer.InDomain(ctx, models.DefaultDomain); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMigrateFails(t *testing.T) {
	t.Parallel()
	const good = "CREATE TABLE x_good (id INTEGER)"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a name without a number", map[string]string{"one.up.sql": good}, "is not named NNNN_name"},
		{"up without down", map[string]string{"0001_one.up.sql": good}, "lacks its up or its down file"},
		{"an unknown word", map[string]string{"0001_one.up.sql": "{{.text}}", "0001_one.down.sql": "x"}, "text"},
		{"bad SQL", map[string]string{
			"0001_one.up.sql": good + "\n--;;\nCREATE FABLE", "0001_one.down.sql": "x",
		}, "0001_one of x"},
	}
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				fsys := fstest.MapFS{}
				for name, text := range test.files {
					fsys[name] = &fstest.MapFile{Data: []byte(text)}
				}
				r, err := models.NewRegistry(models.PluginModels{Plugin: "x", Migrations: fsys})
				if err != nil {
					if !strings.Contains(err.Error(), test.want) {
						t.Errorf("NewRegistry = %v, want %q", err, test.want)
					}
					return
				}
				db, err := models.OpenDB(t.Context(), url, &models.DBOptions{Registry: r})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if err := models.Migrate(t.Context(), db); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("Migrate = %v, want %q", err, test.want)
				}
				if empty, err := models.Empty(t.Context(), db); err != nil || !empty {
					t.Fatalf("a failed migration left something: Empty = %v, %v", empty, err)
				}
			})
		}
	})
}

// Any number of processes may start at once on an empty database.
func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		done := make(chan error)
		const processes = 4
		for range processes {
			go func() {
				done <- func() error {
					r, err := models.NewRegistry(testSet())
					if err != nil {
						return err
					}
					db, err := models.OpenDB(ctx, url, &models.DBOptions{Registry: r})
					if err != nil {
						return err
					}
					return errors.Join(models.Migrate(ctx, db), models.CheckSchema(ctx, db), db.Close())
				}()
			}()
		}
		for range processes {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

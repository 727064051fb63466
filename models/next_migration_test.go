package models_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/secrets"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files of this package")

// The plugin "shop" in its first release.
type (
	item1 struct {
		models.Content
		Name  string `pulp:"natural,index"`
		Price int
		Note  *string
	}
	shelf1 struct{ models.Repository }
)

// The same in its second: a column of each kind, another natural key, other indexes, a column less, a type that gets
// its first column, and a type more.
type (
	item2 struct {
		models.Content
		Name    string  `pulp:"natural"`
		Variant string  `pulp:"natural,index=look"`
		Colour  *string `pulp:"repo,index=look"`
		Price   int     `pulp:"index"`
		Fresh   bool
		Weight  float64
		Owner   uuid.UUID
		Picked  time.Time
		Sizes   []int
		Secret  secrets.EncryptedText
	}
	shelf2 struct {
		models.Repository
		Height int
		Label  string
		Depth  *int
	}
	crate2 struct {
		models.Content
		Number int `pulp:"natural"`
	}
)

// shop is one release of the plugin.
type shop struct {
	types      []models.AnyType
	migrations fstest.MapFS
}

func (s shop) set() models.PluginModels {
	set := models.PluginModels{Plugin: "shop", Types: s.types}
	if s.migrations != nil {
		set.Migrations = s.migrations
	}
	return set
}

// next returns the release with the next migration, whose name it returns too.
func (s shop) next(t *testing.T, drop ...string) (shop, *models.NewMigration) {
	t.Helper()
	m, err := models.NextMigration(t.Context(), s.set(), &models.MigrationOptions{Drop: drop})
	if err != nil || m == nil {
		t.Fatalf("NextMigration = %v, %v", m, err)
	}
	files := fstest.MapFS{m.ID + ".up.sql": {Data: []byte(m.Up)}, m.ID + ".down.sql": {Data: []byte(m.Down)}}
	for name, file := range s.migrations {
		files[name] = file
	}
	done := shop{s.types, files}
	if again, err := models.NextMigration(t.Context(), done.set(), nil); again != nil || err != nil {
		t.Errorf("NextMigration with the migration in place = %v, %v, want nothing to do", again, err)
	}
	return done, m
}

func (s shop) open(t *testing.T, url string) *models.DB {
	t.Helper()
	r, err := models.NewRegistry(s.set())
	noError(t, err)
	keys, err := secrets.NewKeyring(make([]byte, 32))
	noError(t, err)
	db, err := models.OpenDB(t.Context(), url, &models.DBOptions{Registry: r, Keys: keys})
	noError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func golden(t *testing.T, name string, migrations ...*models.NewMigration) {
	t.Helper()
	var b strings.Builder
	for _, m := range migrations {
		b.WriteString("== " + m.ID + ".up.sql\n" + m.Up + "== " + m.ID + ".down.sql\n" + m.Down)
	}
	path := "testdata/" + name
	if *updateGolden {
		noError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(path)
	noError(t, err)
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestNextMigration takes a plugin with rows from one release to the next and back.
func TestNextMigration(t *testing.T) {
	t.Parallel()
	items1, shelves1 := models.Define[item1]("shop.item"), models.Define[shelf1]("shop.shelf")
	items2, shelves2 := models.Define[item2]("shop.item"), models.Define[shelf2]("shop.shelf")
	first, m1 := shop{types: []models.AnyType{items1, shelves1}}.next(t)
	second, m2 := shop{[]models.AnyType{items2, shelves2, models.Define[crate2]("shop.crate")}, first.migrations}.
		next(t, "shop_item_content.note")
	golden(t, "next_migration.sql", m1, m2)
	if m2.ID != "0002_drop_note" {
		t.Errorf("the second migration is %s, want 0002_drop_note", m2.ID)
	}
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		old := modelstest.Open(t, url, nil, first.set())
		item := &item1{Name: "apple", Price: 3}
		noError(t, items1.Create(ctx, old, item))
		shelf := &shelf1{models.Repository{Name: "left"}}
		noError(t, shelves1.Create(ctx, old, shelf))

		db := second.open(t, url)
		wantKind(t, models.CheckSchema(ctx, db), pulperr.Conflict,
			"migration "+m2.ID+" of shop has not been applied; call pulpcore.Migrate with the same settings and plugins")
		noError(t, models.Migrate(ctx, db))
		noError(t, models.CheckSchema(ctx, db))
		db, err := db.InDomain(ctx, models.DefaultDomain)
		noError(t, err)
		got, err := items2.One(ctx, db, models.Eq("name", "apple"))
		noError(t, err)
		want := item2{Content: got.Content, Name: "apple", Price: 3, Picked: got.Picked}
		if diff := cmp.Diff(want, *got, cmp.AllowUnexported(secrets.EncryptedText{})); diff != "" || !got.Picked.IsZero() {
			t.Errorf("the old row (-want +got):\n%s", diff)
		}
		if s, err := shelves2.Get(ctx, db, models.Ref[shelf2]{ID: shelf.ID}); err != nil || s.Name != "left" || s.Depth != nil {
			t.Errorf("Get of a row whose type had no column before = %+v, %v", s, err)
		}
		noError(t, models.SaveContents(ctx, db, []*models.ContentWithFiles{
			{Content: &item2{Name: "apple"}},
			{Content: &item2{Name: "apple", Variant: "red", Sizes: []int{1}}},
			{Content: &crate2{Number: 1}},
		}))
		if n, err := items2.Count(ctx, db); err != nil || n != 2 {
			t.Errorf("Count = %d, %v, want 2: the old unit and one with another variant", n, err)
		}
		red, err := items2.One(ctx, db, models.Eq("variant", "red"))
		noError(t, err)
		noError(t, items2.Delete(ctx, db, models.RefOf(red)))

		id, err := models.Rollback(ctx, db, "shop")
		if err != nil || id != m2.ID {
			t.Fatalf("Rollback = %q, %v", id, err)
		}
		noError(t, models.CheckSchema(ctx, old))
		if back, err := items1.One(ctx, old, models.Eq("price", 3)); err != nil || back.Name != "apple" || back.Note != nil {
			t.Errorf("One after the rollback = %+v, %v", back, err)
		}
	})
}

// TestNextMigrationRefuses tries changes that only their author can describe.
func TestNextMigrationRefuses(t *testing.T) {
	t.Parallel()
	type (
		typed struct {
			models.Content
			Name  string `pulp:"natural,index"`
			Price string
			Note  string
		}
		renamed struct {
			models.Content
			Name    string `pulp:"natural,index"`
			Price   int
			Comment *string
		}
	)
	first, _ := shop{types: []models.AnyType{models.Define[item1]("shop.item")}}.next(t)
	inline := fstest.MapFS{
		"0001_a.up.sql": {Data: []byte("CREATE TABLE shop_crate_content (pulp_id {{.uuid}} PRIMARY KEY, " +
			"pulp_domain_id {{.uuid}} NOT NULL, size BIGINT NOT NULL, UNIQUE (pulp_domain_id, size))")},
		"0001_a.down.sql": {Data: []byte("DROP TABLE shop_crate_content")},
	}
	for _, test := range []struct {
		name string
		shop shop
		opts *models.MigrationOptions
		kind pulperr.Kind
		want []string
	}{
		{
			"another type of column",
			shop{[]models.AnyType{models.Define[typed]("shop.item")}, first.migrations},
			nil,
			pulperr.Unsupported,
			[]string{
				"column shop_item_content.price is BIGINT, and its field needs TEXT; write a migration by hand",
				"column shop_item_content.note has to be NOT NULL for its field",
			},
		},
		{
			"a column that may have been renamed",
			shop{[]models.AnyType{models.Define[renamed]("shop.item")}, first.migrations},
			nil,
			pulperr.Unsupported,
			[]string{
				`column shop_item_content.note has no field any more; if its values may be lost, name it in Drop`,
				`write a migration by hand with ALTER TABLE shop_item_content RENAME COLUMN "note" TO "comment"`,
			},
		},
		{"a type that is gone", shop{nil, first.migrations}, nil, pulperr.Unsupported, []string{
			"table shop_item_content belongs to no type with columns of its own", "delete its rows from core_content",
		}},
		{
			"a natural key within CREATE TABLE",
			shop{[]models.AnyType{models.Define[crate2]("shop.crate")}, inline},
			&models.MigrationOptions{Drop: []string{"shop_crate_content.size"}}, pulperr.Unsupported,
			[]string{
				"table shop_crate_content has UNIQUE (pulp_domain_id, size) within CREATE TABLE",
				"column shop_crate_content.size is part of the index or key sqlite_autoindex_shop_crate_content_2",
			},
		},
		{
			"a drop of nothing",
			shop{[]models.AnyType{models.Define[item1]("shop.item")}, first.migrations},
			&models.MigrationOptions{Drop: []string{"shop_item_content.price", "x.y"}}, pulperr.Unsupported,
			[]string{
				`"shop_item_content.price", which shall be dropped, is not a column without a field`, `"x.y", which`,
			},
		},
		{"a bad name", first, &models.MigrationOptions{Name: "Add Colour"}, pulperr.Invalid, []string{`name "Add Colour"`}},
		{"migrations that fail", shop{nil, fstest.MapFS{
			"0001_a.up.sql": {Data: []byte("CREATE FABLE")}, "0001_a.down.sql": {Data: []byte("x")},
		}}, nil, pulperr.Invalid, []string{`migrations of plugin "shop" on SQLite: invalid input: database: "CREATE FABLE"`}},
		{"types with faults", shop{[]models.AnyType{nil}, nil}, nil, pulperr.Invalid, []string{"type 1 is nil"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := models.NextMigration(t.Context(), test.shop.set(), test.opts)
			if m != nil {
				t.Errorf("NextMigration = %+v, want none", m)
			}
			for _, want := range test.want {
				if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), want) {
					t.Errorf("NextMigration = %v, want kind %v and %s", err, test.kind, want)
				}
			}
		})
	}
}

// Types may refer to those of other plugins, whose names may begin alike.
func TestNextMigrationNeedsOtherPlugins(t *testing.T) {
	t.Parallel()
	type book struct {
		models.Content
		Title string `pulp:"natural"`
	}
	crates := models.Define[crate2]("shop_books.crate")
	other := models.PluginModels{Plugin: "shop_books", Types: []models.AnyType{crates}}
	set := models.PluginModels{Plugin: "shop", Types: []models.AnyType{
		models.Define[book]("shop.book"), models.Define[shelf1]("shop.shelf", models.Accepts(crates)),
	}}
	if _, err := models.NextMigration(t.Context(), set, nil); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("NextMigration without the other plugin = %v, want kind Invalid", err)
	}
	m, err := models.NextMigration(t.Context(), set, nil, other)
	if err != nil || m.ID != "0001_initial" || strings.Contains(m.Up, "crate") {
		t.Errorf("NextMigration = %+v, %v, want the tables of plugin shop", m, err)
	}
}

// What is refused can be written by hand, and is no difference any more then: a renamed field, and one of another type.
func TestMigrationByHand(t *testing.T) {
	t.Parallel()
	type byHand struct {
		models.Content
		Title string `pulp:"natural,index=name"`
		Price string
		Note  *string
	}
	items1, items2 := models.Define[item1]("shop.item"), models.Define[byHand]("shop.item")
	first, _ := shop{types: []models.AnyType{items1}}.next(t)
	second := shop{[]models.AnyType{items2}, fstest.MapFS{
		"0001_initial.up.sql": first.migrations["0001_initial.up.sql"], "0001_initial.down.sql": {Data: []byte("x")},
		"0002_by_hand.up.sql": {Data: []byte(`ALTER TABLE shop_item_content RENAME COLUMN "name" TO "title"
--;;
ALTER TABLE shop_item_content ADD COLUMN "price_text" TEXT NOT NULL DEFAULT ''
--;;
UPDATE shop_item_content SET "price_text" = CAST("price" AS TEXT)
--;;
ALTER TABLE shop_item_content DROP COLUMN "price"
--;;
ALTER TABLE shop_item_content RENAME COLUMN "price_text" TO "price"
`)},
		"0002_by_hand.down.sql": {Data: []byte("x")},
	}}
	if m, err := models.NextMigration(t.Context(), second.set(), nil); m != nil || err != nil {
		t.Errorf("NextMigration after the one by hand = %+v, %v, want nothing to do", m, err)
	}
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		old := modelstest.Open(t, url, nil, first.set())
		noError(t, items1.Create(t.Context(), old, &item1{Name: "apple", Price: 3}))
		db := modelstest.Open(t, url, nil, second.set())
		noError(t, models.CheckSchema(t.Context(), db))
		if got, err := items2.One(t.Context(), db, models.Eq("title", "apple")); err != nil || got.Price != "3" {
			t.Errorf("One = %+v, %v, want price 3", got, err)
		}
	})
}

// A plugin that derives its tables gets migrations without touching an installation, and the layout of either text
// does not matter: the old one was written by another generator.
func TestMigrationsTakeOverDerivedTables(t *testing.T) {
	t.Parallel()
	items := models.Define[item1]("shop.item")
	derived := shop{types: []models.AnyType{items}}
	written, m := derived.next(t)
	layout := strings.NewReplacer("CREATE TABLE", "create  table", "\n  ", "\n\t", "NOT NULL", "Not Null /* always */", `"`, "")
	old := shop{derived.types, fstest.MapFS{
		m.ID + ".up.sql":   {Data: []byte("-- by hand\n" + layout.Replace(m.Up))},
		m.ID + ".down.sql": {Data: []byte(m.Down)},
	}}
	changed := shop{[]models.AnyType{models.Define[item2]("shop.item")}, nil}
	edited := shop{derived.types, fstest.MapFS{
		m.ID + ".up.sql":   {Data: []byte(strings.Replace(m.Up, "BIGINT", "INTEGER", 1))},
		m.ID + ".down.sql": {Data: []byte(m.Down)},
	}}
	forgotten := shop{changed.types, written.migrations}
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		for _, from := range []shop{old, derived} {
			db := from.open(t, url)
			noError(t, models.Migrate(ctx, db))
			for _, to := range []shop{derived, written, old} {
				noError(t, models.CheckSchema(ctx, to.open(t, url)))
			}
			_, err := models.Rollback(ctx, db, "shop")
			noError(t, err)
		}
		noError(t, models.Migrate(ctx, derived.open(t, url)))
		wantKind(t, models.CheckSchema(ctx, changed.open(t, url)), pulperr.Conflict,
			`the types of plugin "shop" have changed since its tables were derived from them`)
		wantKind(t, models.CheckSchema(ctx, edited.open(t, url)), pulperr.Conflict,
			`migration 0001_initial of plugin "shop" has been changed since it was applied: restore 0001_initial.up.sql`)
		wantKind(t, models.CheckSchema(ctx, forgotten.open(t, url)), pulperr.Conflict,
			"the table shop_item_content of type \"shop.item\" lacks the columns (variant, colour, fresh")
	})
}

func TestWriteMigrationFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/migrations"
	m := &models.NewMigration{ID: "0001_initial", Up: "up\n", Down: "down\n"}
	noError(t, m.Write(dir))
	for name, want := range map[string]string{"0001_initial.up.sql": "up\n", "0001_initial.down.sql": "down\n"} {
		if got, err := fs.ReadFile(os.DirFS(dir), name); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	if err := m.Write(dir); !errors.Is(err, pulperr.Exists) {
		t.Errorf("Write over files = %v, want kind Exists", err)
	}
	noError(t, os.Remove(dir+"/0001_initial.down.sql"))
	if err := m.Write(dir); !errors.Is(err, pulperr.Exists) {
		t.Errorf("Write beside half a migration = %v, want kind Exists", err)
	}
	if _, err := os.Stat(dir + "/0001_initial.down.sql"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused Write left a file: %v", err)
	}
}

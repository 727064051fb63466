package models_test

import (
	"testing"
	"testing/fstest"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

// TestMigrationKeepsQuestionMarks writes texts that bun could take for placeholders.
func TestMigrationKeepsQuestionMarks(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx := t.Context()
		registry, err := models.NewRegistry(models.PluginModels{Plugin: "x", Migrations: fstest.MapFS{
			"0001_one.up.sql": {Data: []byte("CREATE TABLE x_one (q TEXT)\n--;;\n" +
				"INSERT INTO x_one (q) VALUES ('what? ?0 ?id')\n")},
			"0001_one.down.sql": {Data: []byte("DROP TABLE x_one")},
		}})
		if err != nil {
			t.Fatal(err)
		}
		db, err := models.OpenDB(ctx, url, &models.DBOptions{Registry: registry})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := models.Migrate(ctx, db); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := db.Bun().NewSelect().Table("x_one").Column("q").Scan(ctx, &got); err != nil {
			t.Fatal(err)
		}
		if want := "what? ?0 ?id"; got != want {
			t.Errorf("the migration wrote %q, want %q", got, want)
		}
	})
}

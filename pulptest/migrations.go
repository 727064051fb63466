package pulptest

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
)

// Environment variables that make [Migrations] write.
const (
	// WriteMigrationEnv is the name of the migration to write, as in "add_colour", or "1" for a name made of the change.
	WriteMigrationEnv = "PULP_WRITE_MIGRATION"
	// DropColumnsEnv lists the columns that the migration may drop, as in "file_file_content.note,file_file_remote.x".
	DropColumnsEnv = "PULP_DROP_COLUMNS"
)

// Migrations fails the test if the plugin's types need a migration that is not in dir, or if the plugin does not embed
// the files of dir. Dir is the folder migrations of the plugin's package, as a path relative to it.
//
//	func TestMigrations(t *testing.T) {
//		pulptest.Migrations(t, "migrations", file.Plugin())
//	}
//
// With PULP_WRITE_MIGRATION=1 in the environment it writes the migration instead; see [pulpcore.WriteMigration] for
// the changes that can be derived, and for needs.
//
//	PULP_WRITE_MIGRATION=add_colour go test -run TestMigrations ./file
func Migrations(t testing.TB, dir string, p *pulpcore.Plugin, needs ...*pulpcore.Plugin) {
	t.Helper()
	opts := &models.MigrationOptions{}
	if list := os.Getenv(DropColumnsEnv); list != "" {
		opts.Drop = strings.Split(list, ",")
	}
	name := os.Getenv(WriteMigrationEnv)
	if name == "" {
		checkMigrations(t, dir, p, opts, needs)
		return
	}
	if name != "1" {
		opts.Name = name
	}
	switch id, err := pulpcore.WriteMigration(t.Context(), dir, p, opts, needs...); {
	case err != nil:
		t.Errorf("pulptest: %v", err)
	case id == "":
		t.Log("pulptest: the migrations are complete")
	default:
		t.Logf("pulptest: wrote %s/%s.up.sql and .down.sql; read them, and embed them by //go:embed "+
			"migrations/*.sql", dir, id)
	}
}

func checkMigrations(t testing.TB, dir string, p *pulpcore.Plugin, o *models.MigrationOptions,
	needs []*pulpcore.Plugin,
) {
	t.Helper()
	m, err := pulpcore.NextMigration(t.Context(), dir, p, o, needs...)
	if err != nil {
		t.Errorf("pulptest: %v", err)
		return
	}
	if m != nil {
		t.Errorf("pulptest: the types of plugin %q need a migration that is not in %s; run the test with %s=1 to write "+
			"it:\n%s",
			p.Name, dir, WriteMigrationEnv, m.Up)
		return
	}
	files, err := fs.Glob(os.DirFS(dir), "*.sql")
	if err != nil {
		t.Fatalf("pulptest: %v", err)
	}
	for _, name := range files {
		// A file that lies in the folder only is missing in the program that is released.
		if p.Migrations == nil || !embeds(p.Migrations, dir, name) {
			t.Errorf("pulptest: plugin %q does not bring %s/%s; embed it by //go:embed migrations/*.sql and set "+
				"Plugin.Migrations",
				p.Name, dir, name)
		}
	}
}

// embeds reports whether a plugin's file system has a file of the folder, with the same text.
func embeds(fsys fs.FS, dir, name string) bool {
	want, err := fs.ReadFile(os.DirFS(dir), name)
	if err != nil {
		return false
	}
	// go:embed keeps the folder in the names, unless the plugin has taken it off with fs.Sub.
	for _, at := range []string{name, "migrations/" + name} {
		if got, err := fs.ReadFile(fsys, at); err == nil {
			return string(got) == string(want)
		}
	}
	return false
}

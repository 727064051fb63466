package pulptest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// note is the one type of a plugin.
type note struct {
	models.Content
	Text string `json:"text" pulp:"natural"`
}

// recorder is a test that keeps what is reported.
type recorder struct {
	testing.TB
	errors, logs string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors += fmt.Sprintf(format, args...) + "\n"
}

func (r *recorder) Logf(format string, args ...any) { r.logs += fmt.Sprintf(format, args...) + "\n" }
func (r *recorder) Log(args ...any)                 { r.logs += fmt.Sprintln(args...) }

// TestMigrations goes an author's way: the test fails, writes the migration, asks for it to be embedded, and passes.
func TestMigrations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "migrations")
	p := &pulpcore.Plugin{Name: "note", Version: "1", Models: []models.AnyType{models.Define[note]("note.note")}}
	run := func(wantError, wantLog string) {
		t.Helper()
		r := &recorder{TB: t}
		pulptest.Migrations(r, dir, p)
		if (wantError == "") != (r.errors == "") || !strings.Contains(r.errors, wantError) {
			t.Errorf("Migrations reports %q, want %q", r.errors, wantError)
		}
		if !strings.Contains(r.logs, wantLog) {
			t.Errorf("Migrations logs %q, want %q", r.logs, wantLog)
		}
	}
	run("run the test with PULP_WRITE_MIGRATION=1 to write it:\n-- Made from", "")
	t.Setenv(pulptest.WriteMigrationEnv, "first_tables")
	run("", "0001_first_tables.up.sql and .down.sql; read them")
	run("", "the migrations are complete")
	t.Setenv(pulptest.WriteMigrationEnv, "")
	run("does not bring "+dir+"/0001_first_tables.up.sql", "")
	p.Migrations = os.DirFS(filepath.Dir(dir))
	run("", "")

	type shorter struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	p.Models = []models.AnyType{models.Define[shorter]("note.note")}
	run("column note_note_content.text has no field any more", "")
	t.Setenv(pulptest.WriteMigrationEnv, "1")
	t.Setenv(pulptest.DropColumnsEnv, "note_note_content.text")
	run("", "0002_drop_text.up.sql")
}

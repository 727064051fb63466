package pulpcore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/models"
)

// The plugin "paint" in its first release and in the second.
type (
	paint1 struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	paint2 struct {
		models.Content
		Name   string `json:"name" pulp:"natural"`
		Colour string `json:"colour" pulp:"index"`
	}
)

// A plugin that was released gets a field. The author lets the next migration be written, reads it, and embeds it.
func ExampleWriteMigration() {
	dir, err := os.MkdirTemp("", "paint")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	dir = filepath.Join(dir, "migrations")
	for _, release := range []models.AnyType{models.Define[paint1]("paint.can"), models.Define[paint2]("paint.can")} {
		plugin := &pulpcore.Plugin{Name: "paint", Version: "1.0.0", Models: []models.AnyType{release}}
		id, err := pulpcore.WriteMigration(context.Background(), dir, plugin, nil)
		if err != nil {
			log.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, id+".up.sql"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s:\n%s", id, text)
	}
	// Output:
	// 0001_initial:
	// -- Made from the types of plugin paint. Change it before its release if need be, and never after.
	// CREATE TABLE paint_can_content (
	//   pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_content ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	//   pulp_domain_id {{.uuid}} NOT NULL,
	//   "name" TEXT NOT NULL
	// )
	// --;;
	// CREATE UNIQUE INDEX paint_can_content_key ON paint_can_content ("pulp_domain_id", "name")
	// 0002_add_colour:
	// -- Made from the types of plugin paint. Change it before its release if need be, and never after.
	// ALTER TABLE paint_can_content ADD COLUMN "colour" TEXT NOT NULL DEFAULT ''
	// --;;
	// CREATE INDEX paint_can_content_colour_idx ON paint_can_content ("colour")
}

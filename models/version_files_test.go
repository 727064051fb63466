package models_test

import (
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// Units without files, even a page full of them, do not end the walk.
func TestVersionFiles(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		ids := newNotes(t, db, 1100)
		var units []*models.ContentWithFiles
		for i := range 3 {
			units = append(units, &models.ContentWithFiles{
				Content: &Note{Text: fmt.Sprint("with files ", i)},
				Files:   []models.ContentFile{{RelativePath: "a"}, {RelativePath: fmt.Sprint("b/", i)}},
			})
		}
		if err := models.SaveContents(ctx, db, units); err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			ids = append(ids, u.Content.PulpID())
		}
		got := 0
		for f, err := range add(t, db, newRepo(t, db), ids...).Files(ctx, db) {
			if err != nil {
				t.Fatal(err)
			}
			if f.RelativePath == "" || f.ArtifactID != nil {
				t.Errorf("file = %+v", f)
			}
			got++
		}
		if got != 6 {
			t.Errorf("Files gave %d files, want 6", got)
		}
	})
}

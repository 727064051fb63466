package models_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Tag is a unit whose file may be replaced.
type Tag struct {
	models.Content
	Name string `json:"name" pulp:"natural"`
}

var tags = models.Define[Tag]("tags.tag", models.Replaceable())

func saveFile(t *testing.T, db *models.DB, c models.AnyContent, a *models.Artifact) (uuid.UUID, error) {
	t.Helper()
	file := models.ContentFile{RelativePath: "m.zip"}
	if a != nil {
		file.ArtifactID = &a.ID
	}
	u := &models.ContentWithFiles{Content: c, Files: []models.ContentFile{file}}
	err := models.SaveContents(t.Context(), db, []*models.ContentWithFiles{u})
	return u.Files[0].ID, err
}

func wantFile(t *testing.T, db *models.DB, id uuid.UUID, want *models.Artifact) {
	t.Helper()
	if a := artifactOf(t, db, id); a == nil || a.SHA256 != want.SHA256 {
		t.Errorf("the file has artifact %+v, want sha256 %s", a, want.SHA256)
	}
}

// Saving a unit again does not change what is served.
func TestOtherBytesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		store := openStore(t, "mem://", nil)
		good, evil := putArtifact(t, db, store, "good"), putArtifact(t, db, store, "evil")
		id, err := saveFile(t, db, &Note{Text: "v1"}, nil)
		noError(t, err)
		for range 2 { // it arrives, and is the same again
			_, err = saveFile(t, db, &Note{Text: "v1"}, good)
			noError(t, err)
			wantFile(t, db, id, good)
		}
		given := &Note{Text: "v1"}
		_, err = saveFile(t, db, given, evil)
		wantKind(t, err, pulperr.Conflict, "test.note unit text=v1: the file \"m.zip\"")
		conflict, ok := errors.AsType[*models.FileConflictError](err)
		if !ok || len(conflict.Files) != 1 || conflict.Files[0].Content != models.AnyContent(given) ||
			conflict.Files[0].Saved != good.SHA256 || conflict.Files[0].Given != evil.SHA256 {
			t.Errorf("conflict = %+v", conflict)
		}
		wantFile(t, db, id, good)
	})
}

func TestReplaceable(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := modelstest.Open(t, url, nil, models.PluginModels{Plugin: "tags", Types: []models.AnyType{tags}})
		store := openStore(t, "mem://", nil)
		for _, body := range []string{"one", "two"} {
			a := putArtifact(t, db, store, body)
			id, err := saveFile(t, db, &Tag{Name: "latest"}, a)
			noError(t, err)
			wantFile(t, db, id, a)
		}
	})
}

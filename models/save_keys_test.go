package models_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

// Keyed is a unit whose natural key has a column of every kind that one can have.
type Keyed struct {
	models.Content
	Name  string    `json:"name" pulp:"natural"`
	Epoch int64     `json:"epoch" pulp:"natural"`
	Small uint8     `json:"small" pulp:"natural"`
	Yes   bool      `json:"yes" pulp:"natural"`
	Other uuid.UUID `json:"other" pulp:"natural"`
	Note  string    `json:"note"`
}

var keyedUnits = models.Define[Keyed]("keys.keyed")

// TestNaturalKeysOfEveryKind saves units that differ from each other in one column of the key each, and finds them.
func TestNaturalKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := openKeyed(t, url)
		declare := func(note string) []*models.ContentWithFiles {
			base := Keyed{Name: "n", Epoch: -1, Other: uuid.NameSpaceDNS, Note: note}
			list := []*Keyed{new(base), new(base), new(base), new(base), new(base), new(base)}
			list[1].Name, list[2].Epoch, list[3].Small, list[4].Yes = "'; DROP TABLE \"x\" --?", 1<<60, 255, true
			list[5].Other = uuid.Nil
			var units []*models.ContentWithFiles
			for _, k := range list {
				units = append(units, &models.ContentWithFiles{Content: k, Files: []models.ContentFile{{RelativePath: "f"}}})
			}
			return units
		}
		first := declare("first")
		noError(t, models.SaveContents(t.Context(), db, first))
		again := declare("again")
		noError(t, models.SaveContents(t.Context(), db, again))
		seen := map[uuid.UUID]bool{}
		for i, u := range again {
			id := u.Content.PulpID()
			if id != first[i].Content.PulpID() || u.Content.(*Keyed).Note != "first" || u.Files[0].ID != first[i].Files[0].ID {
				t.Errorf("unit %d = %+v, want what was saved first, %+v", i, u.Content, first[i].Content)
			}
			seen[id] = true
		}
		if len(seen) != len(again) {
			t.Errorf("%d units, want %d", len(seen), len(again))
		}
		var contents []models.AnyContent
		for _, u := range declare("asked") {
			contents = append(contents, u.Content)
		}
		contents = append(contents, &Keyed{Name: "unknown"})
		found, err := models.FindContents(t.Context(), db, contents)
		noError(t, err)
		if want := fmt.Sprint([]bool{true, true, true, true, true, true, false}); fmt.Sprint(found) != want {
			t.Errorf("FindContents() = %v, want %v", found, want)
		}
	})
}

func openKeyed(t *testing.T, url string) *models.DB {
	t.Helper()
	registry, err := models.NewRegistry(models.PluginModels{Plugin: "keys", Types: []models.AnyType{keyedUnits}})
	noError(t, err)
	db, err := models.OpenDB(t.Context(), url, &models.DBOptions{Registry: registry})
	noError(t, err)
	t.Cleanup(func() { noError(t, db.Close()) })
	noError(t, models.Migrate(t.Context(), db))
	db, err = db.InDomain(t.Context(), models.DefaultDomain)
	noError(t, err)
	return db
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package models_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

// A publication of which a client could not get every file is refused.
func TestPublishPaths(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		for _, test := range []struct {
			name      string
			version   []string // paths of its units
			published []string
			through   bool
			want      string // of the error
		}{
			{"no files", nil, nil, true, ""},
			{"different paths", []string{"a", "a-b", "b/c"}, []string{"a.txt", "b/d", "c/d/e"}, true, ""},
			{"one path of two units", []string{"a", "b", "a"}, nil, true, `two files of the publication have the path "a"`},
			{"one path of two units that are not served", []string{"a", "a"}, []string{"b"}, false, ""},
			{"a published path of a unit", []string{"a", "b"}, []string{"a"}, true, `two files of the publication have the path "a"`},
			{"a published path of a unit that is not served", []string{"a", "b"}, []string{"a"}, false, ""},
			{"units in a folder of a unit's name", []string{"a", "a!", "a/b", "a0"}, nil, true, `file "a" beside "a/b"`},
			{"published in a folder of a published name", nil, []string{"a/b", "a/b/c/d", "a/b-"}, false, `file "a/b" beside "a/b/c/d"`},
			{"a unit in a folder of a published name", []string{"a/b"}, []string{"a"}, true, `file "a" beside "a/b"`},
			{"names that begin alike", []string{"ab", "a-b/c", "a%b/c", "a_b/c"}, []string{"a%b/d"}, true, ""},
		} {
			t.Run(test.name, func(t *testing.T) {
				units, _ := newFilesAnywhere(t, db, test.version)
				_, published := newFilesAnywhere(t, db, test.published)
				v := add(t, db, newRepo(t, db), append(units, newNotes(t, db, 1)...)...)
				pub := &Publication{}
				pub.RepositoryVersionID, pub.PassThrough = v.ID, test.through
				err := models.Publish(ctx, db, nil, pub, func(p *models.NewPublication) error {
					for i, path := range test.published {
						err := p.Add(ctx, &models.PublishedArtifact{ContentArtifactID: published[i], RelativePath: path})
						if err != nil {
							return err
						}
					}
					return nil
				})
				_, missing := models.LatestPublication(ctx, db, v.RepositoryID, nil)
				if test.want == "" {
					if err != nil || missing != nil {
						t.Fatalf("Publish = %v, then LatestPublication %v", err, missing)
					}
					return
				}
				wantKind(t, err, pulperr.Invalid, test.want)
				wantKind(t, missing, pulperr.NotFound, "")
			})
		}
	})
}

// newFilesAnywhere makes units with files that may share paths: their type takes no place in a version.
func newFilesAnywhere(t *testing.T, db *models.DB, paths []string) (units, files []uuid.UUID) {
	t.Helper()
	for _, path := range paths {
		u := &models.ContentWithFiles{Content: &Note{Text: models.NewID().String()}, Files: []models.ContentFile{{RelativePath: path}}}
		if err := models.SaveContents(t.Context(), db, []*models.ContentWithFiles{u}); err != nil {
			t.Fatal(err)
		}
		units, files = append(units, u.Content.PulpID()), append(files, u.Files[0].ID)
	}
	return units, files
}

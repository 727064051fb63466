package lookup_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/content/internal/lookup"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// What a content request asks is looked up in indexes, however long the history of the repository is and whether or not
// any of it is published.
func TestContentRequestsOfALongHistory(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		v := modelstest.FillVersion(t, db, newRepo(t, db).ID, 3000)
		repo, last := v.RepositoryID, addVersions(t, db, v.RepositoryID, 3000)
		source, file := lookup.Statements(db)
		ask := func(name string, read int, statement string, args ...any) {
			p := &modelstest.Plans{
				DB: db, Sorts: true, Statements: []string{db.Conn().Bun.QueryGen().FormatQuery(statement, args...)},
			}
			p.Check(t, name, read)
		}
		finder := lookup.New(db)
		defer finder.Close()
		d := &Distribution{}
		d.Name, d.BasePath, d.RepositoryID = "long", "long", &repo
		if err := distributions.Create(ctx, db, d); err != nil {
			t.Fatal(err)
		}
		serves := func(number int, published bool) {
			t.Helper()
			got, err := finder.Source(ctx, d.AsDistribution())
			if err != nil || got.Number != number || got.RepositoryID != repo || (got.PublicationID != nil) != published {
				t.Errorf("source %+v, %v; want version %d, published: %v", got, err, number, published)
			}
		}

		ask("no publication", 1, source, repo, db.Domain().ID, repo)
		serves(last, false)
		pub := &Publication{}
		pub.RepositoryVersionID = v.ID
		err := models.Publish(ctx, db, nil, pub, func(*models.NewPublication) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		ask("an old publication", 1, source, repo, db.Domain().ID, repo)
		ask("file", 1, file, repo, last, last, "note 7")
		got, err := finder.File(ctx, &lookup.Source{VersionID: v.ID, RepositoryID: repo, Number: last}, "note 7")
		if err != nil || got.ContentArtifactID == uuid.Nil {
			t.Errorf("file %+v, %v", got, err)
		}
		serves(v.Number, true)
	})
}

// addVersions adds versions that change nothing, and returns the number of the last.
func addVersions(t *testing.T, db *models.DB, repositoryID uuid.UUID, n int) int {
	t.Helper()
	numbers, id := "WITH RECURSIVE i(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM i WHERE n <= ?0) ",
		"printf('%08x-0000-7000-8000-000000000001', i.n)"
	if db.Conn().Kind == sqldialect.Postgres {
		numbers, id = "WITH i(n) AS (SELECT generate_series(2, ?0 + 1)) ", "gen_random_uuid()"
	}
	_, err := db.Bun().ExecContext(t.Context(), `INSERT INTO core_repositoryversion (pulp_id, pulp_created,
		pulp_last_updated, repository_id, number, complete, info) `+numbers+
		fmt.Sprintf("SELECT %s, ?1, ?1, ?2, i.n, TRUE, '{}' FROM i", id), n, models.Now(), repositoryID)
	if err != nil {
		t.Fatal(err)
	}
	return n + 1
}

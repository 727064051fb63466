package models_test

import (
	"fmt"
	"testing"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// What a content request asks is looked up in indexes, however long the history of the repository is and whether or not
// any of it is published.
func TestContentRequestsOfALongHistory(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		s := newScaled(t, db, 3000)
		repo, last := s.version.RepositoryID, s.addVersions(t, 3000)
		source, file := models.ContentStatements(db)
		ask := func(name string, read int, statement string, args ...any) {
			w := &watched{db: db, sorts: true, statements: []string{db.Conn().Bun.QueryGen().FormatQuery(statement, args...)}}
			w.check(t, name, read)
		}
		lookup := models.NewLookup(db)
		defer lookup.Close()
		d := &Distribution{}
		d.Name, d.BasePath, d.RepositoryID = "long", "long", &repo
		if err := distributions.Create(ctx, db, d); err != nil {
			t.Fatal(err)
		}
		serves := func(number int, published bool) {
			t.Helper()
			got, err := lookup.Source(ctx, d.AsDistribution())
			if err != nil || got.Number != number || got.RepositoryID != repo || (got.PublicationID != nil) != published {
				t.Errorf("source %+v, %v; want version %d, published: %v", got, err, number, published)
			}
		}

		ask("no publication", 1, source, repo, db.Domain().ID, repo)
		serves(last, false)
		pub := &Publication{}
		pub.RepositoryVersionID = s.version.ID
		err := models.Publish(ctx, db, nil, pub, func(*models.NewPublication) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		ask("an old publication", 1, source, repo, db.Domain().ID, repo)
		ask("file", 1, file, repo, last, last, "note 7")
		serves(s.version.Number, true)
	})
}

// addVersions adds versions that change nothing, and returns the number of the last.
func (s *scaled) addVersions(t *testing.T, n int) int {
	t.Helper()
	numbers, id := "WITH RECURSIVE i(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM i WHERE n <= ?0) ",
		"printf('%08x-0000-7000-8000-000000000001', i.n)"
	if s.db.Conn().Kind == sqldialect.Postgres {
		numbers, id = "WITH i(n) AS (SELECT generate_series(2, ?0 + 1)) ", "gen_random_uuid()"
	}
	_, err := s.db.Bun().ExecContext(t.Context(), `INSERT INTO core_repositoryversion (pulp_id, pulp_created,
		pulp_last_updated, repository_id, number, complete, info) `+numbers+
		fmt.Sprintf("SELECT %s, ?1, ?1, ?2, i.n, TRUE, '{}' FROM i", id), n, models.Now(), s.version.RepositoryID)
	if err != nil {
		t.Fatal(err)
	}
	return n + 1
}

package modelstest

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
	"github.com/pulpgo/pulpcore/models"
)

// FillVersion gives an empty repository a version 1 with n units "note 1", "note 2", … of the type test.note, whose one
// own column is text. Each has a file at its text. It writes the rows without the library and does not analyze them.
func FillVersion(t testing.TB, db *models.DB, repositoryID uuid.UUID, n int) *models.RepositoryVersion {
	t.Helper()
	ctx := t.Context()
	// The planner of Postgres then takes the tables for empty: queries must not depend on fresh statistics.
	if err := sqldialect.Analyze(ctx, db.Conn().Kind, db.Bun(),
		"core_content", "test_note_content", "core_contentartifact", "core_repositorycontent", "core_artifact"); err != nil {
		t.Fatal(err)
	}
	numbers, id := "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?0) ",
		"printf('%08x-0000-7000-8000-000000000000', i.n)"
	if db.Conn().Kind == sqldialect.Postgres {
		numbers = "WITH i(n) AS (SELECT generate_series(1, ?0)) "
		id = "CAST(lpad(to_hex(i.n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid)"
	}
	now := models.Now()
	for _, statement := range []string{
		"INSERT INTO core_content (pulp_id, pulp_created, pulp_last_updated, pulp_domain_id, pulp_type, pulp_labels, " +
			"timestamp_of_interest) " + numbers + "SELECT ?id, ?1, ?1, ?2, 'test.note', '{}', ?1 FROM i",
		"INSERT INTO test_note_content (pulp_id, pulp_domain_id, text) " + numbers +
			"SELECT ?id, ?2, 'note ' || i.n FROM i",
		"INSERT INTO core_contentartifact (pulp_id, pulp_created, pulp_last_updated, content_id, relative_path) " +
			numbers + "SELECT ?id, ?1, ?1, ?id, 'note ' || i.n FROM i",
		"INSERT INTO core_repositorycontent (repository_id, content_id, version_added) " + numbers +
			"SELECT ?3, ?id, 1 FROM i",
	} {
		err := db.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
			_, err := tx.Bun().ExecContext(ctx, strings.ReplaceAll(statement, "?id", id), n, now, db.Domain().ID, repositoryID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	v := &models.RepositoryVersion{RepositoryID: repositoryID, Number: 1, Complete: true}
	v.ID, v.Created, v.Updated, v.Info = models.NewID(), now, now, map[string]any{}
	if _, err := db.Bun().NewInsert().Model(v).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := db.Bun().ExecContext(ctx, `INSERT INTO core_repositoryversioncount (version_id, pulp_type, added, removed,
		present)
		VALUES (?, 'test.note', ?, 0, ?)`, v.ID, n, n)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

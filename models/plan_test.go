package models_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// unsuited returns what a plan does that costs more than its page: it reads a table, or most of an index.
func unsuited(t *testing.T, db *models.DB, query string) (faults []string) {
	t.Helper()
	// A table of remotes, and that of the units which are looked up themselves, may be read where it is small.
	explain, wrong := "EXPLAIN (ANALYZE, TIMING OFF) ", regexp.MustCompile(`Seq Scan on (core_\w*(artifact|content)|test_file_content od)\b`)
	var lines []string
	if db.Conn().Kind.String() == "sqlite" {
		explain, wrong = "EXPLAIN QUERY PLAN ", regexp.MustCompile(`^SCAN (ca|a|ra|x|n|o|od|nd|rc|m)\b|AUTOMATIC`)
		var rows []struct {
			Detail string `bun:"detail"`
			ID     int    `bun:"id"`
			Parent int    `bun:"parent"`
			Unused int    `bun:"notused"`
		}
		if err := db.Bun().NewRaw(explain+strings.ReplaceAll(query, "?", "??")).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			lines = append(lines, r.Detail)
		}
	} else if err := db.Bun().NewRaw(explain+strings.ReplaceAll(query, "?", "??")).Scan(t.Context(), &lines); err != nil {
		t.Fatal(err)
	}
	removed := regexp.MustCompile(`Rows Removed by (?:Join )?Filter: (\d+)`)
	for _, line := range lines {
		if m := removed.FindStringSubmatch(line); m != nil {
			if n, _ := strconv.Atoi(m[1]); n > 100 && !strings.Contains(query, "AS place") {
				faults = append(faults, line)
			}
		}
		if wrong.MatchString(line) {
			faults = append(faults, line)
		}
	}
	if faults != nil {
		t.Log(strings.Join(lines, "\n"))
	}
	return faults
}

// The pages of a large walk are looked up by key, whatever the planner knows: here it has seen empty tables only.
func TestPlansWithStaleStatistics(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx := t.Context()
		if db.Conn().Kind.String() == "postgres" {
			for _, table := range []string{
				"core_content", "core_contentartifact", "core_artifact", "core_remoteartifact", "core_repositorycontent",
				"test_file_content", "core_remote",
			} {
				if _, err := db.Bun().ExecContext(ctx, "ALTER TABLE "+table+" SET (autovacuum_enabled = false)"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.Bun().ExecContext(ctx, "ANALYZE"); err != nil {
				t.Fatal(err)
			}
		}
		repo := newRepo(t, db)
		add(t, db, repo, storedAndRemote(t, db, "old", 3000)...)
		fresh := storedAndRemote(t, db, "new", 3000)
		var queries []string
		watched := models.WithHook(db, seeing(func(q string) { queries = append(queries, q) }))
		v := add(t, watched, repo, fresh...)
		n := 0
		for _, err := range v.Files(ctx, watched) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != len(fresh) {
			t.Fatalf("%d files, want %d", n, len(fresh))
		}
		found, err := models.ContentArtifacts(ctx, watched, append(fresh, fresh[0]))
		if err != nil || len(found) != len(fresh) || len(found[fresh[0]]) != 1 {
			t.Fatalf("content artifacts of %d units, %v, want one of each of %d", len(found), err, len(fresh))
		}
		seen := map[string]int{}
		for _, q := range queries {
			for _, what := range []string{"SELECT n.content_id FROM", "AS place", "AS content_artifact_id", "SELECT ca.*"} {
				if !strings.Contains(q, what) {
					continue
				}
				if seen[what]++; seen[what]%2 == 0 { // not the first page, nor all of them
					if faults := unsuited(t, db, q); faults != nil {
						t.Errorf("page %d of %q:\n%s", seen[what], what, strings.Join(faults, "\n"))
					}
				}
			}
		}
		if len(seen) != 4 {
			t.Fatalf("statements seen: %v", seen)
		}
	})
}

// storedAndRemote makes files of which every other one is here, the rest at two remotes.
func storedAndRemote(t *testing.T, db *models.DB, digest string, n int) []uuid.UUID {
	t.Helper()
	ctx := t.Context()
	var far [2]*Remote
	for i := range far {
		far[i] = newRemote(fmt.Sprint("far ", serial.Add(1)))
		if err := remotes.Create(ctx, db, far[i]); err != nil {
			t.Fatal(err)
		}
	}
	artifacts := make([]*models.Artifact, 0, n)
	for i := range n {
		a := &models.Artifact{Size: int64(i)}
		number := serial.Add(1)
		a.SHA224, a.SHA256 = fmt.Sprintf("%056x", number), fmt.Sprintf("%064x", number)
		a.SHA384, a.SHA512 = fmt.Sprintf("%096x", number), fmt.Sprintf("%0128x", number)
		artifacts = append(artifacts, a)
	}
	if err := models.SaveArtifacts(ctx, db, openStore(t, "mem://", nil), artifacts); err != nil {
		t.Fatal(err)
	}
	units := make([]*models.ContentWithFiles, n)
	for i := range units {
		file := models.ContentFile{RelativePath: fmt.Sprint(i)}
		if i%2 == 0 {
			file.ArtifactID = &artifacts[i].ID
		}
		units[i] = &models.ContentWithFiles{Content: &File{Path: fmt.Sprint(i), Digest: digest}, Files: []models.ContentFile{file}}
	}
	if err := models.SaveContents(ctx, db, units); err != nil {
		t.Fatal(err)
	}
	var ids []uuid.UUID
	var ras []*models.RemoteArtifact
	for i, u := range units {
		ids = append(ids, u.Content.PulpID())
		for _, r := range far {
			ras = append(ras, &models.RemoteArtifact{
				ContentArtifactID: u.Files[0].ID, RemoteID: r.ID, URL: fmt.Sprint("http://x.example/", i),
			})
		}
	}
	if err := models.SaveRemoteArtifacts(ctx, db, ras); err != nil {
		t.Fatal(err)
	}
	return ids
}

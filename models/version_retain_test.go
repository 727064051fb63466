package models_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
)

// numbers returns the numbers of a repository's versions, ascending.
func numbers(t *testing.T, db *models.DB, repositoryID uuid.UUID) (list []int) {
	t.Helper()
	versions, err := models.Versions(t.Context(), db, repositoryID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range slices.Backward(versions) {
		list = append(list, v.Number)
	}
	return list
}

// A change that turned out to be none applies retain_repo_versions like one that made a version.
func TestRetainAfterNoChange(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		p, two := newPublished(t, db), 2
		p.repo.RetainRepoVersions = &two
		if err := repos.Update(t.Context(), db, p.repo, "retain_repo_versions"); err != nil {
			t.Fatal(err)
		}
		if v := add(t, db, p.repo); v != nil {
			t.Fatalf("version %d of no change", v.Number)
		}
		if got := numbers(t, db, p.repo.ID); !slices.Equal(got, []int{3, 4}) {
			t.Errorf("versions = %v, want [3 4]", got)
		}
	})
}

// Of many checkpoints the newest stay; the others become ordinary publications, also when one more is published.
func TestRetainCheckpoints(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		ctx, two := t.Context(), 2
		p := newPublished(t, db)
		p.publish(t, db, 1, true)
		p.publish(t, db, 3, true)
		p.publish(t, db, 2, true) // younger than that of version 3
		ordinary := p.publish(t, db, 0, false)
		unfinished := &Publication{}
		unfinished.RepositoryVersionID, unfinished.Checkpoint = p.versions[4].ID, true
		if err := publications.Create(ctx, db, unfinished); err != nil {
			t.Fatal(err)
		}
		p.repo.RetainCheckpoints = &two
		if err := repos.Update(ctx, db, p.repo, "retain_checkpoints"); err != nil {
			t.Fatal(err)
		}
		checkpoints := func() (list []int) {
			err := db.Bun().NewSelect().TableExpr("core_publication AS p").Column("v.number").
				Join("JOIN core_repositoryversion AS v ON v.pulp_id = p.repository_version_id").
				Where("p.checkpoint").Where("p.complete").OrderExpr("v.number").Scan(ctx, &list)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		if err := models.Retain(ctx, db, p.repo.ID); err != nil {
			t.Fatal(err)
		}
		if got := checkpoints(); !slices.Equal(got, []int{2, 3}) {
			t.Errorf("checkpoints after Retain = %v, want [2 3]", got)
		}
		pub := &Publication{}
		pub.RepositoryVersionID, pub.Checkpoint = p.versions[4].ID, true
		err := models.Publish(ctx, db, nil, pub, func(*models.NewPublication) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if got := checkpoints(); !slices.Equal(got, []int{2, 4}) {
			t.Errorf("checkpoints after one more = %v, want [2 4]", got)
		}
		if n, err := publications.Count(ctx, db); err != nil || n != 6 {
			t.Errorf("%d publications, %v, want all 6 still there (%s is no checkpoint)", n, err, ordinary)
		}
	})
}

// queryCount counts statements.
type queryCount struct{ n int }

func (c *queryCount) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (c *queryCount) AfterQuery(context.Context, *bun.QueryEvent)                        { c.n++ }

// How many statements it takes to delete a version does not grow with the number of versions.
func TestRetainCost(t *testing.T) {
	each(t, func(t *testing.T, db *models.DB) {
		perVersion := func(versions int) int {
			repo, keep := newRepo(t, db), 1
			for _, id := range newNotes(t, db, versions) {
				add(t, db, repo, id)
			}
			repo.RetainRepoVersions = &keep
			if err := repos.Update(t.Context(), db, repo, "retain_repo_versions"); err != nil {
				t.Fatal(err)
			}
			c := &queryCount{}
			if err := models.Retain(t.Context(), models.WithHook(db, c), repo.ID); err != nil {
				t.Fatal(err)
			}
			if got := numbers(t, db, repo.ID); len(got) != 1 {
				t.Fatalf("versions = %v, want one", got)
			}
			return c.n / versions
		}
		few, many := perVersion(5), perVersion(20)
		if many > few {
			t.Errorf("%d statements for each of 20 versions, %d for each of 5", many, few)
		}
	})
}

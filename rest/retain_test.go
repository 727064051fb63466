package rest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/models"
)

// A change of retain_repo_versions deletes versions, as part of the task that makes it.
func TestRetainWhenSet(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.repo()
		for i := range 4 {
			b.completed("POST", repo+"modify/", map[string]any{"add_content_units": []string{b.unit(fmt.Sprint(i), fmt.Sprint(i))}})
		}
		numbers := func() string {
			var list []string
			for _, v := range b.do("GET", repo+"versions/?ordering=number", nil).want(200).get("results").([]any) {
				list = append(list, fmt.Sprint(v.(map[string]any)["number"]))
			}
			return strings.Join(list, " ")
		}
		b.completed("PATCH", repo, map[string]any{"description": "nothing about versions"})
		if got := numbers(); got != "0 1 2 3 4" {
			t.Fatalf("versions = %s", got)
		}
		b.completed("PATCH", repo, map[string]any{"retain_repo_versions": 3})
		if got := numbers(); got != "2 3 4" {
			t.Errorf("versions after PATCH = %s, want 2 3 4", got)
		}
		b.completed("PUT", repo, map[string]any{"name": "the one", "retain_repo_versions": 1})
		if got := numbers(); got != "4" {
			t.Errorf("versions after PUT = %s, want 4", got)
		}
	})
}

// A change of retain_checkpoints takes the mark off older checkpoints.
func TestRetainCheckpointsWhenSet(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.repo()
		row, err := repositories.One(t.Context(), b.db)
		must(t, err)
		v, err := models.LatestVersion(t.Context(), b.db, row.ID)
		must(t, err)
		for range 3 {
			pub := &Publication{}
			pub.RepositoryVersionID, pub.Complete, pub.Checkpoint = v.ID, true, true
			must(t, publications.Create(t.Context(), b.db, pub))
		}
		b.completed("PATCH", repo, map[string]any{"retain_checkpoints": 2})
		if n := b.do("GET", "publications/file/file/?checkpoint=true", nil).want(200).get("count"); n != 2.0 {
			t.Errorf("%v checkpoints, want 2", n)
		}
		if n := b.do("GET", "publications/file/file/", nil).want(200).get("count"); n != 3.0 {
			t.Errorf("%v publications, want 3", n)
		}
	})
}

func TestCheckpointOfAVersion(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.repo()
		a := b.do("POST", "publications/file/file/", map[string]any{
			"repository_version": repo + "versions/0/", "checkpoint": true,
		}).want(400)
		if !strings.Contains(string(a.body), "non_field_errors") {
			t.Errorf("answer = %s", a.body)
		}
		b.completed("POST", "publications/file/file/", map[string]any{"repository": repo, "checkpoint": true})
		b.completed("POST", "publications/file/file/", map[string]any{"repository_version": repo + "versions/0/", "checkpoint": false})
	})
}

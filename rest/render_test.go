package rest_test

import (
	"slices"
	"testing"

	"github.com/pulpgo/pulpcore/rest"
)

// TestNoContentChangeSince demands a time only where nothing but a change of the distribution itself can change what it
// serves: replicas that have seen that time do not look again.
func TestNoContentChangeSince(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		pub := b.completed("POST", "publications/file/file/", map[string]any{"repository": repo})
		since := func(c *bundle, href string) (since, updated any) {
			a := c.do("GET", href, nil).want(200)
			return a.get("no_content_change_since"), a.get("pulp_last_updated")
		}
		hrefs := map[string]string{}
		for name, ref := range map[string]string{"publication": pub, "repository_version": repo + "versions/0/", "repository": repo} {
			hrefs[name] = b.completed("POST", "distributions/file/file/", map[string]any{"name": name, "base_path": name, name: ref})
		}
		hrefs["nothing"] = b.completed("POST", "distributions/file/file/", map[string]any{"name": "n", "base_path": "n"})
		for name, href := range hrefs {
			got, updated := since(b, href)
			if want := map[string]any{"publication": updated}[name]; got != want {
				t.Errorf("%s: no_content_change_since = %v, want %v", name, got, want)
			}
		}
		withoutPublications := slices.DeleteFunc(views(), func(m rest.View) bool {
			_, ok := m.(rest.ViewSet[Publication])
			return ok
		})
		c := setupViews(t, b.db, nil, withoutPublications)
		if got, updated := since(c, hrefs["repository_version"]); got != updated {
			t.Errorf("version of a plugin without publications: no_content_change_since = %v, want %v", got, updated)
		}
		if got, _ := since(c, hrefs["repository"]); got != nil {
			t.Errorf("repository of a plugin without publications: no_content_change_since = %v, want null", got)
		}
	})
}

// TestGuardWithoutView has a guard that answers cannot link to; they must not say that there is none.
func TestGuardWithoutView(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		guard := b.do("POST", "contentguards/file/header/", map[string]any{"name": "g", "header_name": "X"}).want(201)
		dist := b.completed("POST", "distributions/file/file/", map[string]any{
			"name": "d", "base_path": "d", "content_guard": guard.str("pulp_href"),
		})
		withoutGuards := slices.DeleteFunc(views(), func(m rest.View) bool {
			_, ok := m.(rest.ViewSet[Guard])
			return ok
		})
		a := setupViews(t, b.db, nil, withoutGuards).do("GET", dist, nil).want(200)
		if got, want := a.get("content_guard_prn"), guard.str("prn"); got != want {
			t.Errorf("content_guard_prn = %v, want %s", got, want)
		}
	})
}

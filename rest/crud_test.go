package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
	"github.com/pulpgo/pulpcore/tasking/schedule"
)

// pick returns the members of an answer that are named.
func pick(a *answer, names ...string) map[string]any {
	m := map[string]any{}
	for _, n := range names {
		m[n] = a.get(n)
	}
	return m
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		remote := b.create("remotes/file/file/", map[string]any{
			"name": "r", "url": "http://x.example/", "username": "u", "password": "p", "max_retries": 3,
		})
		unchanged := b.do("PATCH", remote, map[string]any{"name": "r", "password": "p"}).want(200)
		if unchanged.str("pulp_href") != remote {
			t.Errorf("an update that changes nothing answers %s", unchanged.body)
		}
		task := b.task("PATCH", remote, map[string]any{"max_retries": nil, "password": "q", "policy": "streamed"})
		want := map[string]any{"state": "completed", "name": "pulpcore.app.tasks.base.general_update"}
		if d := cmp.Diff(want, pick(task, "state", "name")); d != "" {
			t.Errorf("task (-want +got):\n%s", d)
		}
		a := b.do("GET", remote, nil).want(200)
		if a.get("max_retries") != nil || a.get("policy") != "streamed" || a.get("url") != "http://x.example/" {
			t.Errorf("after PATCH: %s", a.body)
		}
		if strings.Contains(string(a.body), `"password":`) || strings.Contains(string(a.body), `"q"`) {
			t.Errorf("the answer tells the password: %s", a.body)
		}
		row, err := remotes.One(t.Context(), b.db, models.Eq("name", "r"))
		must(t, err)
		if row.Password.Reveal() != "q" || row.Username.Reveal() != "u" {
			t.Errorf("credentials = %q, %q; want u, q", row.Username.Reveal(), row.Password.Reveal())
		}
		b.completed("PUT", remote, map[string]any{"name": "r2", "url": "http://y.example/"})
		a = b.do("GET", remote, nil).want(200)
		if a.get("policy") != "immediate" || a.get("name") != "r2" {
			t.Errorf("after PUT, which brings defaults back: %s", a.body)
		}
		diff(t, b.do("PUT", remote, map[string]any{}).want(400).body,
			`{"name": ["This field is required."], "url": ["This field is required."]}`)
	})
}

func TestReferences(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		remote := b.do("POST", "remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"}).want(201)
		href, prn := remote.str("pulp_href"), remote.str("prn")
		for i, ref := range []any{href, prn, "http://pulp.example" + href, nil, ""} {
			a := b.do("POST", "repositories/file/file/", map[string]any{"name": fmt.Sprint("r", i), "remote": ref}).want(201)
			want := any(href)
			if ref == nil || ref == "" {
				want = nil
			}
			if a.get("remote") != want {
				t.Errorf("remote given as %v is %v, want %v", ref, a.get("remote"), want)
			}
		}
		list := b.do("GET", "repositories/file/file/?remote="+prn, nil).want(200)
		if list.get("count") != 3.0 {
			t.Errorf("repositories of the remote: %s", list.body)
		}
		b.completed("DELETE", href, nil)
		a := b.do("GET", "repositories/file/file/?name=r0&fields=remote", nil).want(200)
		diff(t, a.body, `{"count": 1, "next": null, "previous": null, "results": [{"remote": null}]}`)
	})
}

func TestPages(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		for i := range 5 {
			b.create("repositories/file/file/", map[string]any{"name": fmt.Sprint("repo-", i)})
		}
		a := b.do("GET", "repositories/file/file/?limit=2&offset=2&ordering=name&fields=name&name__startswith=repo", nil).want(200)
		diff(t, a.body, `{"count": 5,
			"next": "http://example.com/pulp/api/v3/repositories/file/file/?fields=name&limit=2&name__startswith=repo&offset=4&ordering=name",
			"previous": "http://example.com/pulp/api/v3/repositories/file/file/?fields=name&limit=2&name__startswith=repo&ordering=name",
			"results": [{"name": "repo-2"}, {"name": "repo-3"}]}`)
		for _, garbage := range []string{"limit=x&offset=-3", "limit=0", "limit=-1&offset=y", "limit=99999999999999999999"} {
			if n := b.do("GET", "repositories/?"+garbage, nil).want(200).get("count"); n != 5.0 {
				t.Errorf("%s: count = %v, want 5", garbage, n)
			}
		}
		a = b.do("GET", "repositories/?ordering=-name&limit=1&exclude_fields=pulp_labels,prn", nil).want(200)
		first, _ := a.get("results").([]any)[0].(map[string]any)
		if first["name"] != "repo-4" || first["prn"] != nil {
			t.Errorf("first of all repositories = %v", first)
		}
	})
}

func TestFilters(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		names := []string{"Alpha", "alpha beta", "gamma_100%", "delta"}
		for i, n := range names {
			labels := map[string]string{"n": fmt.Sprint(i)}
			if i > 1 {
				labels["env"] = "Prod,eu"
			}
			body := map[string]any{"name": n, "pulp_labels": labels}
			if i > 0 {
				body["retain_repo_versions"] = i
			}
			b.create("repositories/file/file/", body)
		}
		tests := []struct {
			query string
			want  string // positions in names
		}{
			{"name=Alpha", "0"},
			{"name__iexact=alpha", "0"},
			{"name__in=Alpha,delta", "0 3"},
			{"name__contains=lpha", "0 1"},
			{"name__contains=A", "0"},
			{"name__icontains=ALPHA", "0 1"},
			{"name__contains=_100%25", "2"},
			{"name__startswith=alpha", "1"},
			{"name__istartswith=ALPHA", "0 1"},
			{"name=", "0 1 2 3"},
			{"retain_repo_versions=2", "2"},
			{"retain_repo_versions__gte=2", "2 3"},
			{"retain_repo_versions__range=1,2", "1 2"},
			{"retain_repo_versions__isnull=true", "0"},
			{"retain_repo_versions__ne=2", "0 1 3"},
			{"retain_repo_versions__in=1,3", "1 3"},
			{"pulp_label_select=env", "2 3"},
			{"pulp_label_select=!env", "0 1"},
			{"pulp_label_select=n%3D1", "1"},
			{"pulp_label_select=n!%3D1", "0 2 3"},
			{`pulp_label_select=env%3DProd\,eu,n%3D2`, "2"},
			{"pulp_label_select=env~pROD", "2 3"},
			{"name__startswith=" + url.QueryEscape(`'"\%`), ""},
		}
		for _, path := range []string{"repositories/", "repositories/file/file/"} {
			for _, tt := range tests {
				a := b.do("GET", path+"?ordering=pulp_created&fields=name&"+tt.query, nil).want(200)
				var got []string
				for _, r := range a.get("results").([]any) {
					for i, n := range names {
						if n == r.(map[string]any)["name"] {
							got = append(got, fmt.Sprint(i))
						}
					}
				}
				if strings.Join(got, " ") != tt.want {
					t.Errorf("%s?%s = %v, want %s", path, tt.query, got, tt.want)
				}
			}
		}
	})
}

func TestIdentityFilters(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.do("POST", "repositories/file/file/", map[string]any{"name": "a"}).want(201)
		b.create("repositories/file/file/", map[string]any{"name": "b"})
		id := strings.TrimPrefix(repo.str("prn"), "prn:file.filerepository:")
		unit := b.unit("x", "y", "repository", repo.str("pulp_href"))
		for _, q := range []string{
			"pulp_id__in=" + id, "pulp_href__in=" + repo.str("pulp_href"), "prn__in=" + repo.str("prn"),
			"with_content=" + unit, "latest_with_content=" + unit,
		} {
			for _, path := range []string{"repositories/", "repositories/file/file/"} {
				if n := b.do("GET", path+"?"+q, nil).want(200).get("count"); n != 1.0 {
					t.Errorf("%s?%s: count = %v, want 1", path, q, n)
				}
			}
		}
		for q, want := range map[string]float64{"pulp_type=file.file": 2, "pulp_type__in=x.y,file.file": 2, "pulp_type=x.y": 0} {
			if n := b.do("GET", "repositories/?"+q, nil).want(200).get("count"); n != want {
				t.Errorf("repositories/?%s: count = %v, want %v", q, n, want)
			}
		}
	})
}

func TestContent(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		one := b.unit("a/one", "1", "repository", repo, "pulp_labels", `{"l": "1"}`)
		if again := b.unit("a/one", "1"); again != one {
			t.Errorf("the same unit again is %s, want %s", again, one)
		}
		a := b.do("GET", one, nil).want(200)
		if a.str("relative_path") != "a/one" || fmt.Sprint(a.get("pulp_labels")) != "map[l:1]" {
			t.Errorf("unit: %s", a.body)
		}
		two := b.completed("POST", "content/file/files/", map[string]any{
			"relative_path": "two", "artifact": a.str("artifact"), "repository": repo,
		})
		version := repo + "versions/2/"
		lists := map[string]string{
			"?repository_version=" + version:                        two + " " + one,
			"?repository_version_added=" + version:                  two,
			"?repository_version_removed=" + version:                "",
			"?relative_path__in=two,none":                           two,
			"?sha256=" + a.str("sha256") + "&relative_path=two":     two,
			"?repository_version=" + repo + "versions/1/":           one,
			"?pulp_label_select=l%3D1":                              one,
			"?ordering=relative_path&repository_version=" + version: one + " " + two,
		}
		for q, want := range lists {
			if got := hrefs(b.do("GET", "content/file/files/"+q, nil)); got != want {
				t.Errorf("content/file/files/%s = %s, want %s", q, got, want)
			}
		}
		b.completed("POST", repo+"modify/", map[string]any{"remove_content_units": []string{"*"}, "add_content_units": []string{one}})
		if got := hrefs(b.do("GET", "content/?repository_version="+repo+"versions/3/", nil)); got != one {
			t.Errorf("content of version 3 = %s, want %s", got, one)
		}
		b.completed("POST", repo+"modify/", map[string]any{"base_version": version})
		v := b.do("GET", repo+"versions/4/", nil).want(200)
		if v.str("base_version") != version {
			t.Errorf("version 4: %s", v.body)
		}
		if got := hrefs(b.do("GET", repo+"versions/?content="+two, nil)); got != repo+"versions/4/ "+version {
			t.Errorf("versions with the second unit = %s", got)
		}
		b.completed("DELETE", repo+"versions/3/", nil)
		b.do("GET", repo+"versions/3/", nil).want(404)
	})
}

// hrefs returns the hrefs of a list.
func hrefs(a *answer) string {
	a.t.Helper()
	var list []string
	for _, r := range a.want(200).get("results").([]any) {
		list = append(list, r.(map[string]any)["pulp_href"].(string))
	}
	return strings.Join(list, " ")
}

func TestArtifacts(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		const sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
		post := func(pairs ...string) *answer {
			body, edit := form(t, pairs...)
			return b.do("POST", "artifacts/", body, edit)
		}
		tests := []struct {
			name  string
			pairs []string
			want  string
		}{
			{
				"wrong digest in front",
				[]string{"sha256", strings.Repeat("0", 64), "file", "@hello"},
				`{"non_field_errors": ["The sha256 checksum did not match."]}`,
			},
			{
				"wrong digest behind",
				[]string{"file", "@hello", "sha256", strings.Repeat("0", 64)},
				`{"non_field_errors": ["The sha256 checksum did not match."]}`,
			},
			{"wrong size", []string{"file", "@hello", "size", "4"}, `{"non_field_errors": ["The size did not match."]}`},
			{
				"digest that is none",
				[]string{"file", "@hello", "sha256", "zz"},
				`{"sha256": ["Ensure this field is a digest of 64 hex characters."]}`,
			},
			{
				"digest that is not allowed",
				[]string{"file", "@hello", "md5", "x"},
				`{"non_field_errors": ["Checksum algorithms md5 are not allowed."]}`,
			},
			{
				"two files",
				[]string{"file", "@hello", "file", "@again"},
				`{"file": ["Only one file can be uploaded at a time."]}`,
			},
			{"file of another name", []string{"fiel", "@hello"}, `{"fiel": ["Unexpected field"]}`},
		}
		for _, tt := range tests {
			diff(t, post(tt.pairs...).want(400).body, tt.want)
		}
		if n := b.do("GET", "artifacts/", nil).get("count"); n != 0.0 {
			t.Errorf("there are %v artifacts after all refusals", n)
		}
		a := post("file", "@hello", "sha256", strings.ToUpper(sha), "size", "5").want(201)
		if a.str("sha256") != sha || a.get("md5") != nil || a.get("size") != 5.0 ||
			a.str("file") != "artifact/"+sha[:2]+"/"+sha[2:] {
			t.Errorf("artifact: %s", a.body)
		}
		diff(t, post("file", "@hello").want(400).body,
			`{"non_field_errors": ["Artifact with sha256 checksum of '`+sha+`' already exists."]}`)
		if got := hrefs(b.do("GET", "artifacts/?sha256="+sha, nil)); got != a.str("pulp_href") {
			t.Errorf("artifacts by digest = %s", got)
		}
		b.do("GET", a.str("pulp_href"), nil).want(200)
		diff(t, b.do("DELETE", a.str("pulp_href"), nil).want(403).body,
			`{"detail": "You do not have permission to perform this action."}`)
		b.do("GET", a.str("pulp_href"), nil).want(200)
	})
}

func TestTasks(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		remote := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
		repo := b.create("repositories/file/file/", map[string]any{"name": "r", "remote": remote})
		waiting := b.do("POST", repo+"sync/", map[string]any{"mirror": true, "optimize": false}).want(202).str("task")
		diff(t, b.do("PATCH", waiting, map[string]any{"state": "running"}).want(400).body,
			`{"state": ["The only acceptable value for 'state' is 'canceled'."]}`)
		b.do("DELETE", waiting, nil).want(409)
		if s := b.do("PATCH", waiting, map[string]any{"state": "canceled"}).want(200).str("state"); s != "canceled" {
			t.Errorf("state after the cancellation = %s", s)
		}
		if s := b.do("PATCH", waiting, map[string]any{"state": "canceled"}).want(409).str("state"); s != "canceled" {
			t.Errorf("state after another cancellation = %s", s)
		}
		done := b.task("POST", repo+"sync/", map[string]any{}).str("pulp_href")
		if len(b.synced) != 1 || b.synced[0].Mirror || !b.synced[0].Optimize {
			t.Errorf("sync was called with %+v", b.synced)
		}
		tests := map[string]string{
			"?state=completed":                               done,
			"?state__in=canceled,failed":                     waiting,
			"?reserved_resources=" + repo:                    done + " " + waiting,
			"?exclusive_resources=" + repo:                   done + " " + waiting,
			"?exclusive_resources=" + remote:                 "",
			"?shared_resources=" + remote:                    done + " " + waiting,
			"?reserved_resources__in=" + repo + "," + remote: done + " " + waiting,
			"?name__contains=sync&limit=1":                   done,
			"?name=nope":                                     "",
			"?pulp_created__gt=2100-01-01T00:00:00Z":         "",
			"?minimal=true&state=completed":                  done,
			"?created_resources=" + repo:                     "",
			"?ordering=pulp_created":                         waiting + " " + done,
		}
		for q, want := range tests {
			if got := hrefs(b.do("GET", "tasks/"+q, nil)); got != want {
				t.Errorf("tasks/%s = %s, want %s", q, got, want)
			}
		}
		a := b.do("GET", done+"?minimal=true", nil).want(200)
		if a.get("progress_reports") != nil || a.str("state") != "completed" {
			t.Errorf("minimal task: %s", a.body)
		}
		b.do("DELETE", done, nil).want(204)
		b.do("GET", done, nil).want(404)
	})
}

func TestTaskGroups(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		g, err := b.queue.NewGroup(t.Context(), "together",
			group.Report{Message: "Doing", Code: "do", Total: 2})
		must(t, err)
		_, err = publishTask.Dispatch(t.Context(), b.queue, publishArgs{}, &tasking.DispatchOptions{Group: g})
		must(t, err)
		href := "/pulp/api/v3/task-groups/" + g.ID.String() + "/"
		a := b.do("GET", href+"?exclude_fields=tasks,pulp_href,prn", nil).want(200)
		diff(t, a.body, `{"description": "together", "all_tasks_dispatched": false, "waiting": 1, "skipped": 0, "running": 0,
			"completed": 0, "canceled": 0, "failed": 0, "canceling": 0,
			"group_progress_reports": [{"message": "Doing", "code": "do", "total": 2, "done": 0, "suffix": null}]}`)
		if got := b.do("PATCH", href, map[string]any{"state": "canceled"}).want(200).get("canceled"); got != 1.0 {
			t.Errorf("canceled tasks = %v, want 1", got)
		}
		b.do("PATCH", href, map[string]any{"state": "canceled"}).want(409)
		if n := b.do("GET", "task-groups/", nil).want(200).get("count"); n != 1.0 {
			t.Errorf("there are %v groups", n)
		}
	})
}

func TestLabels(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		diff(t, b.do("POST", repo+"set_label/", map[string]any{"key": "k", "value": "v"}).want(201).body,
			`{"key": "k", "value": "v"}`)
		b.do("POST", repo+"set_label/", map[string]any{"key": "l", "value": ""}).want(201)
		if got := fmt.Sprint(b.do("GET", repo, nil).get("pulp_labels")); got != "map[k:v l:]" {
			t.Errorf("labels = %s", got)
		}
		diff(t, b.do("POST", repo+"unset_label/", map[string]any{"key": "k"}).want(201).body, `{"key": "k", "value": "v"}`)
		b.do("POST", "repositories/file/file/00000000-0000-0000-0000-000000000000/set_label/",
			map[string]any{"key": "k", "value": "v"}).want(404)
	})
}

func TestGuardsAreChangedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		guard := b.create("contentguards/file/header/", map[string]any{"name": "g", "header_name": "X", "words": []string{"a"}})
		a := b.do("PATCH", guard, map[string]any{"words": []string{}, "description": "d"}).want(200)
		if fmt.Sprint(a.get("words")) != "[]" || a.str("description") != "d" {
			t.Errorf("guard: %s", a.body)
		}
		dist := b.completed("POST", "distributions/file/file/", map[string]any{"name": "d", "base_path": "x", "content_guard": guard})
		a = b.do("GET", dist, nil).want(200)
		if a.str("content_guard") != guard || !strings.HasPrefix(a.str("content_guard_prn"), "prn:file.headercontentguard:") {
			t.Errorf("distribution: %s", a.body)
		}
		b.do("DELETE", guard, nil).want(204)
	})
}

// TestTypesWithoutViews names rows that no view serves by their PRN, in answers and in requests. Null would say that
// nothing guards the distribution, and a client that sends back what it read would take the guard away.
func TestTypesWithoutViews(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		guard, repo := &Guard{Header: "X"}, &Repository{}
		guard.Name, repo.Name = "g", "r"
		must(t, guards.Create(t.Context(), b.db, guard))
		must(t, repositories.Create(t.Context(), b.db, repo))
		version, err := models.LatestVersion(t.Context(), b.db, repo.ID)
		must(t, err)
		b.api, err = rest.New(b.db, b.queue, b.store, &rest.Options{
			Hosts: allHosts(t),
			Auth:  everybodyIsAdmin{},
			Views: []rest.View{rest.ViewSet[Distribution]{Type: distributions, Name: "file"}},
		})
		must(t, err)
		dist := b.completed("POST", "distributions/file/file/", map[string]any{
			"name": "d", "base_path": "x", "content_guard": models.PRNOf(guard), "repository": models.PRNOf(repo),
		})
		a := b.do("GET", dist, nil).want(200)
		want := map[string]any{
			"content_guard": models.PRNOf(guard), "content_guard_prn": models.PRNOf(guard), "repository": models.PRNOf(repo),
		}
		if d := cmp.Diff(want, pick(a, "content_guard", "content_guard_prn", "repository")); d != "" {
			t.Errorf("distribution (-want +got):\n%s", d)
		}
		b.do("PUT", dist, map[string]any{
			"name": "d", "base_path": "x", "content_guard": a.get("content_guard"), "repository": a.get("repository"),
		}).want(200)
		b.do("PATCH", dist, map[string]any{"content_guard": models.PRNOf(repo)}).want(400)
		b.do("PATCH", dist, map[string]any{"content_guard": models.TypedPRN(models.ContentGuardMaster, "file.header", repo.ID)}).
			want(400)
		b.completed("PATCH", dist, map[string]any{
			"repository": nil, "repository_version": models.CorePRN("repositoryversion", version.ID),
		})
		if got := b.do("GET", dist, nil).str("repository_version"); got != models.CorePRN("repositoryversion", version.ID) {
			t.Errorf("repository_version = %q", got)
		}
	})
}

func TestPublications(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		pub := b.completed("POST", "publications/file/file/", map[string]any{
			"repository_version": repo + "versions/0/", "manifest": "LIST",
		})
		dist := b.completed("POST", "distributions/file/file/", map[string]any{"name": "d", "base_path": "x", "publication": pub})
		a := b.do("GET", pub, nil).want(200)
		want := map[string]any{
			"repository": repo, "repository_version": repo + "versions/0/", "manifest": "LIST", "distributions": []any{dist},
		}
		if d := cmp.Diff(want, pick(a, "repository", "repository_version", "manifest", "distributions")); d != "" {
			t.Errorf("publication (-want +got):\n%s", d)
		}
		for _, q := range []string{"?repository=" + repo, "?repository_version=" + repo + "versions/0/", "?checkpoint=false"} {
			if got := hrefs(b.do("GET", "publications/"+q, nil)); got != pub {
				t.Errorf("publications/%s = %s, want %s", q, got, pub)
			}
		}
		b.do("DELETE", pub, nil).want(204)
		if got := b.do("GET", dist, nil).want(200).get("publication"); got != nil {
			t.Errorf("publication of the distribution = %v after it was deleted", got)
		}
	})
}

func TestAction(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "r"})
		diff(t, b.do("POST", repo+"rename/", map[string]any{"name": "xy", "times": 2}).want(200).body, `{"was": "r"}`)
		if got := b.do("GET", repo, nil).str("name"); got != "xyxy" {
			t.Errorf("name = %s after the action", got)
		}
	})
}

// counter counts statements.
type counter struct{ n int }

func (c *counter) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	c.n++
	return ctx
}

func (c *counter) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestListsTakeAFixedNumberOfStatements(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		c := &counter{}
		b.db.Conn().Bun.AddQueryHook(c) //nolint:staticcheck // the pool of the test alone
		paths := []string{
			"repositories/", "repositories/file/file/", "remotes/file/file/", "content/", "content/file/files/",
			"publications/file/file/", "distributions/file/file/", "repository_versions/", "tasks/", "artifacts/",
			"task-groups/", "task-schedules/",
		}
		grow := func(i int) {
			members, err := b.queue.NewGroup(t.Context(), "g", group.Report{Code: "c"})
			must(t, err)
			_, err = publishTask.Dispatch(t.Context(), b.queue, publishArgs{}, &tasking.DispatchOptions{Group: members})
			must(t, err)
			_, err = schedule.Set(t.Context(), b.queue, publishTask, publishArgs{}, &schedule.Options{
				Name: fmt.Sprint(i), Next: time.Now().Add(time.Hour),
			})
			must(t, err)
			remote := b.create("remotes/file/file/", map[string]any{"name": fmt.Sprint(i), "url": "http://x.example/"})
			repo := b.create("repositories/file/file/", map[string]any{"name": fmt.Sprint(i), "remote": remote})
			b.unit(fmt.Sprint(i), fmt.Sprint(i), "repository", repo)
			pub := b.completed("POST", "publications/file/file/", map[string]any{"repository": repo})
			b.completed("POST", "distributions/file/file/", map[string]any{"name": fmt.Sprint(i), "base_path": fmt.Sprint(i), "publication": pub})
		}
		measure := func() map[string]int {
			got := map[string]int{}
			for _, p := range paths {
				c.n = 0
				b.do("GET", p, nil).want(200)
				got[p] = c.n
			}
			return got
		}
		grow(0)
		before := measure()
		for i := range 4 {
			grow(i + 1)
		}
		if d := cmp.Diff(before, measure()); d != "" {
			t.Errorf("statements with 1 row and with 5 (-1 +5):\n%s", d)
		}
		for p, n := range before {
			if n > 8 {
				t.Errorf("%s takes %d statements", p, n)
			}
		}
	})
}

func TestStatus(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		a := b.do("GET", "status/", nil, func(r *http.Request) { r.Header.Del("Authorization") }).want(200)
		want := map[string]any{
			"database_connection": map[string]any{"connected": true}, "redis_connection": map[string]any{"connected": false},
			"online_workers": []any{}, "storage": nil, "domain_enabled": false,
			"content_settings": map[string]any{
				"content_origin": "http://content.example", "content_path_prefix": "/pulp/content/",
			},
			"versions": []any{
				map[string]any{
					"component": "core", "version": "3.81.0", "package": "pulpcore", "module": "pulpcore.app",
					"domain_compatible": true,
				},
				map[string]any{
					"component": "file", "version": "3.81.0", "package": "pulp-file", "module": "pulp_file.app",
					"domain_compatible": true,
				},
			},
		}
		names := []string{
			"database_connection", "redis_connection", "online_workers", "storage", "domain_enabled",
			"content_settings", "versions",
		}
		if d := cmp.Diff(want, pick(a, names...)); d != "" {
			t.Errorf("status (-want +got):\n%s", d)
		}
	})
}

// TestBaseURL escapes what would end a path in a URL, or have another meaning.
func TestBaseURL(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		for path, want := range map[string]string{
			"a/b": "a/b/", "p%2Fx": "p%252Fx/", "ü": "%C3%BC/", "a;b=c,d@e:f": "a;b=c,d@e:f/", `"x"`: "%22x%22/",
		} {
			dist := b.completed("POST", "distributions/file/file/", map[string]any{"name": path, "base_path": path})
			a := b.do("GET", dist, nil)
			if got := a.str("base_url"); got != "http://content.example/pulp/content/"+want || a.str("base_path") != path {
				t.Errorf("base_url of %q = %q, want %q at the end", path, got, want)
			}
		}
	})
}

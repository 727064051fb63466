package file_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

const apiRoot = "/pulp/api/v3/"

// object is a body of JSON.
type object map[string]any

// call sends a request with a body of JSON and returns the status and the answer.
func (b *bench) call(method, path string, body any) (int, object) {
	b.t.Helper()
	var opts []pulptest.RequestOption
	if body != nil {
		opts = append(opts, pulptest.JSON(body))
	}
	var out object
	res := b.app.Do(b.t, method, path, opts...)
	res.JSON(&out)
	return res.Status, out
}

// run sends a request whose answer is a task, and returns the hrefs of what the task made.
func (b *bench) run(path string, opts ...pulptest.RequestOption) []string {
	b.t.Helper()
	return b.app.Await(b.t, b.app.Do(b.t, http.MethodPost, path, opts...)).Created
}

// TestRepositoryFields makes repositories as clients do, which always send both fields.
func TestRepositoryFields(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for _, row := range []struct {
			body     object
			publish  any
			manifest any
		}{
			{object{"name": "a"}, false, "PULP_MANIFEST"},
			{object{"name": "b", "autopublish": false, "manifest": "PULP_MANIFEST"}, false, "PULP_MANIFEST"},
			{object{"name": "c", "autopublish": true, "manifest": "sub/list.csv"}, true, "sub/list.csv"},
			{object{"name": "d", "autopublish": true, "manifest": nil}, true, nil},
		} {
			status, repo := b.call(http.MethodPost, apiRoot+"repositories/file/file/", row.body)
			if status != http.StatusCreated || repo["autopublish"] != row.publish || repo["manifest"] != row.manifest {
				t.Errorf("POST %v = %d %v", row.body, status, repo)
				continue
			}
			_, again := b.call(http.MethodGet, repo["pulp_href"].(string), nil)
			if diff := cmp.Diff(repo, again); diff != "" {
				t.Errorf("GET of %v (-created +read):\n%s", row.body, diff)
			}
		}
	})
}

// TestManifestNames refuses names that could not be served.
func TestManifestNames(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, repo := b.call(http.MethodPost, apiRoot+"repositories/file/file/", object{"name": "r"})
		href := repo["pulp_href"].(string)
		for _, name := range []string{"../x", "/x", "x/", "a//b", "x\ny", ".", strings.Repeat("x", 2001)} {
			for _, req := range []struct {
				method, path string
				body         object
			}{
				{http.MethodPost, apiRoot + "repositories/file/file/", object{"name": "x", "manifest": name}},
				{http.MethodPatch, href, object{"manifest": name}},
				{http.MethodPost, apiRoot + "publications/file/file/", object{"repository": href, "manifest": name}},
			} {
				status, answer := b.call(req.method, req.path, req.body)
				if _, named := answer["manifest"]; status != http.StatusBadRequest || !named {
					t.Errorf("%s %s with manifest %.20q = %d %v, want 400 for the field", req.method, req.path, name, status, answer)
				}
			}
		}
	})
}

// TestAutopublish publishes each version that a sync, a modification or an upload makes, and nothing if there is none.
func TestAutopublish(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa", "b": "bb"})
		remote := b.remote(up.URL+"/base/PULP_MANIFEST", models.OnDemand)
		_, repo := b.call(http.MethodPost, apiRoot+"repositories/file/file/",
			object{"name": "auto", "autopublish": true, "manifest": "LIST", "remote": models.PRNOf(remote)})
		href := repo["pulp_href"].(string)
		b.run(apiRoot+"distributions/file/file/",
			pulptest.JSON(object{"name": "d", "base_path": "d", "repository": href}))

		check := func(what string, made []string, want map[string]string) {
			t.Helper()
			if len(made) != 2 || !strings.Contains(made[0]+made[1], "/publications/file/file/") {
				t.Errorf("%s made %v, want a version and a publication", what, made)
			}
			status, list := b.app.Get(t, "/pulp/content/d/LIST")
			var wanted strings.Builder
			for path, body := range want {
				wanted.WriteString(path + "," + sum(body) + "," + string(rune('0'+len(body))) + "\n")
			}
			if diff := cmp.Diff(sortedLines(wanted.String()), sortedLines(list)); status != http.StatusOK || diff != "" {
				t.Errorf("GET LIST after %s = %d (-want +got):\n%s", what, status, diff)
			}
		}
		made := b.run(href+"sync/", pulptest.JSON(object{}))
		check("sync", made, up.files)
		if made := b.run(href+"sync/", pulptest.JSON(object{})); len(made) != 0 {
			t.Errorf("sync without a change made %v", made)
		}

		made = b.run(apiRoot+"content/file/files/", pulptest.File("file", "c", "c"),
			pulptest.Field("relative_path", "c"), pulptest.Field("repository", href))
		made = slices.DeleteFunc(made, func(href string) bool { return strings.Contains(href, "/content/file/files/") })
		check("upload", made, map[string]string{"a": "aaa", "b": "bb", "c": "c"})

		made = b.run(href+"modify/", pulptest.JSON(object{"remove_content_units": []string{"*"}}))
		check("modify", made, nil)
		if list := b.publications(); len(list) != 3 || list[0].Checkpoint {
			t.Errorf("%d publications, want 3", len(list))
		}
	})
}

// TestTaskNames dispatches tasks under the names by which clients of Pulp look for them.
func TestTaskNames(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		remote := b.remote(up.URL+"/base/PULP_MANIFEST", models.OnDemand)
		_, repo := b.call(http.MethodPost, apiRoot+"repositories/file/file/",
			object{"name": "r", "remote": models.PRNOf(remote)})
		href := repo["pulp_href"].(string)
		for path, want := range map[string]string{
			href + "sync/":                      "pulp_file.app.tasks.synchronizing.synchronize",
			apiRoot + "publications/file/file/": "pulp_file.app.tasks.publishing.publish",
		} {
			body := object{}
			if !strings.HasSuffix(path, "sync/") {
				body = object{"repository": href, "checkpoint": true}
			}
			b.run(path, pulptest.JSON(body))
			_, list := b.call(http.MethodGet, apiRoot+"tasks/?name="+want, nil)
			if list["count"] != 1.0 {
				t.Errorf("%v tasks are named %s, want 1", list["count"], want)
			}
		}
		if list := b.publications(); len(list) != 1 || !list[0].Checkpoint {
			t.Errorf("publications %+v, want one checkpoint", list)
		}
		_, answer := b.call(http.MethodPost, apiRoot+"publications/file/file/",
			object{"repository_version": href + "versions/1/", "checkpoint": true})
		if _, named := answer["non_field_errors"]; !named {
			t.Errorf("a checkpoint of a version: %v, want a fault", answer)
		}
	})
}

// TestMirrorOfAnAutopublishedRepository is refused: the manifests would differ.
func TestMirrorOfAnAutopublishedRepository(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		remote := b.remote("http://127.0.0.1:1/PULP_MANIFEST", models.OnDemand)
		_, repo := b.call(http.MethodPost, apiRoot+"repositories/file/file/", object{"name": "auto", "autopublish": true})
		status, answer := b.call(http.MethodPost, repo["pulp_href"].(string)+"sync/",
			object{"mirror": true, "remote": models.PRNOf(remote)})
		want := object{"non_field_errors": []any{"Cannot use mirror mode with autopublished repository."}}
		if diff := cmp.Diff(want, answer); status != http.StatusBadRequest || diff != "" {
			t.Errorf("mirror = %d (-want +got):\n%s", status, diff)
		}
	})
}

// TestMirror publishes each version of a mirror with the manifest that the remote gave, byte by byte and under its
// name, and makes no publication without a version or without mirror.
func TestMirror(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		up.manifest = "# a comment\r\n a ," + strings.ToUpper(sum("aaa")) + ",3"
		remote := b.remote(up.URL+"/base/PULP_MANIFEST?token=x", models.OnDemand)
		for range 2 {
			pulptest.RunTask(t, b.app, file.Sync, b.args(remote))
		}
		list := b.publications()
		if len(list) != 1 || *list[0].Manifest != "PULP_MANIFEST" {
			t.Fatalf("publications %+v, want one", list)
		}
		if got := b.served("mirror", list[0]); got != up.manifest {
			t.Errorf("GET PULP_MANIFEST = %q, want %q", got, up.manifest)
		}
		if status, body := b.app.Get(t, "/pulp/content/mirror/a"); status != http.StatusOK || body != "aaa" {
			t.Errorf("GET a = %d %q", status, body)
		}
		up.manifest += "\nb," + sum("bb") + ",2"
		args := b.args(remote)
		args.Mirror = false
		pulptest.RunTask(t, b.app, file.Sync, args)
		if v, _ := b.latest(); v.Number != 2 || len(b.publications()) != 1 {
			t.Errorf("version %d, %d publications, want 2 and 1", v.Number, len(b.publications()))
		}
	})
}

// TestUnpublished serves nothing of a repository or of a version before it is published.
func TestUnpublished(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		args := b.args(b.remote(up.URL+"/base/PULP_MANIFEST", models.OnDemand))
		args.Mirror = false
		pulptest.RunTask(t, b.app, file.Sync, args)
		version, _ := b.latest()
		of := map[string]models.Distribution{"repo": {RepositoryID: &b.repo.ID}, "version": {RepositoryVersionID: &version.ID}}
		for name, d := range of {
			d.Name, d.BasePath = name, name
			if err := file.Distributions.Create(t.Context(), b.app.DB(), &file.Distribution{Distribution: d}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(want int) {
			t.Helper()
			for name := range of {
				for _, path := range []string{"/", "/a", "/PULP_MANIFEST"} {
					if status, body := b.app.Get(t, "/pulp/content/"+name+path); status != want {
						t.Errorf("GET %s%s = %d %s, want %d", name, path, status, body, want)
					}
				}
			}
		}
		check(http.StatusNotFound)
		b.publish(version)
		check(http.StatusOK)
	})
}

package file_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

const (
	adminPassword = "correct horse"
	apiRoot       = "/pulp/api/v3/"
)

// client sends requests to the API as the admin.
func (b *bench) client() *client {
	b.t.Helper()
	if _, err := b.app.CreateAdmin(b.t.Context(), adminPassword); err != nil {
		b.t.Fatal(err)
	}
	return &client{b}
}

type client struct{ *bench }

// send returns the status and the body of the answer.
func (c *client) send(method, path, contentType string, body io.Reader) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.app.URL()+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth("admin", adminPassword)
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		c.t.Fatalf("%s %s = %d: %v", method, path, res.StatusCode, err)
	}
	return res.StatusCode, out
}

func (c *client) call(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	return c.send(method, path, "application/json", strings.NewReader(body))
}

// run sends a request whose answer is a task, and returns what the task made.
func (c *client) run(method, path, contentType string, body io.Reader) []any {
	c.t.Helper()
	status, answer := c.send(method, path, contentType, body)
	href, _ := answer["task"].(string)
	if status != http.StatusAccepted || href == "" {
		c.t.Fatalf("%s %s = %d %v, want a task", method, path, status, answer)
	}
	if err := c.app.RunPending(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	_, task := c.call(http.MethodGet, href, "")
	if task["state"] != "completed" {
		c.t.Fatalf("%s %s: task %v: %v", method, path, task["state"], task["error"])
	}
	made, _ := task["created_resources"].([]any)
	return made
}

// TestRepositoryFields makes repositories as clients do, which always send both fields.
func TestRepositoryFields(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.client()
		for _, row := range []struct {
			body     string
			publish  any
			manifest any
		}{
			{`{"name": "a"}`, false, "PULP_MANIFEST"},
			{`{"name": "b", "autopublish": false, "manifest": "PULP_MANIFEST"}`, false, "PULP_MANIFEST"},
			{`{"name": "c", "autopublish": true, "manifest": "sub/list.csv"}`, true, "sub/list.csv"},
			{`{"name": "d", "autopublish": true, "manifest": null}`, true, nil},
		} {
			status, repo := c.call(http.MethodPost, apiRoot+"repositories/file/file/", row.body)
			if status != http.StatusCreated || repo["autopublish"] != row.publish || repo["manifest"] != row.manifest {
				t.Errorf("POST %s = %d %v", row.body, status, repo)
				continue
			}
			_, again := c.call(http.MethodGet, repo["pulp_href"].(string), "")
			if diff := cmp.Diff(repo, again); diff != "" {
				t.Errorf("GET of %s (-created +read):\n%s", row.body, diff)
			}
		}
	})
}

// TestManifestNames refuses names that could not be served.
func TestManifestNames(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.client()
		_, repo := c.call(http.MethodPost, apiRoot+"repositories/file/file/", `{"name": "r"}`)
		href := repo["pulp_href"].(string)
		for _, name := range []string{"../x", "/x", "x/", "a//b", "x\ny", ".", strings.Repeat("x", 2001)} {
			raw, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, req := range []struct{ method, path, body string }{
				{http.MethodPost, apiRoot + "repositories/file/file/", `{"name": "x", "manifest": ` + string(raw) + `}`},
				{http.MethodPatch, href, `{"manifest": ` + string(raw) + `}`},
				{http.MethodPost, apiRoot + "publications/file/file/", `{"repository": "` + href + `", "manifest": ` + string(raw) + `}`},
			} {
				status, answer := c.call(req.method, req.path, req.body)
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
		c := b.client()
		up := serve(t, map[string]string{"a": "aaa", "b": "bb"})
		remote := b.remote(up.URL+"/base/PULP_MANIFEST", models.OnDemand)
		_, repo := c.call(http.MethodPost, apiRoot+"repositories/file/file/",
			`{"name": "auto", "autopublish": true, "manifest": "LIST", "remote": "`+models.PRNOf(remote)+`"}`)
		href := repo["pulp_href"].(string)
		c.run(http.MethodPost, apiRoot+"distributions/file/file/", "application/json",
			strings.NewReader(`{"name": "d", "base_path": "d", "repository": "`+href+`"}`))

		check := func(what string, made []any, want map[string]string) {
			t.Helper()
			if len(made) != 2 || !strings.Contains(made[0].(string)+made[1].(string), "/publications/file/file/") {
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
		made := c.run(http.MethodPost, href+"sync/", "application/json", strings.NewReader(`{}`))
		check("sync", made, up.files)
		if made := c.run(http.MethodPost, href+"sync/", "application/json", strings.NewReader(`{}`)); len(made) != 0 {
			t.Errorf("sync without a change made %v", made)
		}

		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("file", "c")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, "c")
		for name, value := range map[string]string{"relative_path": "c", "repository": href} {
			if err := w.WriteField(name, value); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		made = c.run(http.MethodPost, apiRoot+"content/file/files/", w.FormDataContentType(), &form)
		var rest []any
		for _, href := range made {
			if !strings.Contains(href.(string), "/content/file/files/") {
				rest = append(rest, href)
			}
		}
		check("upload", rest, map[string]string{"a": "aaa", "b": "bb", "c": "c"})

		made = c.run(http.MethodPost, href+"modify/", "application/json",
			strings.NewReader(`{"remove_content_units": ["*"]}`))
		check("modify", made, nil)
		if list := b.publications(); len(list) != 3 || list[0].Checkpoint {
			t.Errorf("%d publications, want 3", len(list))
		}
	})
}

// TestTaskNames dispatches tasks under the names by which clients of Pulp look for them.
func TestTaskNames(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.client()
		up := serve(t, map[string]string{"a": "aaa"})
		remote := b.remote(up.URL+"/base/PULP_MANIFEST", models.OnDemand)
		_, repo := c.call(http.MethodPost, apiRoot+"repositories/file/file/",
			`{"name": "r", "remote": "`+models.PRNOf(remote)+`"}`)
		href := repo["pulp_href"].(string)
		for path, want := range map[string]string{
			href + "sync/":                      "pulp_file.app.tasks.synchronizing.synchronize",
			apiRoot + "publications/file/file/": "pulp_file.app.tasks.publishing.publish",
		} {
			body := "{}"
			if !strings.HasSuffix(path, "sync/") {
				body = `{"repository": "` + href + `", "checkpoint": true}`
			}
			c.run(http.MethodPost, path, "application/json", strings.NewReader(body))
			_, list := c.call(http.MethodGet, apiRoot+"tasks/?name="+want, "")
			if list["count"] != 1.0 {
				t.Errorf("%v tasks are named %s, want 1", list["count"], want)
			}
		}
		if list := b.publications(); len(list) != 1 || !list[0].Checkpoint {
			t.Errorf("publications %+v, want one checkpoint", list)
		}
		_, answer := c.call(http.MethodPost, apiRoot+"publications/file/file/",
			`{"repository_version": "`+href+`versions/1/", "checkpoint": true}`)
		if _, named := answer["non_field_errors"]; !named {
			t.Errorf("a checkpoint of a version: %v, want a fault", answer)
		}
	})
}

// TestMirrorOfAnAutopublishedRepository is refused: the manifests would differ.
func TestMirrorOfAnAutopublishedRepository(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.client()
		remote := b.remote("http://127.0.0.1:1/PULP_MANIFEST", models.OnDemand)
		_, repo := c.call(http.MethodPost, apiRoot+"repositories/file/file/", `{"name": "auto", "autopublish": true}`)
		status, answer := c.call(http.MethodPost, repo["pulp_href"].(string)+"sync/",
			`{"mirror": true, "remote": "`+models.PRNOf(remote)+`"}`)
		want := map[string]any{"non_field_errors": []any{"Cannot use mirror mode with autopublished repository."}}
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

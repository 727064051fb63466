package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/rest"
)

type contextType = context.Context

// FuzzListQuery sends any query to lists: the answer is 200 or 400, never a fault of this side.
func FuzzListQuery(f *testing.F) {
	for _, q := range []string{
		"limit=1&offset=2", "name__in=a,b&ordering=-name", "pulp_label_select=a%3Db,!c", "pulp_label_select=a~%5C,",
		"pulp_created__range=2020-01-01,2021-01-01T00:00:00%2B01:00", "retain_repo_versions__range=1",
		"repository_version=/pulp/api/v3/repositories/file/file/0/versions/1/", "fields=a,b&exclude_fields=c", "q=x", "%zz",
		"q=NOT+(name%3D%22a%22+OR+pulp_label_select%3Dk)", "name__regex=%5Ea.%2B%24&name__iexact=%C3%84", "orphaned_for=1",
		"name__contains=%27%22%3F0%20%3Fx", "prn__in=prn:file.filerepository:00000000-0000-0000-0000-000000000000",
		"relative_path__startswith=%FF", "state__in=completed,", "reserved_resources__in=,",
	} {
		f.Add(q)
	}
	b := setup(f, dbtest.SQLite(f), nil)
	f.Fuzz(func(t *testing.T, query string) {
		at := *b
		at.t = t
		for _, path := range []string{"repositories/", "content/file/files/", "tasks/"} {
			a := at.do("GET", path, nil, func(r *http.Request) { r.URL.RawQuery = query })
			if a.status != 200 && a.status != 400 {
				t.Errorf("GET %s?%s = %d: %s", path, query, a.status, a.body)
			}
		}
	})
}

// FuzzReference gives any text as an href or a PRN: it is refused or, if it is accepted, names the remote.
func FuzzReference(f *testing.F) {
	b := setup(f, dbtest.SQLite(f), nil)
	remote := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
	id := strings.Split(remote, "/")[7]
	for _, text := range []string{
		remote, "http://h" + remote, "prn:file.fileremote:" + id, strings.ToUpper(remote), remote + "versions/0/",
		"/pulp/api/v3/remotes/file/file/" + strings.ReplaceAll(id, "-", "") + "/", "//" + remote, "http://[" + remote,
		"/pulp/api/v3/tasks/" + id + "/", "prn:core.task:" + id, "prn:file.fileremote:" + strings.ToUpper(id), "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at := *b
		at.t = t
		a := at.do("PATCH", at.repo(), url.Values{"remote": {text}}.Encode(), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		})
		switch {
		case a.status == 400 || a.status == 200 && text == "":
		case a.status == 202 && strings.Contains(strings.ToLower(text), id):
		default:
			t.Errorf("PATCH with remote=%q = %d: %s", text, a.status, a.body)
		}
	})
}

// FuzzBody sends any JSON to a create: it is answered with 201 or 400, and a serializer takes or refuses it alike.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		`{"name": "x"}`, `{"name": 1e400, "pulp_labels": {"a": null}}`, `{"retain_repo_versions": 1.0}`, `[`, `nul`,
		`{"name": "` + "\u0000" + `"}`, `{"name": "\ud800"}`, `{"manifest": {"a": []}}`, "\xff",
	} {
		f.Add(body)
	}
	b := setup(f, dbtest.SQLite(f), &rest.Options{})
	s, err := rest.NewSerializer(b.db.Registry(), repositories)
	must(f, err)
	f.Fuzz(func(t *testing.T, body string) {
		at := *b
		at.t = t
		_, err := s.Decode(t.Context(), b.db, json.RawMessage(body))
		a := at.do("POST", "repositories/file/file/", body)
		if a.status != 201 && a.status != 400 {
			t.Errorf("POST %q = %d: %s", body, a.status, a.body)
		}
		// Without HTTP an empty text is no body, and references are PRNs.
		if strings.TrimSpace(body) != "" && !strings.Contains(body, "remote") && (err == nil) != (a.status == 201) {
			t.Errorf("POST %q = %d: %s; Decode: %v", body, a.status, a.body, err)
		}
	})
}

// FuzzUnit sends any JSON to the creators of content: it is answered with 202 or 400.
func FuzzUnit(f *testing.F) {
	const none = "/pulp/api/v3/artifacts/" + nowhere + "/"
	for _, body := range []string{
		`{"relative_path": "a.whl", "file_url": "http://u:p@h.example:1/%41?q#f"}`, `{"relative_path": "a", "file_url": "//["}`,
		`{"relative_path": "a/../b", "artifact": "` + none + `"}`, `{"title": "t", "artifacts": {"a": "` + none + `", "": 1}}`,
		`{"title": "t", "artifacts": {"a/b": "prn:core.artifact:` + nowhere + `"}}`, `{"text": "t", "repository": null}`,
	} {
		f.Add(body)
	}
	b := setupPy(f, dbtest.SQLite(f))
	f.Fuzz(func(t *testing.T, body string) {
		at := *b
		at.t = t
		for _, path := range []string{"content/py/wheels/", "content/py/sets/", "content/py/notes/"} {
			a := at.do("POST", path, body)
			if a.status != 202 && a.status != 400 {
				t.Errorf("POST %s %q = %d: %s", path, body, a.status, a.body)
			}
		}
	})
}

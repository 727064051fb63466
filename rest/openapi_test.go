package rest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

func newChi(h http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Mount("/pulp/", h)
	return r
}

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	a := b.do("GET", "docs/api.json?pk_path=1", nil, func(r *http.Request) { r.Header.Del("Authorization") }).want(200)
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(a.body)
	must(t, err)
	if err := doc.Validate(loader.Context); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("openapi = %q", doc.OpenAPI)
	}
	for _, p := range []string{
		"/pulp/api/v3/repositories/file/file/{pulp_id}/sync/", "/pulp/api/v3/repositories/file/file/{pulp_id}/versions/{number}/",
	} {
		if doc.Paths.Value(p) == nil {
			t.Errorf("the document has no path %s", p)
		}
	}
}

// TestDocumentForClients checks what pulp-cli's strict parser and its look-ups by name rely on.
func TestDocumentForClients(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	a := b.do("GET", "docs/api.json", nil).want(200)
	var doc struct {
		Info       map[string]any
		Paths      map[string]map[string]*openapi3.Operation
		Components struct{ Schemas openapi3.Schemas }
	}
	must(t, json.Unmarshal(a.body, &doc))
	versions, _ := doc.Info["x-pulp-app-versions"].(map[string]any)
	if versions["file"] != "3.81.0" || doc.Info["x-pulp-domain-enabled"] != false {
		t.Errorf("info = %v", doc.Info)
	}
	if license, _ := doc.Info["license"].(map[string]any); license["name"] != "Apache-2.0" {
		t.Errorf("license = %v", doc.Info["license"])
	}
	got := map[string]string{}
	for p, ops := range doc.Paths {
		for method, o := range ops {
			if got[o.OperationID] != "" {
				t.Errorf("operation %s is there twice", o.OperationID)
			}
			got[o.OperationID] = strings.ToUpper(method) + " " + p
			if o.Parameters == nil && strings.HasSuffix(o.OperationID, "_list") {
				t.Errorf("operation %s has no list of parameters", o.OperationID)
			}
		}
	}
	for id, want := range map[string]string{
		"status_read":                            "GET /pulp/api/v3/status/",
		"tasks_list":                             "GET /pulp/api/v3/tasks/",
		"tasks_cancel":                           "PATCH {task_href}",
		"tasks_purge":                            "POST /pulp/api/v3/tasks/purge/",
		"task_schedules_list":                    "GET /pulp/api/v3/task-schedules/",
		"task_schedules_read":                    "GET {task_schedule_href}",
		"tasks_events":                           "GET /pulp/api/v3/tasks/events/",
		"task_groups_cancel":                     "PATCH {task_group_href}",
		"workers_read":                           "GET {worker_href}",
		"artifacts_create":                       "POST /pulp/api/v3/artifacts/",
		"repositories_file_file_sync":            "POST {file_file_repository_href}sync/",
		"repositories_file_file_modify":          "POST {file_file_repository_href}modify/",
		"repositories_file_file_versions_list":   "GET {file_file_repository_href}versions/",
		"repositories_file_file_versions_delete": "DELETE {file_file_repository_version_href}",
		"repository_versions_list":               "GET /pulp/api/v3/repository_versions/",
		"content_file_files_create":              "POST /pulp/api/v3/content/file/files/",
		"content_file_files_read":                "GET {file_file_content_href}",
		"remotes_file_file_partial_update":       "PATCH {file_file_remote_href}",
		"publications_file_file_delete":          "DELETE {file_file_publication_href}",
		"distributions_file_file_set_label":      "POST {file_file_distribution_href}set_label/",
		"contentguards_file_header_update":       "PUT {file_header_content_guard_href}",
		"distributions_list":                     "GET /pulp/api/v3/distributions/",
		"repositories_file_file_rename":          "POST {file_file_repository_href}rename/",
	} {
		if got[id] != want {
			t.Errorf("operation %s is %q, want %q", id, got[id], want)
		}
	}
	if s := doc.Components.Schemas["Patchedfile.FileRemote"]; s == nil || len(s.Value.Required) > 0 {
		t.Errorf("schema of a PATCH = %v, want one that requires nothing", s)
	}
	remote := doc.Components.Schemas["file.FileRemote"].Value
	if !slices.Equal(remote.Required, []string{"name", "url"}) || !remote.Properties["password"].Value.WriteOnly {
		t.Errorf("schema of a remote requires %v", remote.Required)
	}
	if doc.Components.Schemas["file.FileRemoteResponse"].Value.Properties["password"] != nil {
		t.Error("the schema of answers has the password")
	}
}

func TestNewReportsAllFaults(t *testing.T) {
	t.Parallel()
	db := openDB(t, dbtest.SQLite(t))
	handler := http.NotFoundHandler()
	_, err := rest.New(db, nil, nil, &rest.Options{
		Root: "pulp",
		Views: []rest.Mount{
			nil,
			rest.ViewSet[Content]{Name: "files"},
			rest.ViewSet[Content]{Type: files, Name: "Files"},
			rest.ViewSet[Content]{Type: files, Name: "files", Filters: rest.Filters{"nope": rest.Name, "zero": {}}},
			rest.ViewSet[Content]{Type: files, Name: "again"},
			rest.ViewSet[Repository]{Type: repositories, Name: "file", Actions: []rest.Action[Repository]{
				{}, rest.Post("modify", func(_ contextType, _ *rest.Request[Repository], _ *struct{}) (*struct{}, error) {
					return nil, nil
				}),
			}},
		},
		Routes: []rest.Route{
			{Path: "/x/"},
			{Path: "y/", Handler: handler},
			{Path: "/a/../b/", Handler: handler},
			{Path: "/z/", Handler: handler},
			{Path: "/z/deeper", Handler: handler},
		},
	})
	if pulperr.KindOf(err) != pulperr.Invalid {
		t.Fatalf("New = %v, want an error of kind Invalid", err)
	}
	for _, want := range []string{
		`root "pulp"`, "a view is nil", "there is no Type", `the name "Files"`, `there is no column "nope"`,
		`filter "zero" has no kind`, `the path or the type "file.file" is served already`, "an action is empty",
		`cannot be named "modify"`, `route "/x/": there is no handler`, `route "y/"`, `route "/a/../b/"`,
		`route "/z/deeper" clashes with "/z/"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v\nwhich does not say %s", err, want)
		}
	}
}

package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

func newChi(h http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Mount("/pulp/", h)
	return r
}

// loadDocument returns the document for Pulp's clients.
func loadDocument(t *testing.T, b *bundle) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(b.do("GET", "docs/api.json", nil).want(200).body)
	must(t, err)
	return doc
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

// TestDocumentClaimsBasicAuthenticationOnly checks that a client is asked for nothing that the API does not take.
func TestDocumentClaimsBasicAuthenticationOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	doc := loadDocument(t, b)
	schemes := doc.Components.SecuritySchemes
	if basic := schemes["basicAuth"]; len(schemes) != 1 || basic == nil || basic.Value.Type != "http" || basic.Value.Scheme != "basic" {
		t.Errorf("security schemes = %+v, want basic authentication", schemes)
	}
	closed := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Security == nil {
				continue // open to every client
			}
			closed++
			for _, one := range *op.Security {
				if _, ok := one["basicAuth"]; !ok || len(one) != 1 {
					t.Errorf("%s %s: security = %v, want basicAuth", method, path, one)
				}
			}
		}
	}
	if closed < 50 {
		t.Errorf("%d operations ask for a login, want nearly all", closed)
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

// Twice has a member that answers about remotes have already.
type Twice struct {
	models.Remote
	Hidden string `bun:"hidden" json:"hidden_fields"`
}

var twices = models.Define[Twice]("file.twice")

func TestNewReportsAllFaults(t *testing.T) {
	t.Parallel()
	db := modelstest.Open(t, dbtest.SQLite(t), nil, models.PluginModels{Plugin: "file", Types: []models.AnyType{files, repositories, remotes, twices}})
	handler := http.NotFoundHandler()
	_, err := rest.New(db, nil, nil, &rest.Options{
		Root: "pulp",
		Views: []rest.View{
			nil,
			rest.ViewSet[Content]{Name: "files"},
			rest.ViewSet[Content]{Type: files, Name: "Files"},
			rest.ViewSet[Content]{Type: files, Name: "files", Filters: rest.Filters{"nope": rest.NameFilter(), "zero": {}}},
			rest.ViewSet[Content]{Type: files, Name: "again"},
			rest.ViewSet[Twice]{Type: twices, Name: "twice"},
			rest.ViewSet[Repository]{Type: repositories, Name: "file", Actions: []rest.Action[Repository]{
				{}, rest.Post("modify", func(_ contextType, _ *rest.Request[Repository], _ *struct{}) (*struct{}, error) {
					return nil, nil
				}),
			}},
		},
		Routes: []rest.Route{
			{Pattern: "/x/"},
			{Pattern: "y/", Handler: handler},
			{Pattern: "/a/../b/", Handler: handler},
			{Pattern: "/z/", Handler: handler},
			{Pattern: "/z/deeper", Handler: handler},
			{Pattern: "GET /z/{id}/", Handler: handler},
			{Pattern: "PUT /z/{x}/", Handler: handler, Mount: func(*rest.API) http.Handler { return handler }},
			{Pattern: "/b/{", Handler: handler},
			{Pattern: "/z/{id...}", Handler: handler},
			{Pattern: "/pulp/api/v3/tasks/{id}/{$}", Handler: handler},
			{Pattern: "/pulp/api/v3/", Handler: handler},
			{Pattern: "/q?a=b", Handler: handler},
			{Pattern: "/", Handler: handler},
		},
	})
	if pulperr.KindOf(err) != pulperr.Invalid {
		t.Fatalf("New = %v, want an error of kind Invalid", err)
	}
	for _, want := range []string{
		`root "pulp"`, "view 1 is nil", "there is no Type", `the name "Files"`, `there is no column "nope"`,
		`filter "zero" has no kind`, `the path or the type "file.file" is served already`, "an action is empty",
		`type "file.twice": field Hidden: answers have a computed member "hidden_fields" already`,
		`cannot be named "modify"`, `route "/x/": there is no handler`, `route "y/"`, `route "/a/../b/"`,
		`route "y/": "y/" does not begin with a slash`, `route "PUT /z/{x}/": there is no handler`, `route "/b/{": `,
		`route "/z/{id...}": pattern "/z/{id...}" conflicts with pattern "/z/"`,
		`route "/pulp/api/v3/tasks/{id}/{$}": pattern`,
		`route "/pulp/api/v3/" clashes with "/pulp/api/v3/", which the API serves below it`,
		`route "/q?a=b": a path has no "?"`, `route "/": everything lies below it`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v\nwhich does not say %s", err, want)
		}
	}
}

// Faults of a type's tags, an action's input and the routes of several plugins are reported together, by plugin.
func TestCheckReportsAllFaultsByPlugin(t *testing.T) {
	t.Parallel()
	type (
		odd struct {
			models.Remote
			Text  string `json:"text" rest:"max=0,mni=1,required,default=x"`
			Owner uuid.UUID
			Call  chan int `json:"call" bun:"call"`
			Prn   string
		}
		common struct{ A string }
		input  struct {
			common
			hidden string `json:"-"` //nolint:unused // which is the fault
			Ref    string `rest:"ref=nowhere"`
			Again  string `json:"ref"`
		}
	)
	odds := models.Define[odd]("odd.odd")
	registry, faults := models.Check(models.PluginModels{Plugin: "odd", Types: []models.AnyType{odds}})
	if faults != nil {
		t.Fatalf("models.Check = %v, want no fault", faults)
	}
	post := rest.Post("go", func(context.Context, *rest.Request[odd], *input) (*struct{}, error) { return nil, nil })
	route := rest.Route{Pattern: "/same/", Handler: http.NotFoundHandler()}
	var got []string
	for _, err := range rest.Check(registry, nil,
		rest.Part{
			Plugin: "odd", Views: []rest.View{rest.ViewSet[odd]{Type: odds, Name: "odd", Actions: []rest.Action[odd]{post}}},
			Routes: []rest.Route{route},
		},
		rest.Part{Plugin: "other", Routes: []rest.Route{route, {Pattern: "/o/", Allow: 9}}},
	) {
		got = append(got, err.Error())
	}
	want := []string{
		`plugin "odd": type "odd.odd": field Text: rest tag: max="0" is not a positive number; write it as in max=255`,
		`plugin "odd": type "odd.odd": field Text: rest tag: unknown word "mni=1"; there are required, readonly, verbatim, ` +
			`blank, default=, min=, max=, choices=A|B and ref=`,
		`plugin "odd": type "odd.odd": field Text: rest tag: it is required and has a default, which no request would get; ` +
			`drop one of the two`,
		`plugin "odd": type "odd.odd": field Owner: it is a key, and nothing says of what; name that, as in ` +
			`rest:"ref=repository"`,
		`plugin "odd": type "odd.odd": field Call: chan int has no form on the wire; hide it with json:"-"`,
		`plugin "odd": type "odd.odd": field Prn: answers have a computed member "prn" already; give the field another json tag`,
		`plugin "odd": viewset remotes/odd/odd/: action go: field common: it is embedded, and its members would not be read; ` +
			`write them into rest_test.input`,
		`plugin "odd": viewset remotes/odd/odd/: action go: field hidden: it has a tag and is not exported, so it would not be ` +
			`read; begin its name with a capital`,
		`plugin "odd": viewset remotes/odd/odd/: action go: field Ref: rest tag: ref="nowhere" is not what a key can refer to; ` +
			`use one of content, repository, remote, publication, distribution, contentguard, repositoryversion, artifact, ` +
			`task, taskgroup, taskschedule, appstatus`,
		`plugin "odd": viewset remotes/odd/odd/: action go: field Again: there is another field named "ref" on the wire; ` +
			`give it another json tag`,
		`plugin "other": route "/same/": pattern "/same/" conflicts with pattern "/same/" of plugin "odd": /same/ matches the same requests as /same/; choose another pattern`,
		`plugin "other": route "/o/": access 9 is not known; use Authorized, Accounts or Anybody`,
		`plugin "other": route "/o/": there is no handler; set either Handler or Mount`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
}

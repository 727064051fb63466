package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// batch is a row of a plugin's own without a master. It lies in a table that is there anyway.
type batch struct {
	bun.BaseModel `bun:"table:core_taskgroup,alias:b"`

	ID          uuid.UUID `bun:"pulp_id,pk"`
	Created     time.Time `bun:"pulp_created"`
	Description string    `bun:"description"`
}

type batchAnswer struct {
	Href  string `json:"pulp_href" doc:"Where it is."`
	Title string `json:"title" doc:"What it is for."`
	Words int    `json:"words" doc:"How many words the title has."`
}

func batches() rest.Resource[batch, batchAnswer] {
	render := func(_ context.Context, _ *rest.Request[batch], rows []*batch) ([]batchAnswer, error) {
		var out []batchAnswer
		for _, b := range rows {
			out = append(out, batchAnswer{
				"/pulp/api/v3/batches/" + b.ID.String() + "/", b.Description, len(strings.Fields(b.Description)),
			})
		}
		return out, nil
	}
	return rest.Resource[batch, batchAnswer]{
		Path: "batches/", Class: "Batch", Alias: "b", Render: render, OrderBy: []string{"description"},
		Filters: rest.Filters{
			"title": rest.NameFilter().On("description"),
			"longer_than": rest.CustomFilter("A text that must be shorter than the title.",
				func(_ context.Context, _ *models.DB, value string) (models.Cond, error) {
					if len(value) > 50 {
						return models.Cond{}, rest.FieldErrors{"longer_than": {"The text is too long."}}
					}
					return models.Where("LENGTH(b.description) > ?", len(value)), nil
				}),
		},
		Actions: []rest.Action[batch]{
			rest.Do(rest.Operation{Method: http.MethodPut, Summary: "Rename a batch"},
				func(ctx context.Context, r *rest.Request[batch], in *struct {
					Title string `json:"title" rest:"required"`
				},
				) (*batchAnswer, error) {
					r.Row.Description = in.Title
					_, err := r.DB.Bun().NewUpdate().Model(r.Row).Column("description").WherePK().Exec(ctx)
					if err != nil {
						return nil, err
					}
					out, err := render(ctx, r, []*batch{r.Row})
					return &out[0], err
				}),
			rest.Do(rest.Operation{Method: http.MethodDelete}, func(ctx context.Context, r *rest.Request[batch], _ *rest.Empty,
			) (*rest.Empty, error) {
				_, err := r.DB.Bun().NewDelete().Model(r.Row).WherePK().Exec(ctx)
				return nil, err
			}),
			rest.Do(rest.Operation{Method: http.MethodGet, Name: "size"},
				func(_ context.Context, r *rest.Request[batch], _ *rest.Empty) (*sizeAnswer, error) {
					return &sizeAnswer{int64(len(r.Row.Description))}, nil
				}),
			rest.Do(rest.Operation{Name: "weigh", Collection: true, File: true},
				func(ctx context.Context, r *rest.Request[batch], in *weighInput) (*sizeAnswer, error) {
					if r.Upload() == nil {
						return nil, rest.FieldErrors{"file": {"No file was submitted."}}
					}
					size := r.Upload().Size()
					if in.Keep {
						if _, err := r.Upload().Save(ctx); err != nil {
							return nil, err
						}
					}
					return &sizeAnswer{size}, nil
				}),
			rest.Do(rest.Operation{Name: "start", Collection: true},
				func(ctx context.Context, r *rest.Request[batch], _ *rest.Empty) (*rest.AcceptedGroup, error) {
					g, err := r.Queue.NewGroup(ctx, "of three words")
					if err != nil {
						return nil, err
					}
					return r.AcceptGroup(g), nil
				}),
		},
	}
}

type (
	sizeAnswer struct {
		Size int64 `json:"size"`
	}
	weighInput struct {
		Keep bool `json:"keep" rest:"default=false"`
	}
)

// TestResourceOfAPlugin does with a resource of a plugin all that core's own can.
func TestResourceOfAPlugin(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := setupViews(t, openDB(t, url), nil, append(views(), batches()))
		group := b.do("POST", "batches/start/", nil).want(http.StatusAccepted).str("task_group")
		b.do("GET", group, nil).want(http.StatusOK)
		one := strings.Replace(group, "task-groups", "batches", 1)
		if a := b.do("GET", one, nil).want(http.StatusOK); a.str("title") != "of three words" || a.get("words") != 3.0 {
			t.Errorf("batch = %s", a.body)
		}
		diff(t, b.do("GET", one+"?fields=words", nil).want(http.StatusOK).body, `{"words": 3}`)
		b.do("POST", "batches/start/", nil).want(http.StatusAccepted)
		for query, want := range map[string]float64{
			"?title=of+three+words": 2, "?title__contains=four": 0, "?longer_than=ab": 2, "?limit=1&ordering=-description": 2,
			"?longer_than=" + strings.Repeat("x", 20): 0,
		} {
			if got := b.do("GET", "batches/"+query, nil).want(http.StatusOK).get("count"); got != want {
				t.Errorf("%s: count = %v, want %v", query, got, want)
			}
		}
		diff(t, b.do("GET", "batches/?longer_than="+strings.Repeat("x", 51), nil).want(http.StatusBadRequest).body,
			`{"longer_than": ["The text is too long."]}`)
		b.do("PUT", one, map[string]any{"title": "short"}).want(http.StatusOK)
		diff(t, b.do("PUT", one, map[string]any{}).want(http.StatusBadRequest).body, `{"title": ["This field is required."]}`)
		diff(t, b.do("GET", one+"size/", nil).want(http.StatusOK).body, `{"size": 5}`)
		b.do("DELETE", one, nil).want(http.StatusNoContent)
		diff(t, b.do("GET", one, nil).want(http.StatusNotFound).body, `{"detail": "No Batch matches the given query."}`)
		b.do("DELETE", "batches/", nil).want(http.StatusMethodNotAllowed)
		for _, tt := range []struct {
			keep      string
			artifacts float64
		}{{"false", 0}, {"true", 1}} {
			body, edit := form(t, "file", "@12345", "keep", tt.keep)
			diff(t, b.do("POST", "batches/weigh/", body, edit).want(http.StatusOK).body, `{"size": 5}`)
			if n := b.do("GET", "artifacts/", nil).get("count"); n != tt.artifacts {
				t.Errorf("keep=%s: there are %v artifacts, want %v", tt.keep, n, tt.artifacts)
			}
		}
		diff(t, b.do("POST", "batches/weigh/", map[string]any{}).want(http.StatusBadRequest).body,
			`{"file": ["No file was submitted."]}`)
	})
}

// TestResourceInDocument has what the document says of a resource of a plugin.
func TestResourceInDocument(t *testing.T) {
	t.Parallel()
	b := setupViews(t, openDB(t, dbtest.SQLite(t)), nil, append(views(), batches()))
	doc := loadDocument(t, b)
	answer := doc.Components.Schemas["BatchResponse"].Value
	if p := answer.Properties["words"].Value; !p.Type.Is("integer") || p.Description != "How many words the title has." {
		t.Errorf("words of BatchResponse = %+v", p)
	}
	started := doc.Paths.Value("/pulp/api/v3/batches/start/").Post.Responses.Value("202").Value.Content["application/json"]
	if started == nil || started.Schema.Ref != "#/components/schemas/TaskGroupOperationResponse" {
		t.Errorf("the answer of start is %+v, want a task group", started)
	}
	got := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			got[op.OperationID] = method + " " + path
		}
	}
	for id, want := range map[string]string{
		"batches_list": "GET /pulp/api/v3/batches/", "batches_read": "GET {batch_href}", "batches_put": "PUT {batch_href}",
		"batches_delete": "DELETE {batch_href}", "batches_size": "GET {batch_href}size/",
		"batches_weigh": "POST /pulp/api/v3/batches/weigh/", "batches_start": "POST /pulp/api/v3/batches/start/",
	} {
		if got[id] != want {
			t.Errorf("operation %s is %q, want %q", id, got[id], want)
		}
	}
}

func TestFaultsOfResources(t *testing.T) {
	t.Parallel()
	db := openDB(t, dbtest.SQLite(t))
	render := batches().Render
	_, err := rest.New(db, nil, nil, &rest.Options{Views: []rest.View{
		rest.Resource[batch, batchAnswer]{Path: "no slash", Class: "A", Alias: "b", Render: render},
		rest.Resource[batch, batchAnswer]{Path: "a/", Alias: "b", Render: render},
		rest.Resource[batch, batchAnswer]{Path: "b/", Class: "B", Render: render},
		rest.Resource[batch, batchAnswer]{Path: "c/", Class: "C", Alias: "b"},
		rest.Resource[batch, batchAnswer]{Path: "tasks/", Class: "D", Alias: "b", Render: render},
		rest.Resource[batch, batchAnswer]{
			Path: "e/", Class: "E", Alias: "b", Render: render, Filters: rest.Filters{"limit": rest.ExactFilter()},
			Actions: []rest.Action[batch]{{}, rest.Do(rest.Operation{Method: http.MethodGet, Name: "x"},
				func(context.Context, *rest.Request[batch], *weighInput) (*sizeAnswer, error) { return nil, nil })},
		},
		rest.ViewSet[Guard]{Type: guards, Name: "header", Create: rest.Publish(publishTask,
			func(*Guard) publishArgs { return publishArgs{} })},
		rest.ViewSet[Remote]{Type: remotes, Name: "file", Create: rest.Create(false,
			func(context.Context, *rest.Request[Remote], *rest.Empty) (*sizeAnswer, error) { return nil, nil })},
		rest.ViewSet[Distribution]{Type: distributions, Name: "file", Create: rest.SingleArtifact[Distribution](nil)},
	}})
	if pulperr.KindOf(err) != pulperr.Invalid {
		t.Fatalf("New = %v, want an error of kind Invalid", err)
	}
	for _, want := range []string{
		`resource "no slash": the path is not usable`, `resource "a/": there is no Class`, `resource "b/": there is no Alias`,
		`resource "c/": there is no Render`, "GET /pulp/api/v3/tasks/ is served by",
		`resource e/: there are two filters "limit"`, "resource e/: an action is empty",
		"resource e/: action x: GET has no body; make its input rest.Empty",
		"viewset contentguards/file/header/: create: only publications are created by rest.Publish; use rest.Create",
		"viewset remotes/file/file/: create: its result rest_test.sizeAnswer is neither the row nor rest.Accepted",
		"viewset distributions/file/file/: create: only content is created by rest.SingleArtifact; use rest.Create",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v\nwithout %s", err, want)
		}
	}
}

// TestCreatorAndMemberOfAPlugin creates guards by a plugin's own function and shows what it computes about them.
func TestCreatorAndMemberOfAPlugin(t *testing.T) {
	type extra struct {
		Suffix string `json:"suffix" rest:"required" doc:"The end of the header's name."`
	}
	open := func(t *testing.T, url string) *bundle {
		return setupViews(t, openDB(t, url), nil, []rest.View{rest.ViewSet[Guard]{
			Type: guards, Name: "header",
			Create: rest.Create(false, func(ctx context.Context, r *rest.Request[Guard], in *extra) (*Guard, error) {
				r.Row.Header += in.Suffix
				return r.Row, guards.Create(ctx, r.DB, r.Row)
			}),
			Members: []rest.Member[Guard]{rest.Computed("loud", "The header in capitals.",
				func(_ context.Context, _ *models.DB, rows []*Guard) ([]string, error) {
					var out []string
					for _, g := range rows {
						out = append(out, strings.ToUpper(g.Header))
					}
					return out, nil
				})},
		}})
	}
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		b := open(t, url)
		const path = "contentguards/file/header/"
		for i, suffix := range []string{"-a", "-b"} {
			body := map[string]any{"name": fmt.Sprint("g", i), "header_name": "x", "suffix": suffix}
			a := b.do("POST", path, body).want(http.StatusCreated)
			if a.str("header_name") != "x"+suffix || a.str("loud") != strings.ToUpper("x"+suffix) || a.header.Get("Location") == "" {
				t.Errorf("created: %s", a.body)
			}
		}
		diff(t, b.do("POST", path, map[string]any{"name": "g0"}).want(http.StatusBadRequest).body,
			`{"name": ["This field must be unique."], "header_name": ["This field is required."],
			"suffix": ["This field is required."]}`)
		diff(t, b.do("GET", path+"?fields=loud&ordering=name", nil).want(http.StatusOK).body,
			`{"count": 2, "next": null, "previous": null, "results": [{"loud": "X-A"}, {"loud": "X-B"}]}`)
		doc := loadDocument(t, b)
		if answers := doc.Paths.Value("/pulp/api/v3/" + path).Post.Responses; answers.Value("201") == nil {
			t.Errorf("the document has the answers %v to POST, want 201", answers.Keys())
		}
		if s := doc.Components.Schemas["file.HeaderContentGuard"].Value; s.Properties["suffix"] == nil {
			t.Error("the document has no suffix in the body")
		}
		if s := doc.Components.Schemas["file.HeaderContentGuardResponse"].Value; s.Properties["loud"] == nil {
			t.Error("the document has no computed member")
		}
	})
}

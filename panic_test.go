package pulpcore_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

// The types of the plugin "wild", whose code panics where the name of a row asks for it.
type (
	wildUnit struct {
		models.Content
		Name string `json:"name" pulp:"natural"`
	}
	wildRepository   struct{ models.Repository }
	wildDistribution struct{ models.Distribution }
	wildGuard        struct{ models.ContentGuard }
	wildWords        struct {
		Words string `json:"words"`
	}
)

// boom panics if a text asks for it.
func boom(text, where string) {
	if text == where {
		panic("boom in " + where)
	}
}

func (u *wildUnit) Validate() error {
	boom(u.Name, "Validate of content")
	return nil
}

func (r *wildRepository) Validate() error {
	boom(r.Name, "Validate")
	return nil
}

func (r *wildRepository) ValidateIn(context.Context, *models.DB) error {
	boom(r.Name, "ValidateIn")
	return nil
}

func (r *wildRepository) InitializeNewVersion(context.Context, *models.NewVersion) error {
	boom(r.Name, "InitializeNewVersion")
	return nil
}

func (r *wildRepository) FinalizeNewVersion(context.Context, *models.NewVersion) error {
	boom(r.Name, "FinalizeNewVersion")
	return nil
}

func (r *wildRepository) OnNewVersion(context.Context, *models.DB, *models.RepositoryVersion) error {
	boom(r.Name, "OnNewVersion")
	return nil
}

func (d *wildDistribution) ContentHandler(_ context.Context, r *content.Request) (http.Handler, error) {
	boom(d.Name, "ContentHandler")
	if d.Name != "handler" {
		return nil, nil
	}
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { boom(d.Name, "handler") }), nil
}

func (d *wildDistribution) ListDirectory(context.Context, *content.Request) ([]string, error) {
	boom(d.Name, "ListDirectory")
	return nil, nil
}

func (d *wildDistribution) ContentHeaders(*content.Request) http.Header {
	boom(d.Name, "ContentHeaders")
	return nil
}

func (g *wildGuard) Permit(context.Context, *content.Request) error {
	boom(g.Name, "Permit")
	return nil
}

var (
	wildUnits         = models.Define[wildUnit]("wild.unit")
	wildRepositories  = models.Define[wildRepository]("wild.wild", models.Accepts(wildUnits))
	wildDistributions = models.Define[wildDistribution]("wild.wild")
	wildGuards        = models.Define[wildGuard]("wild.guard")
	wildTask          = tasking.Define[struct{}]("wild.task")
)

// wild is the plugin. It logs to out.
func wild(out *logText) *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "wild", Version: "1",
		Models:      []models.AnyType{wildUnits, wildRepositories, wildDistributions, wildGuards},
		LogHandlers: map[string]slog.Handler{"wild.log": out.handler()},
		Overlay: []settings.Assignment{settings.Merge("LOGGING__handlers", map[string]any{
			"wild": map[string]any{"handler": "wild.log"}, "console": map[string]any{"output": "discard"},
		})},
		Tasks: []tasking.Binding{wildTask.Bind(func(context.Context, *tasking.Env, struct{}) error {
			panic("boom in a task")
		})},
		API: []rest.Route{{Pattern: "/wild/", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic("boom in a route")
		})}},
		Content: []content.Route{{Pattern: "/wilder/", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic("boom in a content route")
		})}},
		Views: []rest.View{
			rest.ViewSet[wildUnit]{
				Type: wildUnits, Name: "units",
				Create: rest.Create(false, func(ctx context.Context, r *rest.Request[wildUnit], _ *wildWords) (*wildUnit, error) {
					boom(r.Row.Name, "creator")
					err := r.DB.Tx(ctx, func(ctx context.Context, tx *models.Tx) error {
						if err := wildUnits.Create(ctx, tx.DB, r.Row); err != nil {
							return err
						}
						boom(r.Row.Name, "transaction")
						return nil
					})
					return r.Row, err
				}),
				Filters: rest.Filters{"wild": rest.CustomFilter("A filter.",
					func(_ context.Context, _ *models.DB, value string) (models.Cond, error) {
						boom(value, "filter")
						return models.Eq("name", value), nil
					})},
			},
			rest.ViewSet[wildRepository]{
				Type: wildRepositories, Name: "wild",
				Members: []rest.Member[wildRepository]{rest.Computed("length", "The length of the name.",
					func(_ context.Context, _ *models.DB, rows []*wildRepository) ([]int, error) {
						lengths := make([]int, len(rows))
						for i, r := range rows {
							boom(r.Name, "member")
							lengths[i] = len(r.Name)
						}
						return lengths, nil
					})},
				Actions: []rest.Action[wildRepository]{rest.Post("act",
					func(_ context.Context, _ *rest.Request[wildRepository], in *wildWords) (*wildWords, error) {
						boom(in.Words, "action")
						return in, nil
					})},
			},
			rest.ViewSet[wildDistribution]{Type: wildDistributions, Name: "wild"},
			rest.ViewSet[wildGuard]{Type: wildGuards, Name: "guard"},
		},
	}
}

// TestPanicsOfAPlugin calls each kind of code that a plugin brings and has it panic.
func TestPanicsOfAPlugin(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		var log logText
		app := pulptest.NewWith(t, []settings.Option{settings.Value("DATABASE_URL", url)}, wild(&log))
		t.Run("requests", func(t *testing.T) { panicsOfRequests(t, app, &log) })
		t.Run("downloads", func(t *testing.T) { panicsOfDownloads(t, app, &log) })
		t.Run("tasks", func(t *testing.T) { panicsOfTasks(t, app, &log) })
		// Nothing of a transaction or a connection is left.
		stats := app.DB().Conn().Bun.Stats()
		if stats.InUse != 0 {
			t.Errorf("%d connections are in use", stats.InUse)
		}
		if n, err := wildUnits.Count(t.Context(), app.DB()); err != nil || n != 1 {
			t.Errorf("there are %d units, %v, want the one that was made without a panic", n, err)
		}
	})
}

// wantLogged compares the log since before: one line about the panic, with its stack.
func wantLogged(t *testing.T, log *logText, before int, panicked string) {
	t.Helper()
	text := log.String()[before:]
	if n := strings.Count(text, "panic="); n != 1 || !strings.Contains(text, panicked) || !strings.Contains(text, "panic_test.go") {
		t.Errorf("the log has %d panics, want %q with its stack:\n%s", n, panicked, text)
	}
}

func panicsOfRequests(t *testing.T, app *pulptest.App, log *logText) {
	const units, repositories = "/pulp/api/v3/content/wild/units/", "/pulp/api/v3/repositories/wild/wild/"
	post := func(path string, body map[string]any) *pulptest.Response {
		t.Helper()
		return app.Do(t, "POST", path, pulptest.JSON(body))
	}
	repository := post(repositories, map[string]any{"name": "tame"}).Want(201).Href()
	for _, tt := range []struct {
		method, path string
		body         map[string]any
		panicked     string
	}{
		{"POST", repositories, map[string]any{"name": "Validate"}, "Validate"},
		{"POST", repositories, map[string]any{"name": "ValidateIn"}, "ValidateIn"},
		{"PATCH", repository, map[string]any{"name": "Validate"}, "Validate"},
		{"PATCH", repository, map[string]any{"name": "ValidateIn"}, "ValidateIn"},
		{"POST", repository + "act/", map[string]any{"words": "action"}, "action"},
		{"POST", units, map[string]any{"name": "Validate of content"}, "Validate of content"},
		{"POST", units, map[string]any{"name": "creator"}, "creator"},
		{"POST", units, map[string]any{"name": "transaction"}, "transaction"},
		{"GET", units + "?wild=filter", nil, "filter"},
		{"POST", repositories, map[string]any{"name": "member"}, "member"},
		{"GET", repositories, nil, "member"},
		{"GET", "/wild/x", nil, "a route"},
	} {
		before := len(log.String())
		var opts []pulptest.RequestOption
		if tt.body != nil {
			opts = append(opts, pulptest.JSON(tt.body))
		}
		res := app.Do(t, tt.method, tt.path, opts...)
		if res.Status != http.StatusInternalServerError || strings.Contains(res.Body, "boom") {
			t.Errorf("%s of %q = %d %s, want 500 without the panic's text", tt.method, tt.panicked, res.Status, res.Body)
		}
		wantLogged(t, log, before, "boom in "+tt.panicked)
	}
	// Writers are not blocked: SQLite has one.
	post(units, map[string]any{"name": "tame"}).Want(201)
}

func panicsOfDownloads(t *testing.T, app *pulptest.App, log *logText) {
	ctx, must := t.Context(), mustOf(t)
	a, err := models.NewArtifact(ctx, app.DB(), app.Store(), strings.NewReader("file"), nil)
	must(err)
	unit := &wildUnit{Name: "tame"}
	must(models.SaveContents(ctx, app.DB(), []*models.ContentWithFiles{
		{Content: unit, Files: []models.ContentFile{{RelativePath: "dir/f", ArtifactID: &a.ID}}},
	}))
	repository := &wildRepository{models.Repository{Name: "served"}}
	must(wildRepositories.Create(ctx, app.DB(), repository))
	_, _, err = models.CreateVersion(ctx, app.DB(), repository, nil, func(v *models.NewVersion) error {
		_, err := v.Add(ctx, []uuid.UUID{unit.ID})
		return err
	})
	must(err)
	guard := &wildGuard{models.ContentGuard{Name: "Permit"}}
	must(wildGuards.Create(ctx, app.DB(), guard))
	distribute := func(name string, guard *uuid.UUID) {
		d := &wildDistribution{}
		d.Name, d.BasePath, d.RepositoryID, d.ContentGuardID = name, strings.ToLower(name), &repository.ID, guard
		must(wildDistributions.Create(ctx, app.DB(), d))
	}
	for _, name := range []string{"tame", "ContentHandler", "handler", "ListDirectory", "ContentHeaders"} {
		distribute(name, nil)
	}
	distribute("guarded", &guard.ID)
	for _, tt := range []struct{ path, panicked string }{
		{"/pulp/content/contenthandler/dir/f", "ContentHandler"},
		{"/pulp/content/handler/dir/f", "handler"},
		{"/pulp/content/listdirectory/dir/", "ListDirectory"},
		{"/pulp/content/contentheaders/dir/f", "ContentHeaders"},
		{"/pulp/content/guarded/dir/f", "Permit"},
		{"/wilder/x", "a content route"},
	} {
		before := len(log.String())
		if status, body := app.Get(t, tt.path); status != http.StatusInternalServerError || strings.Contains(body, "boom") {
			t.Errorf("GET %s = %d %s, want 500 without the panic's text", tt.path, status, body)
		}
		wantLogged(t, log, before, "boom in "+tt.panicked)
	}
	if status, body := app.Get(t, "/pulp/content/tame/dir/f"); status != http.StatusOK || body != "file" {
		t.Errorf("GET of a distribution that does not panic = %d %q", status, body)
	}
}

func panicsOfTasks(t *testing.T, app *pulptest.App, log *logText) {
	ctx, must := t.Context(), mustOf(t)
	before := len(log.String())
	task, err := pulptest.TryTask(t, app, wildTask, struct{}{})
	if err == nil || task.State != models.Failed {
		t.Errorf("a task that panics = %s, %v", task.State, err)
	}
	if text := log.String()[before:]; !strings.Contains(text, "boom in a task") || !strings.Contains(text, "panic_test.go") {
		t.Errorf("the log has no stack of the task's panic:\n%s", text)
	}
	units, err := wildUnits.List(ctx, app.DB())
	must(err)
	for _, hook := range []string{"InitializeNewVersion", "FinalizeNewVersion", "OnNewVersion"} {
		repository := &wildRepository{models.Repository{Name: hook}}
		must(wildRepositories.Create(ctx, app.DB(), repository))
		href := "/pulp/api/v3/repositories/wild/wild/" + repository.ID.String() + "/"
		o, err := app.TryAwait(t, app.Do(t, "POST", href+"modify/", pulptest.JSON(map[string]any{
			"add_content_units": []string{"/pulp/api/v3/content/wild/units/" + units[0].ID.String() + "/"},
		})))
		if err == nil || len(o.Tasks) != 1 || o.Tasks[0].State != models.Failed {
			t.Errorf("%s panics, and the task ends with %v", hook, err)
		}
		latest, err := models.LatestVersion(ctx, app.DB(), repository.ID)
		must(err)
		// OnNewVersion is called for a version that is complete.
		if want := map[bool]int{true: 1}[hook == "OnNewVersion"]; latest.Number != want || !latest.Complete {
			t.Errorf("after a panic of %s the latest version is %d, want %d", hook, latest.Number, want)
		}
	}
}

// TestPanicsOfInit has plugins panic while the App is opened and closed.
func TestPanicsOfInit(t *testing.T) {
	t.Parallel()
	ended := 0
	plugin := func(name string, init, end func()) *pulpcore.Plugin {
		return &pulpcore.Plugin{Name: name, Version: "1", Init: func(context.Context, *pulpcore.App) (func() error, error) {
			init()
			return func() error {
				ended++
				end()
				return nil
			}, nil
		}}
	}
	nothing := func() {}
	boom := func() { panic(errors.New("boom")) }
	set, err := quiet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.Open(t.Context(), set, plugin("a", nothing, nothing), plugin("b", boom, nothing))
	const want = `pulpcore: plugin "b": Init panicked: boom`
	if app != nil || err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "panic_test.go") {
		t.Errorf("Open = %v, want %s and the stack", err, want)
	}
	if ended != 1 {
		t.Errorf("the work of %d plugins was ended, want that of one", ended)
	}
	app, err = pulpcore.Open(t.Context(), set, plugin("a", nothing, nothing), plugin("b", nothing, boom))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err == nil || !strings.Contains(err.Error(), `plugin "b": the end of its work panicked: boom`) {
		t.Errorf("Close = %v, want the panic of b", err)
	}
	if ended != 3 {
		t.Errorf("the work of %d plugins was ended, want that of both after the other's panic", ended-1)
	}
	if _, err := app.DB().Bun().NewRaw("SELECT 1").Exec(t.Context()); err == nil {
		t.Error("the database is open after Close")
	}
}

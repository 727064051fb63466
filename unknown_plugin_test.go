package pulpcore_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// TestProgramWithoutAPlugin has a program without the plugin "beta" use an installation that has rows of it.
func TestProgramWithoutAPlugin(t *testing.T) {
	t.Parallel()
	r := newReleases(t)
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		i := newInstallation(t, url)
		newer := i.program(r.alpha2, r.beta)
		rows := makeBetaRows(t, newer)
		without := i.program(r.alpha2)
		t.Run("lists", func(t *testing.T) { wantNoBeta(t, without, rows) })
		t.Run("references", func(t *testing.T) { wantNoReferences(t, without, rows) })
		t.Run("content app", func(t *testing.T) {
			for path, want := range map[string]int{"": 200, "open/": 404, "open/f": 404, "guarded/": 404, "guarded/f": 404, "alpha/": 403, "alpha/f": 403} {
				status, body := without.Get(t, "/pulp/content/"+path)
				if status != want || strings.Contains(body, "beta") {
					t.Errorf("GET %s = %d %s, want %d", path, status, body, want)
				}
			}
		})
		t.Run("tasks", func(t *testing.T) { wantWaiting(t, newer, without) })
		t.Run("clean-up", func(t *testing.T) { wantKept(t, newer, without, rows) })
	})
}

// betaRows are hrefs and identifiers of rows that the program without "beta" finds in the database.
type betaRows struct {
	repository, remote, distribution, guard, thing, version string

	alphaRepository, item string // of the plugin that both programs have
	mixed                 string // a distribution of that plugin, with the repository and the guard of "beta"
	artifact              *models.Artifact
}

// makeBetaRows makes rows of all kinds by the program that knows them.
func makeBetaRows(t *testing.T, app *pulptest.App) *betaRows {
	t.Helper()
	const api = "/pulp/api/v3/"
	ctx, must := t.Context(), mustOf(t)
	post := func(path string, body map[string]any) string {
		t.Helper()
		res := app.Do(t, "POST", api+path, pulptest.JSON(body))
		if res.Status == http.StatusAccepted {
			return app.Await(t, res).Resource()
		}
		return res.Want(http.StatusCreated).Href()
	}
	rows := &betaRows{
		repository:      post("repositories/beta/beta/", map[string]any{"name": "beta-repository"}),
		alphaRepository: post("repositories/alpha/alpha/", map[string]any{"name": "alpha-repository"}),
		remote:          post("remotes/beta/beta/", map[string]any{"name": "beta-remote", "url": "http://localhost/"}),
		guard:           post("contentguards/beta/guard/", map[string]any{"name": "beta-guard"}),
	}
	a, err := models.NewArtifact(ctx, app.DB(), app.Store(), strings.NewReader("beta's file"), nil)
	must(err)
	rows.artifact = a
	thing, item := &betaThing{Name: "beta-thing"}, &alphaItem2{Name: "item"}
	must(models.SaveContents(ctx, app.DB(), []*models.ContentWithFiles{
		{Content: thing, Files: []models.ContentFile{{RelativePath: "f", ArtifactID: &a.ID}}}, {Content: item},
	}))
	rows.thing = api + "content/beta/things/" + thing.ID.String() + "/"
	rows.item = api + "content/alpha/items/" + item.ID.String() + "/"
	rows.version = app.Await(t, app.Do(t, "POST", rows.repository+"modify/", pulptest.JSON(map[string]any{
		"add_content_units": []string{rows.thing, rows.item},
	}))).Resource()
	rows.distribution = post("distributions/beta/beta/", map[string]any{
		"name": "beta-open", "base_path": "open", "repository": rows.repository,
	})
	post("distributions/beta/beta/", map[string]any{
		"name": "beta-guarded", "base_path": "guarded", "repository": rows.repository, "content_guard": rows.guard,
	})
	// A row of the older plugin that refers to rows of the newer one.
	rows.mixed = post("distributions/alpha/alpha/", map[string]any{
		"name": "alpha", "base_path": "alpha", "repository": rows.repository, "content_guard": rows.guard,
	})
	if status, body := app.Get(t, "/pulp/content/open/f"); status != http.StatusOK || body != "beta's file" {
		t.Fatalf("the program with beta serves %d %q", status, body)
	}
	return rows
}

// wantNoBeta asks for the lists of all types and for the rows themselves.
func wantNoBeta(t *testing.T, app *pulptest.App, rows *betaRows) {
	const api = "/pulp/api/v3/"
	for path, count := range map[string]int{
		"repositories/": 1, "content/": 1, "content/alpha/items/": 1, "remotes/": 0, "distributions/": 1,
		"publications/": 0, "contentguards/": 0, "repository_versions/": 1, "artifacts/": 1,
	} {
		var got struct {
			Count   int              `json:"count"`
			Results []map[string]any `json:"results"`
		}
		res := app.Do(t, "GET", api+path).Want(200)
		res.JSON(&got)
		if got.Count != count || len(got.Results) != count {
			t.Errorf("GET %s = %d rows of %d, want %d: %s", path, len(got.Results), got.Count, count, res.Body)
		}
	}
	for _, href := range []string{rows.repository, rows.remote, rows.distribution, rows.guard, rows.thing, rows.version} {
		for _, method := range []string{"GET", "DELETE"} {
			app.Do(t, method, href).Want(404)
		}
	}
	// The tasks of the other program are listed: their rows are whole without its types.
	var tasks struct {
		Results []struct {
			State   string   `json:"state"`
			Created []string `json:"created_resources"`
		} `json:"results"`
	}
	app.Do(t, "GET", api+"tasks/").Want(200).JSON(&tasks)
	if len(tasks.Results) != 4 {
		t.Errorf("there are %d tasks, want 4", len(tasks.Results))
	}
	for _, task := range tasks.Results {
		if task.State != "completed" {
			t.Errorf("a task is %s", task.State)
		}
		for _, href := range task.Created {
			if strings.Contains(href, "beta") {
				t.Errorf("a task has created %s, which this program does not serve", href)
			}
		}
	}
	app.Do(t, "GET", api+"status/").Want(200)
}

// wantNoReferences names rows of the unknown types where the API takes references.
func wantNoReferences(t *testing.T, app *pulptest.App, rows *betaRows) {
	const api = "/pulp/api/v3/"
	for _, query := range []string{
		"content/?repository_version=" + rows.version, "repositories/?remote=" + rows.remote,
		"repositories/?with_content=" + rows.thing, "distributions/?repository=" + rows.repository,
		"repository_versions/?content=" + rows.thing,
	} {
		if res := app.Do(t, "GET", api+query); res.Status >= 500 {
			t.Errorf("GET %s = %d %s", query, res.Status, res.Body)
		}
	}
	app.Do(t, "POST", api+"distributions/alpha/alpha/", pulptest.JSON(map[string]any{
		"name": "another", "base_path": "open",
	})).Want(400)
	// References to rows of unknown types are shown as PRNs, and no change loses them.
	var mixed struct {
		Name       string `json:"name"`
		Guard      string `json:"content_guard"`
		Repository string `json:"repository"`
	}
	read := func() {
		t.Helper()
		app.Do(t, "GET", rows.mixed).Want(200).JSON(&mixed)
		if !strings.HasPrefix(mixed.Guard, "prn:beta.guardcontentguard:") || !strings.HasPrefix(mixed.Repository, "prn:beta.betarepository:") {
			t.Errorf("the distribution is shown with the guard %q and the repository %q", mixed.Guard, mixed.Repository)
		}
	}
	read()
	app.Do(t, "PUT", rows.mixed, pulptest.JSON(map[string]any{
		"name": "renamed", "base_path": "alpha", "repository": mixed.Repository, "content_guard": mixed.Guard,
	})).Want(400)
	app.Await(t, app.Do(t, "PATCH", rows.mixed, pulptest.JSON(map[string]any{"name": "renamed"})))
	if read(); mixed.Name != "renamed" {
		t.Errorf("after the change the name is %q", mixed.Name)
	}
	app.Do(t, "PATCH", rows.alphaRepository, pulptest.JSON(map[string]any{"remote": rows.remote})).Want(400)
	app.Do(t, "POST", rows.alphaRepository+"modify/", pulptest.JSON(map[string]any{
		"add_content_units": []string{rows.thing},
	})).Want(400)
	// A unit that this program knows, in a repository that it does not know.
	app.Do(t, "GET", rows.item).Want(200)
	app.Do(t, "GET", api+"repositories/?with_content="+rows.item).Want(200)
}

// wantWaiting dispatches a task that only one of the programs can execute.
func wantWaiting(t *testing.T, newer, without *pulptest.App) {
	ticket, err := betaWork.Dispatch(t.Context(), newer.Queue(), struct{}{}, nil)
	must := mustOf(t)
	must(err)
	must(without.RunPending(t.Context()))
	task, err := newer.Queue().Get(t.Context(), ticket.TaskID)
	must(err)
	if task.State != models.Waiting {
		t.Fatalf("after a worker without the plugin the task is %s %+v, want it to wait", task.State, task.Error)
	}
	without.Do(t, "GET", "/pulp/api/v3/tasks/"+ticket.TaskID.String()+"/").Want(200)
	must(newer.RunPending(t.Context()))
	if task, err = newer.Queue().Get(t.Context(), ticket.TaskID); err != nil || task.State != models.Completed {
		t.Errorf("after a worker with the plugin the task is %s, %v", task.State, err)
	}
}

// wantKept has the program without the plugin remove all that no row needs.
func wantKept(t *testing.T, newer, without *pulptest.App, rows *betaRows) {
	ctx, must := t.Context(), mustOf(t)
	later := models.Now().Add(time.Hour)
	_, err := models.StraySweep{DB: without.DB(), Store: without.Store(), Before: later}.Run(ctx)
	must(err)
	must(models.RemoveLeftovers(ctx, without.DB()))
	_, err = models.RemoveStray(ctx, without.DB(), without.Store(), []string{rows.artifact.Digests.Get(hashlib.SHA256)})
	must(err)
	res := without.Do(t, "DELETE", "/pulp/api/v3/artifacts/"+rows.artifact.ID.String()+"/")
	if res.Status < 400 || res.Status >= 500 {
		t.Errorf("DELETE of an artifact of the plugin = %d %s", res.Status, res.Body)
	}
	without.Await(t, without.Do(t, "DELETE", rows.alphaRepository))
	for _, href := range []string{rows.repository, rows.remote, rows.distribution, rows.guard, rows.thing, rows.version, rows.item} {
		newer.Do(t, "GET", href).Want(200)
	}
	if status, body := newer.Get(t, "/pulp/content/open/f"); status != http.StatusOK || body != "beta's file" {
		t.Errorf("the program with the plugin serves %d %q", status, body)
	}
}

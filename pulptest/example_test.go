package pulptest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// What stands in the function is what a test of a plugin looks like; testing.Benchmark only lends a testing.TB here.
func Example() {
	var state models.TaskState
	testing.Benchmark(func(t *testing.B) {
		app := pulptest.New(t, file.Plugin())
		upstream := pulptest.Serve(t, "PULP_MANIFEST", "")
		remote := &file.Remote{Remote: models.Remote{Name: "up", URL: upstream + "/PULP_MANIFEST"}}
		repo := &file.Repository{Repository: models.Repository{Name: "repo"}}
		_ = file.Remotes.Create(t.Context(), app.DB(), remote)
		_ = file.Repositories.Create(t.Context(), app.DB(), repo)

		task := pulptest.RunTask(t, app, file.Sync,
			file.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)})
		state = task.State
	})
	fmt.Println(state)
	// Output: completed
}

// A file is uploaded into a repository, by the superuser and by an account without privileges.
func ExampleApp_Do() {
	testing.Benchmark(func(t *testing.B) {
		app := pulptest.New(t, file.Plugin())
		repo := app.Do(t, "POST", "/pulp/api/v3/repositories/file/file/",
			pulptest.JSON(map[string]any{"name": "repo"})).Want(http.StatusCreated).Href()
		upload := []pulptest.RequestOption{
			pulptest.File("file", "a.txt", "abc"),
			pulptest.Field("relative_path", "a.txt"),
			pulptest.Field("repository", repo),
		}

		app.NewUser(t, "alice", "secret")
		refused := app.Do(t, "POST", "/pulp/api/v3/content/file/files/", append(upload, pulptest.As("alice", "secret"))...)
		accepted := app.Do(t, "POST", "/pulp/api/v3/content/file/files/", upload...)
		made := app.Await(t, accepted).Created
		if t.N == 1 {
			fmt.Println(refused.Status, accepted.Status, len(made))
		}
	})
	// Output: 403 202 2
}

// A test runs on each database.
func ExampleEach() {
	test := func(t *testing.T) {
		t.Parallel()
		pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
			t.Parallel()
			app.Do(t, "GET", "/pulp/api/v3/content/file/files/").Want(http.StatusOK)
		}, file.Plugin())
	}
	_ = test // go test calls it
}

// The upstream answers with an error once.
func ExampleNewUpstream() {
	testing.Benchmark(func(t *testing.B) {
		upstream := pulptest.NewUpstream(t, pulptest.Files(t, "a.txt", "abc"))
		upstream.Fail("a.txt", 1, http.StatusServiceUnavailable)
		for range 2 {
			res, err := http.Get(upstream.URL + "/a.txt")
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if t.N == 1 {
				fmt.Println(res.StatusCode, upstream.Count("a.txt"))
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
	// Output:
	// 503 1
	// 200 2
}

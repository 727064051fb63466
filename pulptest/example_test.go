package pulptest_test

import (
	"fmt"
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

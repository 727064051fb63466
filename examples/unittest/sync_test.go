package unittest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulptest"
)

const api = "/pulp/api/v3/"

// object is a body of a request.
type object map[string]any

func line(path, body string) string {
	sum := sha256.Sum256([]byte(body))
	return fmt.Sprintf("%s,%s,%d\n", path, hex.EncodeToString(sum[:]), len(body))
}

// setup makes a repository with a remote, as a client of the API does, and returns its href.
func setup(t *testing.T, app *pulptest.App, up *pulptest.Upstream) (repo string) {
	t.Helper()
	remote := app.Do(t, "POST", api+"remotes/file/file/", pulptest.JSON(object{
		"name": "up", "url": up.URL + "/PULP_MANIFEST", "policy": "on_demand", "max_retries": 0,
	})).Want(http.StatusCreated).Href()
	return app.Do(t, "POST", api+"repositories/file/file/", pulptest.JSON(object{
		"name": "repo", "remote": remote, "autopublish": true,
	})).Want(http.StatusCreated).Href()
}

func TestAFileIsFetchedOnceAndServed(t *testing.T) {
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		up := pulptest.NewUpstream(t, pulptest.Files(t, "PULP_MANIFEST", line("a b.txt", "abc"), "a b.txt", "abc"))
		repo := setup(t, app, up)

		app.Await(t, app.Do(t, "POST", repo+"sync/", pulptest.JSON(object{})))
		app.Await(t, app.Do(t, "POST", api+"distributions/file/file/", pulptest.JSON(object{
			"name": "d", "base_path": "d", "repository": repo,
		})))

		for range 2 {
			res := app.Do(t, "GET", "/pulp/content/d/a%20b.txt", pulptest.AsNobody).Want(http.StatusOK)
			if res.Body != "abc" {
				t.Errorf("GET = %q, want abc", res.Body)
			}
			app.Settle(t) // the client has the file before the store does
		}
		if n := up.Count("a b.txt"); n != 1 {
			t.Errorf("the upstream was asked %d times, want once", n)
		}
	}, file.Plugin())
}

func TestAnUpstreamThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	up := pulptest.NewUpstream(t, pulptest.Files(t, "PULP_MANIFEST", line("a.txt", "abc")))
	repo := setup(t, app, up)
	up.Fail("PULP_MANIFEST", 1, http.StatusNotFound)

	_, err := app.TryAwait(t, app.Do(t, "POST", repo+"sync/", pulptest.JSON(object{})))

	if err == nil || !strings.Contains(err.Error(), "answered 404 Not Found") {
		t.Errorf("sync = %v, want one about the status 404", err)
	}
	var row struct {
		Latest string `json:"latest_version_href"`
	}
	app.Do(t, "GET", repo).JSON(&row)
	if row.Latest != repo+"versions/0/" {
		t.Errorf("the latest version is %s, want version 0", row.Latest)
	}
}

func TestOthersMayNotSync(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	repo := app.Do(t, "POST", api+"repositories/file/file/", pulptest.JSON(object{"name": "repo"})).Href()
	app.NewUser(t, "alice", "secret")

	app.Do(t, "POST", repo+"sync/", pulptest.JSON(object{}), pulptest.As("alice", "secret")).Want(http.StatusForbidden)
	app.Do(t, "POST", repo+"sync/", pulptest.JSON(object{}), pulptest.AsNobody).Want(http.StatusUnauthorized)
}

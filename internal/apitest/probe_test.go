package apitest_test

import (
	"flag"
	"net/http"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/apitest"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
)

// More rounds, and other ones:
//
//	go test ./internal/apitest -run TestGeneratedRequests -requests 500 -seed 7
var (
	requests = flag.Int("requests", 8, "requests with one fault, and random ones, of each operation")
	seed     = flag.Uint64("seed", 1, "seed of the random requests")
)

// TestGeneratedRequests sends generated requests to every operation of an App with the file plugin and a plugin that
// has fields of every form.
func TestGeneratedRequests(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		const password = "a password that is long"
		app := pulptest.NewWith(t, []settings.Option{settings.Value("DATABASE_URL", url)}, file.Plugin(), kinds())
		must(t, app.SetAdminPassword(t.Context(), password))
		other := &accounts.User{Username: "other", IsActive: true}
		must(t, accounts.Create(t.Context(), app.DB(), other, password))
		apitest.Probe(t, apitest.Server{
			URL: app.URL(), DB: app.DB(), Queue: app.Queue(), Run: app.RunPending,
			Login: func(r *http.Request, superuser bool) {
				name := other.Username
				if superuser {
					name = pulpcore.AdminName
				}
				r.SetBasicAuth(name, password)
			},
		}, apitest.ProbeOptions{Seed: *seed, Requests: *requests, Foreign: foreign(t, app.DB())})
	})
}

// foreign makes rows in another domain and returns their hrefs.
func foreign(t *testing.T, db *models.DB) []string {
	t.Helper()
	ctx := t.Context()
	d := &models.Domain{Name: "other", Labels: models.Labels{}}
	d.ID, d.Created, d.Updated = models.NewID(), models.Now(), models.Now()
	_, err := db.Bun().NewInsert().Model(d).Exec(ctx)
	must(t, err)
	other, err := db.InDomain(ctx, d.Name)
	must(t, err)
	remote := &file.Remote{}
	remote.Name, remote.URL = "foreign", "http://x.example/"
	must(t, file.Remotes.Create(ctx, other, remote))
	repository := &file.Repository{}
	repository.Name = "foreign"
	must(t, file.Repositories.Create(ctx, other, repository))
	const base = "/pulp/api/v3/"
	return []string{
		base + "remotes/file/file/" + remote.ID.String() + "/", base + "repositories/file/file/" + repository.ID.String() + "/",
		base + "repositories/file/file/" + repository.ID.String() + "/versions/0/", models.PRNOf(remote),
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

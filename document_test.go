package pulpcore_test

import (
	"net/http"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/apitest"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
)

// TestDocumentAgreesWithAnswers makes requests of every operation that an App with the file plugin documents.
func TestDocumentAgreesWithAnswers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		const password = "a password that is long"
		app := pulptest.NewWith(t, []settings.Option{settings.Value("DATABASE_URL", url)}, file.Plugin())
		if err := app.SetAdminPassword(t.Context(), password); err != nil {
			t.Fatal(err)
		}
		other := &accounts.User{Username: "other", IsActive: true}
		if err := accounts.Create(t.Context(), app.DB(), other, password); err != nil {
			t.Fatal(err)
		}
		apitest.Walk(t, apitest.Server{
			URL: app.URL(), DB: app.DB(), Queue: app.Queue(), Run: app.RunPending,
			Login: func(r *http.Request, superuser bool) {
				name := other.Username
				if superuser {
					name = pulpcore.AdminName
				}
				r.SetBasicAuth(name, password)
			},
		})
	})
}

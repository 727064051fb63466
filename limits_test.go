package pulpcore_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
)

// withFile serves size bytes at /pulp/content/d/big.
func withFile(t *testing.T, app *pulptest.App, size int) {
	t.Helper()
	ctx, db := t.Context(), app.DB()
	a, err := models.NewArtifact(ctx, db, app.Store(), bytes.NewReader(make([]byte, size)), nil)
	noError(t, err)
	unit := &models.ContentWithFiles{
		Content: &file.Content{RelativePath: "big", Digest: a.Digests.SHA256},
		Files:   []models.ContentFile{{RelativePath: "big", ArtifactID: &a.ID}},
	}
	noError(t, models.SaveContents(ctx, db, []*models.ContentWithFiles{unit}))
	repo := &file.Repository{Repository: models.Repository{Name: "r"}}
	noError(t, file.Repositories.Create(ctx, db, repo))
	_, _, err = models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
		_, err := v.Add(ctx, []uuid.UUID{unit.Content.PulpID()})
		return err
	})
	noError(t, err)
	d := &file.Distribution{Distribution: models.Distribution{Name: "d", BasePath: "d", RepositoryID: &repo.ID}}
	noError(t, file.Distributions.Create(ctx, db, d))
}

// TestStalledClientsAreCutOff opens connections that do not move: to what App.Serve runs, and to the handlers in a
// server of a host that limits nothing.
func TestStalledClientsAreCutOff(t *testing.T) {
	t.Parallel()
	const clients = 200
	const header, empty = " HTTP/1.1\r\nHost: a\r\n", "Content-Length: 1000\r\n\r\n"
	form := "Content-Type: multipart/form-data; boundary=b\r\n" + empty +
		"--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\nhalf"
	short := []settings.Option{
		settings.Value("HTTP_HEADER_TIMEOUT", "200ms"), settings.Value("HTTP_BODY_TIMEOUT", "200ms"),
		settings.Value("HTTP_SEND_TIMEOUT", "200ms"), settings.Value("HTTP_IDLE_TIMEOUT", "200ms"),
		settings.Value("ALLOWED_HOSTS", []string{"a"}),
	}
	tests := []struct {
		name, sent string
		server     bool // the limit is up to the server
	}{
		{"nothing", "", true},
		{"half a header", "GET /pulp/api/v3/status/" + header, true},
		{"no more requests", "GET /livez/" + header + "\r\n", true},
		{"a POST without its body, by nobody", "POST /pulp/api/v3/artifacts/" + header + empty, false},
		{"a form without its end, by nobody", "POST /pulp/api/v3/artifacts/" + header + form, false},
		{"a GET of the status with a body", "GET /pulp/api/v3/status/" + header + empty, false},
		{"a GET of content with a body", "GET /pulp/content/" + header + empty, false},
		{"a GET of nothing with a body", "GET /nothing" + header + empty, false},
		{"a request for another host with a body", "GET /pulp/api/v3/status/ HTTP/1.1\r\nHost: b\r\n" + empty, false},
		{"a file that is not read", "GET /pulp/content/d/big" + header + "\r\n", false},
		{"answers that are not read", strings.Repeat("GET /pulp/api/v3/docs/api.json"+header+"\r\n", 20), false},
	}
	for store, urls := range map[string][]settings.Option{"in memory": nil, "in a folder": {settings.Value("STORAGE_URL", "")}} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			app := pulptest.NewWith(t, append(short, urls...), file.Plugin())
			withFile(t, app, 4<<20)
			for _, tt := range tests {
				if store == "in a folder" && !strings.Contains(tt.name, "file") {
					continue
				}
				nettest.Crowd(t, app.Limits().Server(app.Handler()), clients, tt.sent)
				if tt.server {
					continue
				}
				mux := http.NewServeMux()
				mux.Handle("/pulp/api/v3/", app.API())
				mux.Handle("/", app.Content())
				nettest.Crowd(t, &http.Server{Handler: mux, IdleTimeout: 1}, clients, tt.sent) //nolint:gosec // for a test
				if t.Failed() {
					t.Fatalf("clients that sent %s are not cut off", tt.name)
				}
			}
		})
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

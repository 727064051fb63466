package pulpcore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/settings"
)

// tokens is a host's own authentication: a token is the name of an account.
type tokens struct{}

func (tokens) Authenticate(r *http.Request) (*accounts.User, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Token ")
	if !ok {
		return nil, nil
	}
	return &accounts.User{ID: 7, Username: name, IsActive: true}, nil
}

// readers lets every account read.
type readers struct{}

func (readers) Authorize(_ context.Context, p *rest.Permission) error {
	if p.User.IsSuperuser || strings.HasSuffix(p.Operation, "_list") || strings.HasPrefix(p.Operation, "route ") {
		return nil
	}
	return pulperr.Public(pulperr.Forbidden, "%s may only read.", p.User.Username)
}

func (readers) Visible(context.Context, *rest.Permission) (*rest.Visible, error) { return nil, nil }

// notesPlugin has a route of each kind.
func notesPlugin() *pulpcore.Plugin {
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, what, r.PathValue("id")) })
	}
	return &pulpcore.Plugin{
		Name: "notes", Version: "1",
		API:     []rest.Route{{Pattern: "GET /notes/{id}/", Handler: says("note ")}},
		Content: []content.Route{{Pattern: "/raw/{id}", Handler: says("raw ")}},
	}
}

// TestRegister mounts an App in a mux of the host's, with accounts and permissions of the host's.
func TestRegister(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{Authenticator: tokens{}, Authorizer: readers{}},
		notesPlugin())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	if _, err := app.CreateAdmin(t.Context(), "a password of the admin"); err != nil {
		t.Fatal(err)
	}
	hello := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", hello)
	app.Register(mux)
	router := chi.NewRouter()
	router.HandleFunc("/hello", hello)
	router.NotFound(app.Handler().ServeHTTP)
	for name, h := range map[string]http.Handler{"ServeMux": mux, "chi": router} {
		for _, tt := range []struct {
			method, path, auth string
			status             int
			has                string
		}{
			{"GET", "/hello", "", 200, "hello"},
			{"GET", "/pulp/api/v3/tasks/", "Token ann", 200, `"count":0`},
			{"GET", "/pulp/api/v3/tasks/", "", 401, "credentials were not provided"},
			{"GET", "/pulp/api/v3/tasks/", "basic", 200, `"count":0`},
			{"POST", "/pulp/api/v3/tasks/purge/", "Token ann", 403, "Ann may only read"},
			{"GET", "/notes/5/", "Token ann", 200, "note 5"},
			{"GET", "/notes/5/", "", 401, ""},
			{"GET", "/raw/6", "", 200, "raw 6"},
			{"GET", "/pulp/content/none/", "", 404, ""},
		} {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "http://localhost"+tt.path, nil)
			switch tt.auth {
			case "":
			case "basic":
				r.SetBasicAuth(pulpcore.AdminName, "a password of the admin")
			default:
				r.Header.Set("Authorization", tt.auth)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body)
			if w.Code != tt.status || !strings.Contains(string(body), tt.has) {
				t.Errorf("%s: %s %s as %q = %d %s, want %d with %q", name, tt.method, tt.path, tt.auth, w.Code, body, tt.status, tt.has)
			}
		}
	}
}

// A route of the API and one of the content app with one pattern are a fault of the plugin that comes second.
func TestRoutesOfBothAppsClash(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	other := &pulpcore.Plugin{Name: "other", Version: "1", Content: []content.Route{
		{Pattern: "GET /notes/{x}/", Handler: http.NotFoundHandler()},
	}}
	_, err = pulpcore.Open(t.Context(), set, notesPlugin(), other)
	if !errors.Is(err, pulperr.Invalid) || !strings.Contains(err.Error(), `plugin "other": content route "GET /notes/{x}/": pattern`) {
		t.Errorf("Open() = %v, want the clash of the second plugin", err)
	}
}

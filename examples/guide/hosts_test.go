package guide_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
)

// serve runs the App and pages of the host's own on one address, with the workers in the same process.
func serve(ctx context.Context, app *pulpcore.App, addr string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a page of the host") })
	app.Register(mux)
	return pulpcore.RunAll(ctx,
		func(ctx context.Context) error { return app.Serve(ctx, addr, mux) },
		func(ctx context.Context) error { return app.Work(ctx, 0, "api", "content") }, // 0: as WORKERS says
	)
}

// session authenticates the users that a reverse proxy has logged in. It is asked before names and passwords are.
type session struct{ trusted func(r *http.Request) bool }

// Authenticate returns the account that the proxy names.
func (s session) Authenticate(r *http.Request) (*accounts.User, error) {
	name := r.Header.Get("X-Forwarded-User")
	if name == "" || !s.trusted(r) {
		return nil, nil // no credentials: the next authenticator is asked
	}
	return &accounts.User{Username: name, IsActive: true, IsSuperuser: name == "root"}, nil
}

// readers lets every account read, and superusers do the rest.
type readers struct{}

// Authorize decides about one operation.
func (readers) Authorize(_ context.Context, p *rest.Permission) error {
	reads := strings.HasSuffix(p.Operation, "_list") || strings.HasSuffix(p.Operation, "_read")
	if reads && p.HTTP.Method == http.MethodGet || p.User.IsSuperuser {
		return nil
	}
	return pulperr.Public(pulperr.Forbidden, "%s may read only.", p.User.Username)
}

// Visible narrows lists; nil shows all rows.
func (readers) Visible(context.Context, *rest.Permission) (*rest.Visible, error) { return nil, nil }

func Example_singleSignOn() {
	app := openWith(&pulpcore.Options{
		Authenticator: session{func(r *http.Request) bool { return r.RemoteAddr == "192.0.2.1:1234" }},
		Authorizer:    readers{},
	}, Plugin())
	defer app.close()
	for _, user := range []string{"", "ann", "root"} {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "http://localhost/pulp/api/v3/repositories/note/note/",
				strings.NewReader(`{"name": "list"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Forwarded-User", user)
			w := httptest.NewRecorder()
			app.Handler().ServeHTTP(w, r)
			fmt.Printf("%s %q: %d\n", method, user, w.Code)
		}
	}
	// Output:
	// GET "": 401
	// POST "": 401
	// GET "ann": 200
	// POST "ann": 403
	// GET "root": 200
	// POST "root": 201
}

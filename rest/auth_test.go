package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/rest"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		db := openDB(t, url)
		b := setupOn(t, db, &rest.Options{Auth: rest.BasicAuth(db, nil)})
		for _, u := range []*accounts.User{
			{Username: admin, IsActive: true, IsSuperuser: true}, {Username: "user", IsActive: true}, {Username: "off"},
		} {
			must(t, accounts.Create(t.Context(), b.db, u, password))
		}
		tests := []struct {
			name   string
			edit   func(*http.Request)
			status int
			body   string
		}{
			{
				"no credentials", func(r *http.Request) { r.Header.Del("Authorization") }, 401,
				`{"detail": "Authentication credentials were not provided."}`,
			},
			{
				"wrong password", func(r *http.Request) { r.SetBasicAuth(admin, "x") }, 401,
				`{"detail": "Invalid username/password."}`,
			},
			{
				"unknown user", func(r *http.Request) { r.SetBasicAuth("nobody", password) }, 401,
				`{"detail": "Invalid username/password."}`,
			},
			{
				"NUL in the name", func(r *http.Request) { r.SetBasicAuth("a\x00", password) }, 401,
				`{"detail": "Invalid username/password."}`,
			},
			{
				"switched off", func(r *http.Request) { r.SetBasicAuth("off", password) }, 401,
				`{"detail": "Invalid username/password."}`,
			},
			{
				"no administrator", func(r *http.Request) { r.SetBasicAuth("user", password) }, 403,
				`{"detail": "You do not have permission to perform this action."}`,
			},
			{
				"before the method", func(r *http.Request) { r.Header.Del("Authorization"); r.Method = "PUT" }, 401,
				`{"detail": "Authentication credentials were not provided."}`,
			},
			{"administrator", func(*http.Request) {}, 200, `{"count": 0, "next": null, "previous": null, "results": []}`},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				at := *b
				at.t = t
				a := at.do("GET", "tasks/", nil, tt.edit).want(tt.status)
				diff(t, a.body, tt.body)
				if challenge := a.header.Get("WWW-Authenticate"); (challenge == `Basic realm="api"`) != (tt.status == 401) {
					t.Errorf("WWW-Authenticate = %q with status %d", challenge, tt.status)
				}
			})
		}
		remote := b.create("remotes/file/file/", map[string]any{"name": "r", "url": "http://x.example/"})
		if got := b.task("PATCH", remote, map[string]any{"policy": "streamed"}).get("created_by"); got != "/pulp/api/v3/users/1/" {
			t.Errorf("created_by = %v", got)
		}
	})
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	says := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if u := rest.UserOf(r.Context()); u != nil {
			name = u.Username
		}
		fmt.Fprint(w, r.URL.Path, " for ", name)
	})
	db := openDB(t, dbtest.SQLite(t))
	b := setupOn(t, db, &rest.Options{Routes: []rest.Route{
		{Pattern: "/pulp_file/galaxy/", Handler: says},
		{Pattern: "/pulp/api/v3/file/ping/", Handler: says, Allow: rest.Anybody},
		{Pattern: "/panics", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })},
	}})
	for path, want := range map[string]string{
		"/pulp_file/galaxy/":        "/pulp_file/galaxy/ for admin",
		"/pulp_file/galaxy/a/b%2Fc": "/pulp_file/galaxy/a/b/c for admin",
		"/pulp/api/v3/file/ping/":   "/pulp/api/v3/file/ping/ for nobody",
	} {
		if got := string(b.do("PUT", path, nil).want(200).body); got != want {
			t.Errorf("PUT %s = %q, want %q", path, got, want)
		}
	}
	diff(t, b.do("GET", "/panics", nil).want(500).body, `{"detail": "Internal error."}`)
}

// A route is closed to all but superusers unless it says otherwise.
func TestAccessOfRoutes(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		says := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
		routes := []rest.Route{
			{Pattern: "/closed/", Handler: says},
			{Pattern: "/accounts/", Handler: says, Allow: rest.Accounts},
			{Pattern: "/open/", Handler: says, Allow: rest.Anybody},
		}
		for who, statuses := range map[string][3]int{
			"superuser": {200, 200, 200}, "account": {403, 200, 200}, "stranger": {401, 401, 200},
		} {
			b := setupOn(t, b.db, &rest.Options{Routes: routes, Auth: actor(who)})
			for i, route := range routes {
				b.do("POST", route.Pattern+"below", nil).want(statuses[i])
			}
		}
		_, err := rest.New(b.db, b.queue, b.store, &rest.Options{Routes: []rest.Route{{Pattern: "/x", Handler: says, Allow: 7}}})
		if err == nil || !strings.Contains(err.Error(), "access 7") {
			t.Errorf("New = %v, want a fault about the access", err)
		}
	})
}

// actor is an Authenticator that knows who asks.
type actor string

func (a actor) Authenticate(*http.Request) (*accounts.User, error) {
	switch a {
	case "superuser":
		return &accounts.User{Username: "root", IsActive: true, IsSuperuser: true}, nil
	case "account":
		return &accounts.User{Username: "one", IsActive: true}, nil
	}
	return nil, nil
}

// TestMounted makes sure that the API works within a host that routes with chi, which leaves its state in the context.
func TestMounted(t *testing.T) {
	t.Parallel()
	b := setup(t, dbtest.SQLite(t), nil)
	host := newChi(b.api)
	r := httptest.NewRequestWithContext(context.Background(), "GET", "/pulp/api/v3/tasks/", nil)
	w := httptest.NewRecorder()
	host.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("status below a chi router = %d: %s", w.Code, w.Body)
	}
}

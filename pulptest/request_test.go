package pulptest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/accounts"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/pulptest"
)

const (
	apiRoot      = "/pulp/api/v3/"
	repositories = apiRoot + "repositories/file/file/"
)

func TestBodiesOfRequests(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	for name, opts := range map[string][]pulptest.RequestOption{
		"json":       {pulptest.JSON(map[string]string{"name": "json"})},
		"urlencoded": {pulptest.Field("name", "urlencoded")},
		"reader":     {pulptest.Body("application/json", strings.NewReader(`{"name": "reader"}`))},
		"typed": {
			pulptest.Body("text/plain", strings.NewReader(`{"name": "typed"}`)),
			pulptest.Header("Content-Type", "application/json"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := app.Do(t, http.MethodPost, repositories, opts...).Want(http.StatusCreated)
			var repo struct{ Name string }
			res.JSON(&repo)
			if repo.Name != name || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("POST = %q, %v, want the name %q", res.Body, res.Header, name)
			}
			if again := app.Do(t, http.MethodGet, res.Href()).Want(http.StatusOK); again.Body != res.Body {
				t.Errorf("GET = %s, want %s", again.Body, res.Body)
			}
		})
	}
	res := app.Do(t, http.MethodPost, apiRoot+"artifacts/", pulptest.File("file", "a.txt", []byte("abc")),
		pulptest.Field("sha256", sumABC)).Want(http.StatusCreated)
	if !strings.Contains(res.Body, `"size":3`) {
		t.Errorf("POST of an artifact = %s", res.Body)
	}
}

func TestAccountsOfRequests(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	app.NewUser(t, "alice", "secret")
	status := func(want int, opts ...pulptest.RequestOption) {
		t.Helper()
		app.Do(t, http.MethodGet, repositories, opts...).Want(want)
	}
	status(http.StatusOK)
	status(http.StatusOK, pulptest.As("alice", "secret"), pulptest.AsAdmin)
	status(http.StatusForbidden, pulptest.As("alice", "secret"))
	status(http.StatusUnauthorized, pulptest.AsNobody)
	status(http.StatusUnauthorized, pulptest.As("alice", "wrong"))
	status(http.StatusUnauthorized, pulptest.As(pulpcore.AdminName, ""))
	status(http.StatusUnauthorized, pulptest.Header("Authorization", "Basic ="))

	// Passwords and states that a test sets by itself count.
	if created, err := app.CreateAdmin(t.Context(), "x"); created || err != nil {
		t.Errorf("CreateAdmin = %t, %v, want an account that is there", created, err)
	}
	must(t, app.SetAdminPassword(t.Context(), "own"))
	status(http.StatusOK, pulptest.As(pulpcore.AdminName, "own"))
	status(http.StatusOK)
	must(t, accounts.SetPassword(t.Context(), app.DB(), "alice", "new"))
	status(http.StatusUnauthorized, pulptest.As("alice", "secret"))
	status(http.StatusForbidden, pulptest.As("alice", "new"))
	user := app.NewUser(t, "bob", "secret")
	_, err := app.DB().Bun().NewUpdate().Model(user).Set("is_active = FALSE").WherePK().Exec(t.Context())
	must(t, err)
	status(http.StatusUnauthorized, pulptest.As("bob", "secret"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnAdminOfTheTestStays makes the superuser before the first request does.
func TestAnAdminOfTheTestStays(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t)
	if created, err := app.CreateAdmin(t.Context(), "own"); !created || err != nil {
		t.Fatalf("CreateAdmin = %t, %v, want a new account", created, err)
	}
	app.Do(t, http.MethodGet, apiRoot+"tasks/").Want(http.StatusOK)
	app.Do(t, http.MethodGet, apiRoot+"tasks/", pulptest.As(pulpcore.AdminName, "own")).Want(http.StatusOK)
}

func TestTargetsOfRequests(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	for _, tt := range []struct {
		path string
		host string
		want int
	}{
		{path: "/pulp/content/", want: http.StatusOK},
		{path: apiRoot + "status", want: http.StatusMovedPermanently},
		{path: "http://pulp.localhost/pulp/content/", want: http.StatusOK},
		{path: apiRoot + "status/?fields=versions", want: http.StatusOK},
		{path: apiRoot + "status/", host: "elsewhere.example", want: http.StatusBadRequest},
	} {
		var opts []pulptest.RequestOption
		if tt.host != "" {
			opts = append(opts, pulptest.Header("Host", tt.host))
		}
		if res := app.Do(t, http.MethodGet, tt.path, opts...); res.Status != tt.want {
			t.Errorf("GET %s at host %q = %d %s, want %d", tt.path, tt.host, res.Status, res.Body, tt.want)
		}
	}
	if status, _ := app.Get(t, apiRoot+"status"); status != http.StatusOK {
		t.Errorf("Get of a redirect = %d, want what it leads to", status)
	}
}

// TestWrongUseEndsTheTest has a recorder in place of the test that fails.
func TestWrongUseEndsTheTest(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, file.Plugin())
	for name, tt := range map[string]struct {
		use  func(t testing.TB)
		want string
	}{
		"another status": {
			func(t testing.TB) { app.Do(t, "GET", repositories).Want(404) },
			`GET /pulp/api/v3/repositories/file/file/ = 200, want 404: {"count":0`,
		},
		"no JSON": {
			func(t testing.TB) { app.Do(t, "GET", "/pulp/content/").JSON(new(int)) }, "GET /pulp/content/ = 200: decode <",
		},
		"no href":           {func(t testing.TB) { app.Do(t, "GET", repositories).Href() }, "= 200 without a pulp_href: {"},
		"not accepted":      {func(t testing.TB) { app.Await(t, app.Do(t, "GET", repositories)) }, "= 200, want 202"},
		"no path":           {func(t testing.TB) { app.Do(t, "GET", "pulp/") }, `"pulp/" neither begins with a slash`},
		"no JSON value":     {func(t testing.TB) { app.Do(t, "POST", "/", pulptest.JSON(func() {})) }, "unsupported type"},
		"two bodies":        {func(t testing.TB) { app.Do(t, "POST", "/", pulptest.JSON(1), pulptest.Field("a", "b")) }, "either"},
		"a name that is no": {func(t testing.TB) { app.NewUser(t, "a b", "") }, `NewUser("a b") = `},
		"half a pair":       {func(t testing.TB) { pulptest.Serve(t, "path") }, "files are pairs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := fatal(t, tt.use); !strings.Contains(got, tt.want) {
				t.Errorf("the test ends with %q, want %q", got, tt.want)
			}
		})
	}
}

// fatal returns the words with which fn ends a test.
func fatal(t *testing.T, fn func(t testing.TB)) (words string) {
	t.Helper()
	r := &stopper{recorder: recorder{TB: t}}
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		words = r.errors
	}()
	fn(r)
	return ""
}

// stopper is a recorder whose Fatal ends the function by a panic.
type stopper struct{ recorder }

func (s *stopper) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	panic(any(s))
}

func (s *stopper) Fatal(args ...any) { s.Fatalf("%v", args) }

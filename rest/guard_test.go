package rest_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/webserver"
)

func from(origin string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
}

// TestForgedRequests has a page of another site that makes the administrator's browser send requests.
func TestForgedRequests(t *testing.T) {
	each(t, func(t *testing.T, b *bundle) {
		repo := b.create("repositories/file/file/", map[string]any{"name": "theirs"})
		body, asForm := form(t, "name", "forged")
		for _, tt := range []struct {
			method, path string
			body         any
		}{
			{"POST", "repositories/file/file/", body},
			{"PATCH", repo, map[string]any{"description": "forged"}},
			{"PUT", repo, map[string]any{"name": "forged"}},
			{"DELETE", repo, nil},
			{"POST", "tasks/purge/", map[string]any{"finished_before": "2100-01-01T00:00:00Z", "states": []string{"completed"}}},
			{"POST", repo + "set_label/", map[string]any{"key": "a", "value": "b"}},
			{"POST", "nowhere/", nil},
		} {
			edit := from("https://evil.example")
			if tt.body == body {
				edit = func(r *http.Request) { from("https://evil.example")(r); asForm(r) }
			}
			got := b.do(tt.method, tt.path, tt.body, edit).want(http.StatusForbidden)
			diff(t, got.body, `{"detail": "The origin \"https://evil.example\" is not trusted. If it is yours, add it to CSRF_TRUSTED_ORIGINS."}`)
		}
		if n := b.do("GET", "repositories/file/file/", nil, from("https://evil.example")).want(200).get("count"); n != 1.0 {
			t.Errorf("there are %v repositories, want the one", n)
		}
		if got := b.do("GET", repo, nil).want(200).get("description"); got != nil {
			t.Errorf("description = %v", got)
		}
		if n := b.do("GET", "tasks/", nil).want(200).get("count"); n != 0.0 {
			t.Errorf("there are %v tasks, want none", n)
		}
	})
}

func TestForgedRequestsForRoutes(t *testing.T) {
	t.Parallel()
	origins, err := webserver.TrustOrigins("https://console.example")
	must(t, err)
	calls := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "changed") })
	b := setupOn(t, openDB(t, dbtest.SQLite(t)), &rest.Options{Origins: origins, Routes: []rest.Route{
		{Pattern: "/galaxy/", Handler: calls}, {Pattern: "/open/", Handler: calls, Allow: rest.Anybody},
	}})
	for _, path := range []string{"/galaxy/x", "/open/x"} {
		b.do("POST", path, nil, from("https://evil.example")).want(403)
		b.do("POST", path, nil, from("https://console.example")).want(200)
		b.do("GET", path, nil, from("https://evil.example")).want(200)
		b.do("POST", path, nil).want(200)
	}
}

func TestTheOriginOfContentHasNoAPI(t *testing.T) {
	t.Parallel()
	db := openDB(t, dbtest.SQLite(t))
	at := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	b := setupOn(t, db, &rest.Options{ContentHasOwnOrigin: true}) // which is http://content.example
	b.do("GET", "status/", nil, at("content.example")).want(403)
	b.do("GET", "status/", nil, at("pulp.example")).want(200)
	setupOn(t, db, nil).do("GET", "status/", nil, at("content.example")).want(200)
}

// TestHeadersOfAnswers has all that can be answered, as a browser would show it.
func TestHeadersOfAnswers(t *testing.T) {
	t.Parallel()
	const nothing = "default-src 'none'; frame-ancestors 'none'"
	b := setupOn(t, openDB(t, dbtest.SQLite(t)), &rest.Options{Routes: []rest.Route{
		{Pattern: "/page", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			w.Header().Del("X-Content-Type-Options")
			_, _ = io.WriteString(w, "<html>")
		})},
		{Pattern: "/panics", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no") })},
	}})
	for path, want := range map[string]string{
		"status/": nothing, "docs/api.json": nothing, "tasks/": nothing, "nowhere/": nothing, "/": nothing, "/<script>": nothing,
		"tasks": nothing, "/panics": nothing, "/page": "default-src 'self'",
	} {
		got := b.do("GET", path, nil)
		if csp := got.header["Content-Security-Policy"]; len(csp) != 1 || csp[0] != want {
			t.Errorf("GET %s = %d, Content-Security-Policy = %q, want %q", path, got.status, csp, want)
		}
		if h := got.header.Get("X-Content-Type-Options"); h != "nosniff" {
			t.Errorf("GET %s: X-Content-Type-Options = %q", path, h)
		}
	}
}

// toChannel is a log of one record.
type toChannel chan string

func (c toChannel) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// TestPanicsWithinAStream must not add an answer to what was sent already.
func TestPanicsWithinAStream(t *testing.T) {
	t.Parallel()
	logged := make(chan string, 1)
	b := setupOn(t, openDB(t, dbtest.SQLite(t)), &rest.Options{
		Log: slog.New(slog.NewTextHandler(toChannel(logged), nil)),
		Routes: []rest.Route{{Pattern: "/events", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			panic("boom")
		})}},
	})
	s := follow(t, serveAPI(t, b)+"/events")
	got, err := io.ReadAll(s.res.Body)
	if err == nil || string(got) != "data: 1\n\n" {
		t.Errorf("stream = %q, %v, want a cut after the first event", got, err)
	}
	if text := <-logged; !strings.Contains(text, "boom") {
		t.Errorf("log = %s", text)
	}
}

// TestDeafStreamsEnd has clients of the stream of events that read nothing.
func TestDeafStreamsEnd(t *testing.T) {
	t.Parallel()
	const clients = 200
	b := setup(t, dbtest.SQLite(t), &rest.Options{
		EventStreams: clients, KeepAlive: 5 * time.Millisecond, Limits: &webserver.Limits{SendTimeout: 200 * time.Millisecond},
	})
	took := nettest.Crowd(t, &http.Server{Handler: b.api}, clients, "GET /pulp/api/v3/tasks/events/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
	t.Logf("%d streams ended within %s", clients, took)
}

// TestRoutePatterns asks routes with methods and wildcards: the more specific one answers, of plugins and of the API.
func TestRoutePatterns(t *testing.T) {
	t.Parallel()
	says := func(who string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, who, " ", r.PathValue("name")) })
	}
	b := setupOn(t, openDB(t, dbtest.SQLite(t)), &rest.Options{Routes: []rest.Route{
		{Pattern: "/pypi/", Handler: says("all")},
		{Pattern: "POST /pypi/{name}/{$}", Summary: "Upload a package", Mount: func(a *rest.API) http.Handler {
			if a.DB() == nil || a.Queue() == nil || a.Store() == nil {
				t.Error("Mount is called before the API is complete")
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.WriteError(w, r, pulperr.Public(pulperr.Conflict, "%s is there.", r.PathValue("name")))
			})
		}},
		{Pattern: "/pulp/api/v3/tasks/{name}/notes/", Handler: says("notes"), Allow: rest.Anybody},
	}})
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/pypi/a/", 200, "all "},
		{"POST", "/pypi/a/", 409, `{"detail": "A is there."}`},
		{"POST", "/pypi/a/b/", 200, "all "},
		{"GET", "/pulp/api/v3/tasks/7/notes/x", 200, "notes 7"},
	} {
		a := b.do(tt.method, tt.path, nil).want(tt.status)
		if tt.status == 409 {
			diff(t, a.body, tt.body)
		} else if string(a.body) != tt.body {
			t.Errorf("%s %s = %q, want %q", tt.method, tt.path, a.body, tt.body)
		}
	}
	b.do("GET", "/pulp/api/v3/tasks/", nil).want(200)
	b.do("GET", "/pypi//a/", nil).want(404) // not redirected
	doc := string(b.do("GET", "docs/api.json", nil).want(200).body)
	if !strings.Contains(doc, `"/pypi/{name}/"`) || !strings.Contains(doc, "Upload a package") || strings.Contains(doc, "notes") {
		t.Error("the document has not the routes with a summary, and those alone")
	}
}

package content_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/internal/nettest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/webserver"
)

// careless is a route of a plugin that removes all headers.
func careless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Del("X-Content-Type-Options")
	w.Header().Del("Content-Security-Policy")
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<script>alert(1)</script>")
}

// strict is a route of a plugin with a policy of its own.
func strict(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'self'")
	_, _ = io.WriteString(w, "a page")
}

// TestPolicies asks for everything that is served whether a browser may run it.
func TestPolicies(t *testing.T) {
	const (
		sandbox = "sandbox allow-downloads"
		own     = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	)
	upstream := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "upstream") })
	o := &siteOptions{Options: content.Options{OwnOrigin: "http://content.example", Routes: []content.Route{
		{Pattern: "/careless/", Handler: http.HandlerFunc(careless)},
		{Pattern: "/strict", Handler: http.HandlerFunc(strict)},
		{Pattern: "/broken", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })},
	}}}
	each(t, o, func(t *testing.T, s *site) {
		repo := s.tree("a.html", "<script>", "dir/b.svg", "<svg/>", "site/index.html", "<i>")
		s.distribute("d", repo)
		s.absent(models.OnDemand, upstream.URL, promise("upstream"))
		handled := &Own{Greeting: "<script>"}
		handled.Name, handled.BasePath, handled.RepositoryID = "own", "own", &repo.ID
		s.must(owns.Create(t.Context(), s.db, handled))
		for _, tt := range []struct {
			name, method, path string
			header             []string
			status             int
			want               []string
		}{
			{"a file", "GET", "/pulp/content/d/a.html", nil, 200, []string{sandbox}},
			{"a head", "HEAD", "/pulp/content/d/a.html", nil, 200, []string{sandbox}},
			{"a range", "GET", "/pulp/content/d/a.html", []string{"Range", "bytes=1-2"}, 206, []string{sandbox}},
			{"some ranges", "GET", "/pulp/content/d/a.html", []string{"Range", "bytes=1-2,4-5"}, 206, []string{sandbox}},
			{"no range", "GET", "/pulp/content/d/a.html", []string{"Range", "bytes=99-"}, 416, []string{sandbox}},
			{
				"a file that the client has", "GET", "/pulp/content/d/a.html",
				[]string{"If-None-Match", `"` + sum("<script>") + `"`},
				304,
				[]string{sandbox},
			},
			{"a file at a remote", "GET", "/pulp/content/x/f", nil, 200, []string{sandbox}},
			{"an index", "GET", "/pulp/content/d/site/", nil, 200, []string{sandbox}},
			{"a listing", "GET", "/pulp/content/d/", nil, 200, []string{own, sandbox}},
			{"the distributions", "GET", "/pulp/content/", nil, 200, []string{own, sandbox}},
			{"a redirect", "GET", "/pulp/content/d/dir", nil, 301, []string{own, sandbox}},
			{"a missing file", "GET", "/pulp/content/d/zz", nil, 404, []string{own, sandbox}},
			{"another path", "GET", "/zz", nil, 404, []string{own, sandbox}},
			{"a wrong method", "POST", "/pulp/content/d/a.html", nil, 405, []string{own, sandbox}},
			{"a handler of a plugin", "GET", "/pulp/content/own/hello", nil, 200, []string{sandbox}},
			{"a file of a plugin's handler", "GET", "/pulp/content/own/a.html", nil, 200, []string{sandbox}},
			{"a route that removes headers", "GET", "/careless/", nil, 200, []string{sandbox}},
			{"a redirect to a route", "GET", "/careless", nil, 307, []string{sandbox}},
			{"a stricter route", "GET", "/strict", nil, 200, []string{"default-src 'self'", sandbox}},
			{"a route that panics", "GET", "/broken", nil, 500, []string{own, sandbox}},
			{"content's own origin", "GET", "/pulp/content/d/a.html", []string{"Host", "content.example"}, 200, nil},
			{"a listing there", "GET", "/pulp/content/d/", []string{"Host", "content.example"}, 200, []string{own}},
		} {
			got := s.do(tt.method, tt.path, tt.header...)
			if diff := cmp.Diff(tt.want, got.Header["Content-Security-Policy"]); got.StatusCode != tt.status || diff != "" {
				t.Errorf("%s: %s, want %d; policies (-want +got):\n%s", tt.name, got.Status, tt.status, diff)
			}
			if got := got.Header["X-Content-Type-Options"]; len(got) != 1 || got[0] != "nosniff" {
				t.Errorf("%s: X-Content-Type-Options = %q", tt.name, got)
			}
		}
	})
}

func TestRoutesRefuseOtherOrigins(t *testing.T) {
	t.Parallel()
	var changed atomic.Int32
	origins, err := webserver.TrustOrigins("https://console.example")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{Origins: origins, Routes: []content.Route{{
		Pattern: "/upload", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { changed.Add(1) }),
	}}}})
	for origin, want := range map[string]int{"": 200, "https://console.example": 200, "https://evil.example": 403, "null": 403} {
		header := []string{}
		if origin != "" {
			header = []string{"Origin", origin, "Sec-Fetch-Site", "cross-site"}
		}
		before := changed.Load()
		got := s.do("POST", "/upload", header...)
		if got.StatusCode != want || (changed.Load() > before) != (want == 200) {
			t.Errorf("origin %q: %s %s, changed %t, want %d", origin, got.Status, got.body, changed.Load() > before, want)
		}
		if want == 403 && got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("refusal = %v %s", got.Header, got.body)
		}
	}
}

// record is a log that several goroutines write and read.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Reset()
}

func TestPanicsOfPlugins(t *testing.T) {
	t.Parallel()
	var log record
	s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Routes: []content.Route{
			{Pattern: "/before", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })},
			{Pattern: "/within", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, strings.NewReader("half of"))
				panic("boom")
			})},
		},
	}})
	g := &Guard{Token: "sesame"}
	g.Name = uniqueName()
	s.must(guards.Create(t.Context(), s.db, g))
	d := s.distribute("d", s.tree("a", "A"))
	d.ContentGuardID = &g.ID
	s.must(distributions.Update(t.Context(), s.db, d, "content_guard_id"))
	for _, path := range []string{"/before", "/pulp/content/d/a"} {
		log.Reset()
		got := s.get(path, "Token", "panic")
		if got.StatusCode != 500 || got.body != "500: Internal Server Error" || !strings.Contains(log.String(), "boom") {
			t.Errorf("GET %s = %d %q, log %s", path, got.StatusCode, got.body, log.String())
		}
	}
	log.Reset()
	if got, err := s.try("GET", "/within"); err == nil && got.err == nil || !strings.Contains(log.String(), "boom") {
		t.Errorf("GET = %+v %v, want a connection that is cut; log %s", got, err, log.String())
	}
}

// TestFilesOfForms: a plugin's route parses a form and leaves its temporary files; the content app removes them.
func TestFilesOfForms(t *testing.T) { //nolint:paralleltest // Uploads sets the environment
	uploads := nettest.NewUploads(t)
	s := newSite(t, sqlite(t), &siteOptions{Options: content.Options{Routes: []content.Route{
		{Pattern: "/upload", Handler: uploads},
		{Pattern: "/panics", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			uploads.ServeHTTP(w, r)
			panic("boom")
		})},
	}}})
	uploads.Check(s.app, "/upload", 200)
	uploads.Check(s.app, "/panics", 500)
}

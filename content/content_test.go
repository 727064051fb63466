package content_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
)

func TestPaths(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		repo := s.tree("a.txt", "A", "dir/b.txt", "B", "dir/sub/c.txt", "C", "two words/ü?%41.txt", "U",
			"site/index.html", "<i>")
		s.distribute("ca/one", repo)
		s.distribute("ca/two", nil)
		s.distribute("cab", repo)
		hidden := s.distribute("secret/place", repo)
		hidden.Hidden = true
		s.must(distributions.Update(t.Context(), s.db, hidden, "hidden"))
		const nothing = "404: Distribution is not pointing to a publication, repository, repository version, or remote."
		tests := []struct {
			name, path string
			status     int
			want       string // the body, or where a redirect leads; empty is not compared
		}{
			{"a file", "/pulp/content/ca/one/a.txt", 200, "A"},
			{"a file in a folder", "/pulp/content/ca/one/dir/sub/c.txt", 200, "C"},
			{"another distribution with a common prefix", "/pulp/content/cab/a.txt", 200, "A"},
			{"a hidden distribution", "/pulp/content/secret/place/a.txt", 200, "A"},
			{"spaces, letters and percent signs, decoded once", "/pulp/content/cab/two%20words/%C3%BC%3F%2541.txt", 200, "U"},
			{"an encoded slash", "/pulp/content/cab/dir%2Fb.txt", 200, "B"},
			{"an index", "/pulp/content/cab/site/", 200, "<i>"},
			{"an index without its slash", "/pulp/content/cab/site", 301, "/pulp/content/cab/site/"},
			{"a file with a slash", "/pulp/content/ca/one/a.txt/", 404, "404: Not Found"},
			{"a missing file", "/pulp/content/ca/one/z.txt", 404, "404: Not Found"},
			{"the beginning of a name", "/pulp/content/ca/one/di", 404, ""},
			{"a folder without its slash", "/pulp/content/ca/one/dir", 301, "/pulp/content/ca/one/dir/"},
			{"a folder without its slash, with a query", "/pulp/content/cab/dir?limit=1", 301, "/pulp/content/cab/dir/?limit=1"},
			{"an odd folder without its slash", "/pulp/content/cab/two%20words", 301, "/pulp/content/cab/two%20words/"},
			{"a base path without its slash", "/pulp/content/ca/one", 301, "/pulp/content/ca/one/"},
			{"the parent of base paths without its slash", "/pulp/content/ca", 301, "/pulp/content/ca/"},
			{"the beginning of a base path", "/pulp/content/c", 404, "404: Not Found"},
			{"the beginning of a base path as a folder", "/pulp/content/c/", 404, "404: Not Found"},
			{"the parent of hidden base paths", "/pulp/content/secret/", 404, ""},
			{"the parent of hidden base paths without its slash", "/pulp/content/secret", 404, ""},
			{"nothing to serve", "/pulp/content/ca/two/", 404, nothing},
			{"dots", "/pulp/content/ca/one/../one/a.txt", 404, "404: Not Found"},
			{"encoded dots", "/pulp/content/ca/one/%2e%2e/one/a.txt", 404, ""},
			{"dots behind an encoded slash", "/pulp/content/ca/one/dir%2F..%2Fa.txt", 404, ""},
			{"one dot", "/pulp/content/ca/one/./a.txt", 404, ""},
			{"two slashes behind the base path", "/pulp/content/ca/one//a.txt", 200, "A"},
			{"three slashes behind the base path", "/pulp/content/ca/one///dir/sub/c.txt", 200, "C"},
			{"two slashes at the end", "/pulp/content/cab//site/", 200, "<i>"},
			{"nothing but two slashes behind the base path", "/pulp/content/ca/one//", 200, ""},
			{"two slashes and a folder without its slash", "/pulp/content/cab//site", 301, "/pulp/content/cab//site/"},
			{"two slashes and a missing file", "/pulp/content/cab//z.txt", 404, ""},
			{"two slashes within a base path", "/pulp/content/ca//one/a.txt", 404, ""},
			{"two slashes behind the parent of base paths", "/pulp/content/ca//", 404, ""},
			{"two slashes in a folder", "/pulp/content/ca/one/dir//b.txt", 404, ""},
			{"two slashes twice", "/pulp/content/ca/one//dir//b.txt", 404, ""},
			{"two slashes and dots", "/pulp/content/ca/one//../one/a.txt", 404, ""},
			{"two slashes at the start", "/pulp/content//ca/one/a.txt", 404, ""},
			{"NUL", "/pulp/content/ca/one/a%00.txt", 404, "404: Not Found"},
			{"no UTF-8", "/pulp/content/ca/one/%ff", 404, ""},
			{"a very long path", "/pulp/content/" + strings.Repeat("a/", 1500) + "b", 404, ""},
			{"a deep path", "/pulp/content/ca/one/" + strings.Repeat("a/", 900) + "b", 404, ""},
			{"the prefix without its slash", "/pulp/content", 404, "404: Not Found"},
			{"another path", "/pulp/api/", 404, "404: Not Found"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := s.get(tt.path)
				if got.StatusCode != tt.status {
					t.Errorf("GET %s = %d %q, want %d", tt.path, got.StatusCode, got.body, tt.status)
				}
				text := got.body
				if tt.status == 301 {
					text = got.Header.Get("Location")
				}
				if tt.want != "" && text != tt.want {
					t.Errorf("GET %s = %q, want %q", tt.path, text, tt.want)
				}
				if head := s.do(http.MethodHead, tt.path); head.StatusCode != tt.status || head.body != "" {
					t.Errorf("HEAD %s = %d %q, want %d", tt.path, head.StatusCode, head.body, tt.status)
				}
			})
		}
	})
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	got := s.do(http.MethodPost, "/pulp/content/")
	if got.StatusCode != 405 || got.Header.Get("Allow") != "GET,HEAD" || got.body != "405: Method Not Allowed" {
		t.Errorf("POST = %d, Allow %q, %q", got.StatusCode, got.Header.Get("Allow"), got.body)
	}
}

func TestStoredFile(t *testing.T) {
	for _, store := range []string{"mem://", "folder"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			o := &siteOptions{store: store}
			if store == "folder" {
				o.store = t.TempDir()
			}
			s := newSite(t, sqlite(t), o)
			s.distribute("x", s.tree("f.tar.gz", "0123456789"))
			for _, method := range []string{"GET", "HEAD"} {
				got := s.do(method, "/pulp/content/x/f.tar.gz")
				modified := got.Header.Get("Last-Modified")
				if _, err := http.ParseTime(modified); err != nil {
					t.Errorf("%s Last-Modified = %q: %v", method, modified, err)
				}
				want := map[string]string{
					"Content-Type": "application/gzip", "Content-Length": "10", "Accept-Ranges": "bytes",
					"Etag": `"` + sum("0123456789") + `"`, "X-PULP-ARTIFACT-SIZE": "10", "Content-Encoding": "",
				}
				for name, v := range want {
					if h := got.Header.Get(name); h != v {
						t.Errorf("%s %s = %q, want %q", method, name, h, v)
					}
				}
				if body := map[string]string{"GET": "0123456789"}[method]; got.body != body {
					t.Errorf("%s = %q, want %q", method, got.body, body)
				}
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	want := map[string]string{
		"f.xml": "text/xml", "f.XML": "text/xml", "f.zst": "application/zstd", "f.zstd": "application/zstd",
		"f.txt": "text/plain", "f.html": "text/html", "f.json": "application/json", "f.xml.gz": "application/gzip",
		"f.unheard": "application/octet-stream", "f": "application/octet-stream",
	}
	var tree []string
	for name := range want {
		tree = append(tree, name, "F")
	}
	s.distribute("x", s.tree(tree...))
	for name, kind := range want {
		if got := s.get("/pulp/content/x/" + name).Header.Get("Content-Type"); got != kind {
			t.Errorf("Content-Type of %s = %q, want %q", name, got, kind)
		}
	}
}

func TestSources(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		repo := s.tree("f", "version 1")
		v1, err := models.LatestVersion(t.Context(), s.db, repo.ID)
		s.must(err)
		d := s.distribute("x", repo)
		strict := &Strict{}
		strict.Name, strict.BasePath, strict.RepositoryID = "strict", "strict", &repo.ID
		s.must(stricts.Create(t.Context(), s.db, strict))

		expect := func(step, path string, status int, want string) {
			t.Helper()
			if got := s.get(path); got.StatusCode != status || want != "" && got.body != want {
				t.Errorf("%s: GET %s = %d %q, want %d %q", step, path, got.StatusCode, got.body, status, want)
			}
		}
		expect("latest version", "/pulp/content/x/f", 200, "version 1")
		expect("without a publication", "/pulp/content/strict/f", 404, "")

		p1 := s.publish(v1, false, "meta", "publication 1")
		expect("published file", "/pulp/content/x/meta", 200, "publication 1")
		expect("published file", "/pulp/content/strict/meta", 200, "publication 1")
		expect("file that is not published", "/pulp/content/x/f", 404, "")

		u, _ := s.unit("g", new("version 2"))
		v2 := s.version(repo, u)
		expect("newer version without publication", "/pulp/content/x/g", 404, "")
		s.overlay(v2, "meta", "publication 2", "f", "in place of version 1")
		expect("publication of the newest version", "/pulp/content/x/meta", 200, "publication 2")
		expect("passed through", "/pulp/content/x/g", 200, "version 2")
		expect("published goes before passed through", "/pulp/content/x/f", 200, "in place of version 1")

		d.RepositoryID, d.PublicationID = nil, &p1.ID
		s.must(distributions.Update(t.Context(), s.db, d, "repository_id", "publication_id"))
		expect("explicit publication", "/pulp/content/x/meta", 200, "publication 1")
		expect("explicit publication", "/pulp/content/x/g", 404, "")

		d.PublicationID, d.RepositoryVersionID = nil, &v1.ID
		s.must(distributions.Update(t.Context(), s.db, d, "publication_id", "repository_version_id"))
		expect("explicit version with a publication", "/pulp/content/x/meta", 200, "publication 1")
		s.must(models.DeletePublication(t.Context(), s.db, p1))
		expect("explicit version", "/pulp/content/x/f", 200, "version 1")
		expect("explicit version", "/pulp/content/x/g", 404, "")
	})
}

func TestHooks(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		repo := s.repo()
		u, file := s.unit("a.txt", new("A"))
		s.version(repo, u)
		d := &Own{Greeting: "good day"}
		d.Name, d.BasePath, d.RepositoryID = "own", "own", &repo.ID
		s.must(owns.Create(t.Context(), s.db, d))

		if got := s.get("/pulp/content/own/hello"); got.body != "good day" {
			t.Errorf("content handler: %d %q", got.StatusCode, got.body)
		}
		got := s.get("/pulp/content/own/by-id/" + file.String())
		if got.body != "A" || got.Header.Get("Content-Type") != "text/x-own" {
			t.Errorf("file of a content handler: %d %q %q", got.StatusCode, got.body, got.Header.Get("Content-Type"))
		}
		if got := s.get("/pulp/content/own/by-id/x"); got.StatusCode != 404 || got.body != "404: There is no file x." {
			t.Errorf("refusal of a content handler: %d %q", got.StatusCode, got.body)
		}
		if got := s.get("/pulp/content/own/by-id/" + models.NewID().String()); got.StatusCode != 404 {
			t.Errorf("unknown content artifact: %d %q", got.StatusCode, got.body)
		}
		got = s.get("/pulp/content/own/a.txt")
		if got.body != "A" || got.Header.Get("Content-Type") != "text/x-a.txt" || got.Header.Get("X-Own") != "yes" {
			t.Errorf("headers: %q %v", got.body, got.Header)
		}
		for kind, want := range map[pulperr.Kind]int{
			pulperr.Internal: 500, pulperr.Invalid: 400, pulperr.NotFound: 404, pulperr.Exists: 500, pulperr.Conflict: 500,
			pulperr.Locked: 503, pulperr.Unauthorized: 401, pulperr.Forbidden: 403, pulperr.Unsupported: 500,
			pulperr.TooLarge: 413, pulperr.Unavailable: 503, pulperr.Canceled: 503, pulperr.TooMany: 429,
		} {
			if got := s.get(fmt.Sprint("/pulp/content/own/fails/", uint8(kind))); got.StatusCode != want {
				t.Errorf("error of kind %q: %d, want %d", kind, got.StatusCode, want)
			}
		}
		names := links(s.get("/pulp/content/own/").body)
		if diff := cmp.Diff([]string{"../", "a.txt", "by-id/", "hello"}, names); diff != "" {
			t.Errorf("listing (-want +got):\n%s", diff)
		}
	})
}

func TestStatements(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		repo := s.tree("f", "F")
		s.distribute("v", repo)
		published := s.tree("g", "G")
		pv, err := models.LatestVersion(t.Context(), s.db, published.ID)
		s.must(err)
		s.publish(pv, true, "meta", "M")
		s.distribute("p", published)
		for _, tt := range []struct {
			path string
			max  int64
		}{
			{"/pulp/content/v/f", 3},
			{"/pulp/content/p/g", 3},
			{"/pulp/content/p/meta", 3},
			{"/pulp/content/v/", 6},
			{"/pulp/content/v", 1},
			{"/pulp/content/", 1},
		} {
			before := s.statements.n.Load()
			if got := s.get(tt.path); got.StatusCode >= 400 {
				t.Fatalf("GET %s = %d", tt.path, got.StatusCode)
			}
			if n := s.statements.n.Load() - before; n > tt.max {
				t.Errorf("GET %s takes %d statements, want at most %d", tt.path, n, tt.max)
			}
		}
	})
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqlite(t), nil)
	ok := http.NotFoundHandler()
	_, err := content.New(s.db, s.store, nil, &content.Options{
		Prefix: "pulp", PageSize: -1,
		ContentTypes: map[string]string{"gz": "x"},
	})
	if pulperr.KindOf(err) != pulperr.Invalid {
		t.Fatalf("New = %v, want Invalid", err)
	}
	for _, part := range []string{`prefix "pulp"`, "page size is -1", `content type of "gz"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("New = %v, want %q in it", err, part)
		}
	}
	tests := []struct {
		name   string
		routes []content.Route
		want   string // in the error; empty is none
	}{
		{"beside", []content.Route{{Pattern: "/pulp/container/", Handler: ok}}, ""},
		{"below", []content.Route{{Pattern: "GET /pulp/content/x/{y}", Handler: ok}}, ""},
		{"twice", []content.Route{{Pattern: "/a", Handler: ok}, {Pattern: "/a", Handler: ok}}, "conflicts"},
		{"in place of the app", []content.Route{{Pattern: "/pulp/content/", Handler: ok}}, "conflicts"},
		{"in its place for GET", []content.Route{{Pattern: "GET /pulp/content/{p...}", Handler: ok}}, "hides the content app"},
		{"across the app", []content.Route{{Pattern: "/pulp/{x}/y", Handler: ok}}, "conflicts"},
		{"no pattern", []content.Route{{Pattern: "{", Handler: ok}}, "route"},
		{"no handler", []content.Route{{Pattern: "/a"}}, "either a Handler or a Mount"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := content.New(s.db, s.store, nil, &content.Options{Routes: tt.routes})
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("New = %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("New = %v, want %q in it", err, tt.want)
			}
		})
	}
}

// The types of a plugin whose hooks are wrong.
type (
	noGuard    struct{ models.ContentGuard }
	wrongGuard struct{ models.ContentGuard }
	wrongHooks struct{ models.Distribution }
)

func (*wrongGuard) Permit(*http.Request) error                     { return nil }
func (*wrongHooks) ContentHandler(string) (http.Handler, error)    { return nil, nil }
func (*wrongHooks) ListDirectory(context.Context, string) []string { return nil }
func (*wrongHooks) ContentHeaders(context.Context) http.Header     { return nil }
func (*wrongHooks) NeedsPublication(context.Context) (bool, error) { return true, nil }

func TestCheckReportsAllFaultsByPlugin(t *testing.T) {
	t.Parallel()
	registry, faults := models.Check(models.PluginModels{Plugin: "odd", Types: []models.AnyType{
		models.Define[noGuard]("odd.none"), models.Define[wrongGuard]("odd.wrong"), models.Define[wrongHooks]("odd.hooks"),
		models.Define[Puller]("odd.puller"), nil,
	}}, models.PluginModels{Plugin: "test", Types: []models.AnyType{owns, stricts, guards}})
	if len(faults) != 1 {
		t.Fatalf("models.Check = %v, want the nil type", faults)
	}
	ok := http.NotFoundHandler()
	never := func(*content.App) http.Handler { t.Error("Check called Mount"); return nil }
	var got []string
	for _, err := range content.Check(registry, &content.Options{PageSize: -1, Prefix: "/{x}/"},
		content.Part{Plugin: "odd", Routes: []content.Route{
			{Pattern: "/a"}, {Pattern: "GET /pulp/content/{p...}", Handler: ok}, {Pattern: "/b", Mount: never},
		}},
		content.Part{Plugin: "other", Routes: []content.Route{{Pattern: "/b", Handler: ok}, {Pattern: "/", Handler: ok}}},
	) {
		got = append(got, err.Error())
	}
	const instead = "; give it that signature or another name"
	want := []string{
		`prefix "/{x}/" is not a canonical path between two slashes; write it as in "/pulp/content/"`,
		`the page size is -1; make it positive, or 0 for 1000`,
		`plugin "odd": content route "/a": give it either a Handler or a Mount`,
		`plugin "odd": content route "GET /pulp/content/{p...}" hides the content app below /pulp/content/; ` +
			`choose a narrower pattern`,
		`plugin "other": content route "/b": pattern "/b" conflicts with pattern "/b" of plugin "odd": ` +
			`/b matches the same requests as /b; choose another pattern`,
		`plugin "other": content route "/" conflicts with the content app; choose another pattern`,
		`plugin "odd": type "odd.none": content_test.noGuard has no method Permit, so it would refuse every request; ` +
			`add Permit(context.Context, *content.Request) error, see content.Guard`,
		`plugin "odd": type "odd.wrong": method Permit(*http.Request) error is never called, because a content.Guard has ` +
			`Permit(context.Context, *content.Request) error` + instead,
		`plugin "odd": type "odd.hooks": method ContentHandler(string) (http.Handler, error) is never called, because a ` +
			`content.Handler has ContentHandler(context.Context, *content.Request) (http.Handler, error)` + instead,
		`plugin "odd": type "odd.hooks": method ListDirectory(context.Context, string) []string is never called, because a ` +
			`content.Lister has ListDirectory(context.Context, *content.Request) ([]string, error)` + instead,
		`plugin "odd": type "odd.hooks": method ContentHeaders(context.Context) http.Header is never called, because a ` +
			`content.HeaderSetter has ContentHeaders(*content.Request) http.Header` + instead,
		`plugin "odd": type "odd.hooks": method NeedsPublication(context.Context) (bool, error) is never called, because a ` +
			`content.PublicationServer has NeedsPublication() bool` + instead,
		`plugin "odd": type "odd.puller": it has the method RemoteUnit, which is never called, because no such distribution ` +
			`can have a remote; give models.Define a models.PullsFrom`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(text + r.PathValue("name")))
		})
	}
	o := &siteOptions{}
	o.Routes = []content.Route{
		{Pattern: "/pulp/content/x/own/{name}", Handler: say("own ")},
		{Pattern: "/v2/{name...}", Mount: func(a *content.App) http.Handler { return say(a.DB().Domain().Name + " ") }},
	}
	s := newSite(t, sqlite(t), o)
	s.distribute("x", s.tree("f", "F", "own/other/f", "O"))
	for _, tt := range [][2]string{
		{"/pulp/content/x/f", "F"},
		{"/pulp/content/x/own/f", "own f"},
		{"/pulp/content/x/own/other/f", "O"},
		{"/v2/a/b", "default a/b"},
		{"/pulp/content/x//f", "F"},
		{"/pulp/content/x//own/f", "404: Not Found"},
		{"/pulp/content/x//own/other/f", "O"},
		{"/pulp/content/x/own/../f", "404: Not Found"},
		{"/pulp/content", "404: Not Found"},
		{"/elsewhere", "404: Not Found"},
	} {
		if got := s.get(tt[0]); got.body != tt[1] {
			t.Errorf("GET %s = %d %q, want %q", tt[0], got.StatusCode, got.body, tt[1])
		}
	}
}

package content_test

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
)

func sqlite(t testing.TB) string {
	t.Helper()
	return dbtest.SQLite(t)
}

var link = regexp.MustCompile(`<a href="(\.[^"]*)">([^<]*)</a>`)

// links returns the names in a listing, after comparing them with where they lead.
func links(body string) []string {
	var names []string
	for _, m := range link.FindAllStringSubmatch(body, -1) {
		name := html.UnescapeString(m[2])
		to, err := url.PathUnescape(strings.TrimPrefix(html.UnescapeString(m[1]), "./"))
		if err != nil || to != name {
			name = fmt.Sprintf("%s leads to %s: %v", name, to, err)
		}
		names = append(names, name)
	}
	return names
}

func TestListing(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		r := s.repo()
		var units []uuid.UUID
		add := func(path string, body *string) uuid.UUID {
			u, file := s.unit(path, body)
			units = append(units, u)
			return file
		}
		add("B.txt", new("0123456789"))
		add("a", new("a file beside a folder of like name"))
		add("a-b", new("x"))
		add("a/one", new(""))
		add("a/two/three", new(""))
		add("<b>&\"quoted\" ü:?.txt", new("x"))
		add("z", new(strings.Repeat("x", 1500)))
		s.remote(models.OnDemand, add("remote", nil), "http://127.0.0.1/", &hashlib.Expect{Size: hashlib.Size(2_345_678)})
		s.remote(models.OnDemand, add("unknown", nil), "http://127.0.0.1/", nil)
		s.version(r, units...)
		s.distribute("ca/x", r)

		got := s.get("/pulp/content/ca/x/")
		if h := got.Header.Get("Content-Type"); h != "text/html; charset=utf-8" {
			t.Errorf("Content-Type = %q", h)
		}
		want := []string{"../", "<b>&\"quoted\" ü:?.txt", "B.txt", "a", "a-b", "a/", "remote", "unknown", "z"}
		if diff := cmp.Diff(want, links(got.body)); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		date := time.Now().UTC().Format("02-Jan-2006 ")
		for _, line := range []string{
			`^<html>\n<head><title>Index of /pulp/content/ca/x/</title></head>\n<body bgcolor="white">\n`,
			`\n<h1>Index of /pulp/content/ca/x/</h1>\n<hr><pre><a href="../">../</a>\n`,
			`\n<a href="./a/">a/</a>\n`,
			`\n<a href="./B.txt">B.txt</a> {95}` + date + `\d\d:\d\d  10 Bytes\n`,
			`\n<a href="./remote">remote</a> +` + date + `\d\d:\d\d  2.3 MB\n`,
			`\n<a href="./unknown">unknown</a> +` + date + `\d\d:\d\d  \n`,
			`\n<a href="./z">z</a> +` + date + `\d\d:\d\d  1.5 kB\n</pre><hr></body>\n</html>\n$`,
		} {
			if !regexp.MustCompile(line).MatchString(got.body) {
				t.Errorf("listing lacks %s:\n%s", line, got.body)
			}
		}
		if diff := cmp.Diff([]string{"../", "one", "two/"}, links(s.get("/pulp/content/ca/x/a/").body)); diff != "" {
			t.Errorf("names in a/ (-want +got):\n%s", diff)
		}
	})
}

func TestListingOfPublication(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		r := s.tree("f", "1", "dir/g", "2", "z", "3")
		v, err := models.LatestVersion(t.Context(), s.db, r.ID)
		s.must(err)
		d := s.distribute("x", r)
		s.overlay(v, "f", "published", "meta/index.html", "index", "META", "m")
		want := []string{"../", "META", "dir/", "f", "meta/", "z"}
		if diff := cmp.Diff(want, links(s.get("/pulp/content/x/").body)); diff != "" {
			t.Errorf("with pass-through (-want +got):\n%s", diff)
		}
		if got := s.get("/pulp/content/x/meta/"); got.body != "index" || got.Header.Get("Content-Type") != "text/html" {
			t.Errorf("index = %q", got.body)
		}
		p := s.publish(v, false, "only", "this", "sub/dir/f", "f")
		d.RepositoryID, d.PublicationID = nil, &p.ID
		s.must(distributions.Update(t.Context(), s.db, d, "repository_id", "publication_id"))
		if diff := cmp.Diff([]string{"../", "only", "sub/"}, links(s.get("/pulp/content/x/").body)); diff != "" {
			t.Errorf("without pass-through (-want +got):\n%s", diff)
		}
		if got := s.get("/pulp/content/x/sub"); got.StatusCode != 301 {
			t.Errorf("folder of a publication = %d, want 301", got.StatusCode)
		}
		if got := s.get("/pulp/content/x/dir/"); got.StatusCode != 404 {
			t.Errorf("folder of the version = %d, want 404", got.StatusCode)
		}
	})
}

func TestListingPages(t *testing.T) {
	each(t, nil, func(t *testing.T, s *site) {
		var pairs, want []string
		for i := range 7 {
			for j := range 40 {
				pairs = append(pairs, fmt.Sprintf("d%d/f%02d", i, j), "")
			}
			pairs = append(pairs, fmt.Sprintf("d%d-x", i), "", fmt.Sprintf("d%d", i), "")
			want = append(want, fmt.Sprintf("d%d", i), fmt.Sprintf("d%d-x", i), fmt.Sprintf("d%d/", i))
		}
		s.distribute("x", s.tree(pairs...))
		for _, limit := range []int{1, 2, 3, 5, 21, 100} {
			var got []string
			path := fmt.Sprintf("/pulp/content/x/?limit=%d", limit)
			for pages := 0; path != "" && pages < 100; pages++ {
				page := s.get(path)
				names := links(page.body)
				if len(names)-1 > limit {
					t.Errorf("page of %d has %d names", limit, len(names)-1)
				}
				got = append(got, names[1:]...)
				next := page.Header.Get("Link")
				path = ""
				if to, ok := strings.CutSuffix(strings.TrimPrefix(next, "<"), `>; rel="next"`); ok {
					path = "/pulp/content/x/" + to
					if !strings.Contains(page.body, `<a href="`+html.EscapeString(to)+`"`) {
						t.Errorf("page has no link to %s:\n%s", to, page.body)
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
			}
		}
		for _, query := range []string{"limit=0", "limit=x", "after=../x", "after=a/b", "after=%00"} {
			if got := s.get("/pulp/content/x/?" + query); got.StatusCode != 400 {
				t.Errorf("GET ?%s = %d, want 400", query, got.StatusCode)
			}
		}
	})
}

func TestListingOfDistributions(t *testing.T) {
	o := &siteOptions{}
	o.HideGuarded = true
	each(t, o, func(t *testing.T, s *site) {
		for _, base := range []string{"a", "a-b", "ca/one", "ca/two", "ca/deep/er", "cab", "hidden/one", "guarded/one"} {
			d := s.distribute(base, nil)
			switch base {
			case "hidden/one":
				d.Hidden = true
			case "guarded/one":
				g := &Guard{}
				g.Name = "guard"
				s.must(guards.Create(t.Context(), s.db, g))
				d.ContentGuardID = &g.ID
			}
			s.must(distributions.Update(t.Context(), s.db, d, "hidden", "content_guard_id"))
		}
		got := s.get("/pulp/content/")
		if diff := cmp.Diff([]string{"a/", "a-b/", "ca/", "cab/"}, links(got.body)); diff != "" {
			t.Errorf("root (-want +got):\n%s", diff)
		}
		if got = s.get("/pulp/content/ca/"); !strings.Contains(got.body, "<title>Index of ca/</title>") {
			t.Errorf("title: %s", got.body)
		}
		if diff := cmp.Diff([]string{"../", "deep/", "one/", "two/"}, links(got.body)); diff != "" {
			t.Errorf("ca/ (-want +got):\n%s", diff)
		}
		var paged []string
		path := "/pulp/content/?limit=1"
		for path != "" && len(paged) < 20 {
			page := s.get(path)
			paged = append(paged, links(page.body)...)
			to, ok := strings.CutSuffix(strings.TrimPrefix(page.Header.Get("Link"), "<"), `>; rel="next"`)
			if path = ""; ok {
				path = "/pulp/content/" + to
			}
		}
		if diff := cmp.Diff([]string{"a/", "a-b/", "ca/", "cab/"}, paged); diff != "" {
			t.Errorf("root in pages of one (-want +got):\n%s", diff)
		}
	})
}

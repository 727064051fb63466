package python_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/secrets"
)

// files returns the files on the page of a project, in JSON.
func (b *bench) files(project string) []python.File {
	b.t.Helper()
	var page struct{ Files []python.File }
	b.get("simple/"+project+"/", acceptJSON).Want(200).JSON(&page)
	return page.Files
}

func TestIndexInJSON(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		if body := b.get("simple/", acceptJSON).Want(200).Body; body != `{"meta":{"api-version":"1.0"},"projects":[]}`+"\n" {
			t.Errorf("the index of an empty repository is %s", body)
		}
		x := serve(t, false)
		b.sync(b.remote(x, models.OnDemand), false)
		res := b.get("simple/", acceptJSON).Want(200)
		want := `{"meta":{"api-version":"1.0"},"projects":[{"name":"tiny-alpha"},{"name":"tiny-beta"}]}` + "\n"
		if diff := cmp.Diff(want, res.Body); diff != "" {
			t.Errorf("the index (-want +got):\n%s", diff)
		}
		res = b.get("simple/tiny-beta/", acceptJSON).Want(200)
		want = fmt.Sprintf(`{"meta":{"api-version":"1.0"},"name":"tiny-beta","files":[{"filename":%q,"url":"../../%s",`+
			`"hashes":{"sha256":%q},"requires-python":"\u003e=3.8","size":%d,"yanked":false}]}`+"\n",
			beta, beta, sum(x.files[beta]), len(x.files[beta]))
		if diff := cmp.Diff(want, res.Body); diff != "" {
			t.Errorf("the page of a project (-want +got):\n%s", diff)
		}
	})
}

func TestIndexInHTML(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	x := serve(t, false)
	b.sync(b.remote(x, models.OnDemand), false)
	if page := b.get("simple/", "text/html").Want(200).Body; !strings.Contains(page, `<a href="tiny-alpha/">tiny-alpha</a><br>`) {
		t.Errorf("the index is %s", page)
	}
	page := b.get("simple/tiny-beta/", "text/html").Want(200).Body
	link := fmt.Sprintf(`<a href="../../%s#sha256=%s" data-requires-python="&gt;=3.8">%s</a>`, beta, sum(x.files[beta]), beta)
	if !strings.Contains(page, link) {
		t.Errorf("the page is %s\nwant the link %s", page, link)
	}
}

// TestHostileTextIsEscaped syncs text that would be markup.
func TestHostileTextIsEscaped(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	x := serve(t, false)
	const hostile = `"><script>alert(1)</script><a href="`
	x.page = fmt.Sprintf(`{"files": [{"filename": %q, "url": "x", "requires-python": %q, "hashes": {"sha256": %q}}]}`,
		beta, hostile, sum("x"))
	b.sync(b.remote(x, models.OnDemand, "tiny_beta"), false)
	page := b.get("simple/tiny-beta/", "text/html").Want(200).Body
	tokens := html.NewTokenizer(strings.NewReader(page))
	var links []html.Token
	for kind := tokens.Next(); kind != html.ErrorToken; kind = tokens.Next() {
		token := tokens.Token()
		if token.Data == "script" {
			t.Errorf("the page has a script: %s", page)
		}
		if kind == html.StartTagToken && token.Data == "a" {
			links = append(links, token)
		}
	}
	if len(links) != 1 || links[0].Attr[1].Val != hostile {
		t.Errorf("the page has the links %v, want one with the text of the index", links)
	}
}

// TestContentTypes asks for an index as clients do.
func TestContentTypes(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	b.sync(b.remote(serve(t, false), models.OnDemand), false)
	const text, asHTML, asJSON = "text/html; charset=utf-8", "application/vnd.pypi.simple.v1+html; charset=utf-8", acceptJSON
	for accept, want := range map[string]string{
		"": text, "*/*": text, "text/html": text, acceptJSON: asJSON, "application/vnd.pypi.simple.v1+html": asHTML,
		// pip, uv and a browser
		acceptJSON + ", application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01":          asJSON,
		acceptJSON + ", application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01":            asJSON,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8": text,
		acceptJSON + ";q=0.1, text/html;q=0.2":                                                  text,
	} {
		for _, path := range []string{"simple/", "simple/tiny-beta/"} {
			res := b.get(path, accept).Want(200)
			if got := res.Header.Get("Content-Type"); got != want {
				t.Errorf("GET %s with Accept %q is %q, want %q", path, accept, got, want)
			}
			if vary := res.Header.Values("Vary"); !strings.Contains(strings.Join(vary, ","), "Accept") {
				t.Errorf("GET %s has Vary %q, want Accept", path, vary)
			}
		}
	}
	if res := b.get("simple/", "image/png").Want(406); !strings.Contains(res.Body, acceptJSON) || res.Header.Get("Vary") != "Accept" {
		t.Errorf("GET simple/ as a picture = %s, want the formats that there are", res.Body)
	}
}

// TestPaths asks for paths of the index, and for others.
func TestPaths(t *testing.T) {
	t.Parallel()
	b := setup(t, pulptest.New(t, python.Plugin()))
	b.sync(b.remote(serve(t, false), models.OnDemand), false)
	for path, want := range map[string]int{
		"simple/tiny-alpha/": 200, "simple/Tiny_Alpha/": 200, "simple/tiny.-_alpha/": 200, "simple/tiny/": 404,
		"simple/tiny-alpha/x/": 404, "simple/tiny-alpha/x": 404, "simpl/": 404, "simple/%3Cb%3E/": 404, "simple/.../": 404,
	} {
		b.get(path, "").Want(want)
	}
	for path, want := range map[string]string{
		"simple": "/pulp/content/main/simple/", "simple/Tiny_Alpha": "/pulp/content/main/simple/Tiny_Alpha/",
		"simple/a%3F": "/pulp/content/main/simple/a%3F/",
	} {
		if to := b.get(path, "").Want(301).Header.Get("Location"); to != want {
			t.Errorf("GET %s leads to %q, want %q", path, to, want)
		}
	}
	if res := b.app.Do(t, "HEAD", "/pulp/content/main/simple/", pulptest.AsNobody).Want(200); res.Body != "" {
		t.Errorf("HEAD simple/ has the body %q", res.Body)
	}
	b.dist.RepositoryID = nil
	must(t, python.Distributions.Update(t.Context(), b.app.DB(), b.dist, "repository_id"))
	b.get("simple/", "").Want(404)
}

// TestGuard protects index and files by a header that has to be exactly right, and hides its value.
func TestGuard(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.sync(b.remote(serve(t, false), models.OnDemand), false)
		guard := b.protect("X-Key", "open sesame")
		res := b.app.Do(t, "GET", "/pulp/api/v3/contentguards/python/header/"+guard.ID.String()+"/").Want(200)
		if strings.Contains(res.Body, "sesame") {
			t.Errorf("the answer has the value of the header: %s", res.Body)
		}
		for _, path := range []string{"simple/", "simple/tiny-beta/", beta} {
			ask := func(options ...pulptest.RequestOption) *pulptest.Response {
				return b.app.Do(t, "GET", "/pulp/content/main/"+path, append(options, pulptest.AsNobody)...)
			}
			ask().Want(403)
			ask(pulptest.Header("X-Key", "open")).Want(403)
			ask(pulptest.Header("X-Key", "")).Want(403)
			ask(pulptest.Header("X-Key", "open sesame")).Want(200)
		}
	})
}

// protect gives the distribution a guard.
func (b *bench) protect(header, value string) *python.HeaderGuard {
	b.t.Helper()
	guard := &python.HeaderGuard{
		ContentGuard: models.ContentGuard{Name: "g"}, HeaderName: header, HeaderValue: secrets.NewEncryptedText(value),
	}
	must(b.t, python.HeaderGuards.Create(b.t.Context(), b.app.DB(), guard))
	b.dist.ContentGuardID = &guard.ID
	must(b.t, python.Distributions.Update(b.t.Context(), b.app.DB(), b.dist, "content_guard_id"))
	return guard
}

// TestRoute asks the route of the plugin's own.
func TestRoute(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const path = "/pulp_python/projects/"
		b.sync(b.remote(serve(t, false), models.OnDemand), false)
		res := b.app.Do(t, "GET", path).Want(200)
		var page struct{ Projects []struct{ Name string } }
		res.JSON(&page)
		if len(page.Projects) != 2 || page.Projects[1].Name != "tiny-beta" {
			t.Errorf("the projects are %s", res.Body)
		}
		b.app.NewUser(t, "ann", "password")
		b.app.Do(t, "GET", path, pulptest.As("ann", "password")).Want(403)
		b.app.Do(t, "GET", path, pulptest.AsNobody).Want(401)
		b.app.Do(t, "GET", path+"none/").Want(404)
		document := b.app.Do(t, "GET", "/pulp/api/v3/docs/api.json").Want(200).Body
		for _, path := range []string{path, "/pulp_python/legacy/{repository}/"} {
			if !strings.Contains(document, path) {
				t.Errorf("the API document lacks %s", path)
			}
		}
	})
}

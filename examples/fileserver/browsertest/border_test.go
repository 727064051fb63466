package browsertest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	browsing "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
)

const repositories = "/pulp/api/v3/repositories/file/file/"

// attack is a script that creates a repository, and leaves marks where a script has run and what it has reached.
const attack = `
	const mark = (name) => document.documentElement.setAttribute(name, "yes");
	mark("ran");
	fetch("` + repositories + `").then((r) => r.json()).then(() => mark("read"));
	fetch("` + repositories + `", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"name": "by-script"}'});
`

// form sends itself, if it may.
func form(action string) string {
	return `<!doctype html><title>form</title><form method="post" action="` + action + `"><input name="name" value="forged">` +
		`<button>send</button></form><script>document.forms[0].submit()</script>`
}

// publishFiles serves files at /pulp/content/d/.
func (s *server) publishFiles(files map[string]string) {
	s.t.Helper()
	ctx, db := s.t.Context(), s.app.DB()
	var units []uuid.UUID
	for name, body := range files {
		a, err := models.NewArtifact(ctx, db, s.app.Store(), strings.NewReader(body), nil)
		must(s.t, err)
		sum := sha256.Sum256([]byte(body))
		unit := &models.ContentWithFiles{
			Content: &file.Content{RelativePath: name, Digest: hex.EncodeToString(sum[:])},
			Files:   []models.ContentFile{{RelativePath: name, ArtifactID: &a.ID}},
		}
		must(s.t, models.SaveContents(ctx, db, []*models.ContentWithFiles{unit}))
		units = append(units, unit.Content.PulpID())
	}
	repo := &file.Repository{Repository: models.Repository{Name: "only"}}
	must(s.t, file.Repositories.Create(ctx, db, repo))
	v, _, err := models.CreateVersion(ctx, db, repo, nil, func(v *models.NewVersion) error {
		_, err := v.Add(ctx, units)
		return err
	})
	must(s.t, err)
	if v == nil {
		return // there are no files
	}
	pub := &file.Publication{Publication: models.Publication{RepositoryVersionID: v.ID, PassThrough: true}}
	must(s.t, models.Publish(ctx, db, s.app.Store(), pub, func(*models.NewPublication) error { return nil }))
	d := &file.Distribution{Distribution: models.Distribution{Name: "d", BasePath: "d", RepositoryID: &repo.ID}}
	must(s.t, file.Distributions.Create(ctx, db, d))
}

// unchanged fails if there is another repository than the one that was there.
func (s *server) unchanged(after string) {
	s.t.Helper()
	n, err := s.app.DB().Bun().NewSelect().Table("core_repository").Count(s.t.Context())
	if err != nil || n != 1 {
		s.t.Errorf("after %s there are %d repositories, want 1; %v", after, n, err)
	}
}

func TestServedFilesReachNothing(t *testing.T) {
	chromium(t)
	s := serve(t)
	s.publishFiles(map[string]string{
		"evil.html": "<!doctype html><html><body><p id=there onclick='" + attack + "'>evil</p><script>" + attack + "</script></body></html>",
		"evil.svg":  `<svg xmlns="http://www.w3.org/2000/svg"><rect id="there" width="9" height="9"/><script><![CDATA[` + attack + `]]></script></svg>`,
		"form.html": form(repositories),
		"frame.html": `<!doctype html><p id=there>frame</p><iframe src="evil.html"></iframe><iframe src="/tasks/"></iframe>` +
			`<object data="evil.svg"></object>`,
		"refresh.html": `<!doctype html><meta http-equiv=refresh content="0; url=javascript:` + html.EscapeString(attack) + `"><p id=there>`,
		"data.bin":     "the data",
		"links.html":   `<!doctype html><a id=there href="data.bin">data</a>`,
	})
	b := open(t)
	b.do("log in", chromedp.Navigate(s.base+"/tasks/"), chromedp.WaitVisible(chromedp.CSS("main")))
	// The browser has what it takes: a page of this origin that may run scripts reads the API.
	value(b, "a script of our own", chromedp.Evaluate[string](`fetch("`+repositories+`").then((r) => r.json())
		.then((o) => document.documentElement.setAttribute("count", o.count)); ""`))
	b.until("that our own script reads the API", `document.documentElement.getAttribute("count") === "1"`)

	for _, name := range []string{"evil.html", "evil.svg", "frame.html", "refresh.html"} {
		b.do(name, chromedp.Navigate(s.base+"/pulp/content/d/"+name))
		b.until(name, `document.querySelector("#there") !== null && document.readyState === "complete"`)
		if value(b, name, chromedp.Evaluate[bool](`document.documentElement.hasAttribute("ran")`)) {
			t.Errorf("a script of %s has run", name)
		}
	}
	b.do("the form", chromedp.Navigate(s.base+"/pulp/content/d/form.html"), chromedp.Click(chromedp.CSS("button")))
	b.do("wait", chromedp.Navigate(s.base+"/pulp/content/d/links.html"), chromedp.WaitVisible(chromedp.CSS("a")))
	s.unchanged("the visits")
	if n := s.posts.Load(); n != 0 {
		t.Errorf("served files made the browser send %d POST requests", n)
	}
}

func TestListingsLinkAndDownload(t *testing.T) {
	chromium(t)
	s := serve(t)
	s.publishFiles(map[string]string{
		"dir/data.bin": "from the listing", "dir/more.bin": "from a page", "dir/links.html": `<!doctype html><a href="more.bin">more</a>`,
	})
	b := open(t)
	dir := t.TempDir()
	_, err := chromedp.CallBrowser(b.ctx, browsing.SetDownloadBehavior, browsing.SetDownloadBehaviorParams{
		Behavior: browsing.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
	})
	must(t, err)
	follow := func(href, at string) {
		t.Helper()
		b.do(href, chromedp.Click(chromedp.CSS(`a[href="`+href+`"]`)))
		b.until("the link "+href, `location.pathname === "`+at+`" && document.readyState === "complete"`)
	}
	b.do("distributions", chromedp.Navigate(s.base+"/pulp/content/"))
	follow("./d/", "/pulp/content/d/")
	follow("./dir/", "/pulp/content/d/dir/")
	follow("../", "/pulp/content/d/")
	follow("./dir/", "/pulp/content/d/dir/")
	b.do("download", chromedp.Click(chromedp.CSS(`a[href="./data.bin"]`)))
	downloaded(t, filepath.Join(dir, "data.bin"), "from the listing")
	follow("./links.html", "/pulp/content/d/dir/links.html")
	b.do("download", chromedp.Click(chromedp.CSS(`a[href="more.bin"]`)))
	downloaded(t, filepath.Join(dir, "more.bin"), "from a page")
}

// downloaded waits for a file.
func downloaded(t *testing.T, path, want string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if raw, err := os.ReadFile(path); err == nil && string(raw) == want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s was not downloaded", filepath.Base(path))
		}
	}
}

// TestFormsOfOtherSitesAreRefused has other origins whose pages send a form to the API: another site, and another port
// of the same one.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	chromium(t)
	s := serve(t)
	s.publishFiles(nil)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, form(s.base+repositories))
	}))
	t.Cleanup(evil.Close)
	b := open(t)
	b.do("log in", chromedp.Navigate(s.base+"/tasks/"), chromedp.WaitVisible(chromedp.CSS("main")))
	for _, origin := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
		before := s.posts.Load()
		b.do("another site", chromedp.Navigate(origin))
		b.until("the answer", `location.href === "`+s.base+repositories+`" && document.readyState === "complete"`)
		text := value(b, "the answer", chromedp.Evaluate[string](`document.body.innerText`))
		if !strings.Contains(text, "is not trusted") || s.posts.Load() == before {
			t.Errorf("the form of %s is answered with %s", origin, text)
		}
		s.unchanged("a form of " + origin)
	}
}

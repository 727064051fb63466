package gomod_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	filePlugin "github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/examples/gomod"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
)

// TestSize: the plugin stays an example.
func TestSize(t *testing.T) {
	t.Parallel()
	const most = 450 // lines without imports, comments and blank lines
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, code, _ := strings.Cut(string(src), "\n)\n") // behind the imports
		for line := range strings.Lines(code) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "//") && !strings.HasSuffix(name, "_test.go") {
				lines++
			}
		}
	}
	if lines == 0 || lines > most {
		t.Errorf("the plugin has %d lines of code, want at most %d", lines, most)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tenModules()
	w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{pull: true})
	for path, want := range map[string]int{
		"example.com/!two/@v/v1.2.3.mod":                                     200,
		"github.com/!burnt!sushi/seven/@v/v1.0.0.zip":                        200,
		"example.com/four/@v/v4.0.0+incompatible.zip":                        200,
		"example.com/four/@v/v4.0.0%2Bincompatible.zip":                      200,
		"example.com/five/@v/v0.0.0-20240102030405-abcdefabcdef.info":        200,
		"example.com/six/sub/@v/v0.1.0-!r!c.1.mod":                           200,
		"example.com/three/v3/@v/v3.1.0.info":                                200,
		"example.com/one/@v/list":                                            200,
		"example.com/one/@latest":                                            200,
		"example.com/Two/@v/v1.2.3.mod":                                      404,
		"example.com/!!two/@v/v1.2.3.mod":                                    404,
		"example.com/one/@v/v1.0.0.sum":                                      404,
		"example.com/one/@v/v1.0.info":                                       404,
		"example.com/one/@v/v1.0.0+meta.info":                                404,
		"example.com/one/@v/v2.0.0.info":                                     404,
		"example.com/one/@v/main.info":                                       404,
		"example.com/one/@v/.info":                                           404,
		"example.com/one/@v/":                                                404,
		"example.com/one/@v":                                                 404,
		"@v/list":                                                            404,
		"example.com/../one/@v/list":                                         404,
		"example.com/%2e%2e/one/@v/list":                                     404,
		"example.com/one/@v/..%2f..%2fone.info":                              404,
		"example.com//one/@v/list":                                           404,
		"example.com/one/@v//v1.0.0.mod":                                     404,
		"example.com/./one/@v/list":                                          404,
		"example.com/one%00/@v/list":                                         404,
		"example.com/one/@v/v1.0.0.mod/":                                     404,
		"example.com/" + strings.Repeat("a/", 500) + "m/@v/v1.0.0.mod":       404,
		"example.com/" + strings.Repeat("a", 5000) + "/@v/list":              404,
		"example.com/one/@v/v1.0.0-" + strings.Repeat("a", 2000) + ".info":   404,
		"sumdb/../example.com/one/@v/list":                                   404,
		"sumdb/sum.example.com/lookup/" + strings.Repeat("x", 3000):          404,
		"com1/one/@v/list":                                                   404,
		"example.com/one/@v/v1.0.0.mod/@v/v1.0.0.mod":                        404,
		"example.com/one/@v/v1.0.0.mod?x=" + strings.Repeat("%2e%2e%2f", 50): 200,
	} {
		if got := w.get(path); got.Status != want {
			t.Errorf("GET %.100s = %d %.100q, want %d", path, got.Status, got.Body, want)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	const pseudo = "v0.0.0-20240102030405-abcdefabcdef"
	for _, v := range []string{"v1.10.0", "v1.9.0", "v2.0.0+incompatible", "v1.11.0-rc.1", pseudo} {
		u.add("example.com/a", v, v)
	}
	u.add("example.com/commits", pseudo, "first")
	u.add("example.com/commits", "v0.0.0-20240202030405-abcdefabcdef", "second")
	u.add("example.com/pre", "v0.1.0-alpha", "alpha")
	u.add("example.com/pre", pseudo, "commit")
	all := "v1.9.0\nv1.10.0\nv1.11.0-rc.1\nv2.0.0+incompatible\n"
	app := pulptest.New(t, gomod.Plugin())
	w := newWorld(t, app, u, setup{modules: []string{
		"example.com/a", "example.com/a@" + pseudo, "example.com/commits@" + pseudo,
		"example.com/commits@v0.0.0-20240202030405-abcdefabcdef", "example.com/pre@v0.1.0-alpha", "example.com/pre@" + pseudo,
	}})
	if got := w.get("example.com/a/@v/list"); got.Status != 404 {
		t.Errorf("list of nothing = %d, want 404", got.Status)
	}
	w.sync()
	for path, want := range map[string]string{"a": all, "commits": "", "pre": "v0.1.0-alpha\n"} {
		if got := w.get("example.com/" + path + "/@v/list").Want(200).Body; got != want {
			t.Errorf("list of %s = %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"a": "v2.0.0+incompatible", "commits": "v0.0.0-20240202030405-abcdefabcdef", "pre": "v0.1.0-alpha",
	} {
		if got := w.latest("example.com/" + path); got != want {
			t.Errorf("latest of %s = %s, want %s", path, got, want)
		}
	}
	// A second distribution shows what its remote has as well.
	more := newUpstream(t)
	more.add("example.com/a", "v1.12.0", "more")
	more.set("example.com/a/@v/list", []byte("v1.12.0 \nnonsense\nv1.9.0\n"+pseudo+"\n"))
	w.distribute("more", map[string]any{"repository": w.repository}, w.newRemote("more", more, setup{}), true)
	want := strings.Replace(all, "v2", "v1.12.0\nv2", 1)
	if got := app.Do(t, "GET", "/pulp/content/more/example.com/a/@v/list").Want(200).Body; got != want {
		t.Errorf("list with a remote = %q, want %q", got, want)
	}
	for _, body := range []string{`{`, `{"Version":"v1"}`, `{"Version":"v1.13.0","Time":"0000-01-01T00:00:00+23:00"}`} {
		more.set("example.com/a/@latest", []byte(body))
		if got := app.Do(t, "GET", "/pulp/content/more/example.com/a/@latest"); got.Status != 503 {
			t.Errorf("@latest of a remote that answers %s = %d, want 503", body, got.Status)
		}
	}
	more.leave()
	if got := app.Do(t, "GET", "/pulp/content/more/example.com/a/@v/list").Want(200).Body; got != all {
		t.Errorf("list without the remote = %q, want %q", got, all)
	}
	if got := app.Do(t, "GET", "/pulp/content/more/example.com/b/@v/list"); got.Status != 502 {
		t.Errorf("list of an unknown module without the remote = %d, want 502", got.Status)
	}
}

// TestFirstBytesStay: another upstream has other bytes for a version that is known.
func TestFirstBytesStay(t *testing.T) {
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		first, second := newUpstream(t), newUpstream(t)
		first.add("example.com/a", "v1.0.0", "good")
		second.add("example.com/a", "v1.0.0", "evil")
		w := newWorld(t, app, first, setup{modules: []string{"example.com/a"}})
		w.sync()
		zip := w.get("example.com/a/@v/v1.0.0.zip").Want(200).Body

		first.add("example.com/a", "v1.0.0", "evil")
		w.sync()
		w.distribute("evil", map[string]any{}, w.newRemote("evil", second, setup{modules: []string{"example.com/a"}}), true)
		if got := app.Do(t, "GET", "/pulp/content/evil/example.com/a/@v/v1.0.0.zip"); got.Status != 502 {
			t.Errorf("GET by way of the other upstream = %d, want 502", got.Status)
		}
		w.sync()
		w.Settle(t)
		if got := w.get("example.com/a/@v/v1.0.0.zip").Want(200).Body; got != zip {
			t.Error("the zip has other bytes now")
		}
		if v, err := models.LatestVersion(t.Context(), app.DB(), w.repo.ID); err != nil || v.Number != 1 {
			t.Errorf("the latest version is %v, %v, want number 1", v, err)
		}
	}, gomod.Plugin())
}

// TestOnDemandIsVerified: the files of a version that a sync left at the remote are verified when a client asks.
func TestOnDemandIsVerified(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.add("example.com/a", "v1.0.0", "a")
	u.add("example.com/b", "v1.0.0", "b")
	u.set("example.com/b/@v/v1.0.0.mod", []byte("module example.com/b\nrequire example.com/evil v1.0.0\n"))
	w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{
		policy: models.OnDemand, modules: []string{"example.com/a", "example.com/b@v1.0.0"},
	})
	w.sync()
	if diff := cmp.Diff([]string{"example.com/a@v1.0.0", "example.com/b@v1.0.0"}, w.names()); diff != "" {
		t.Fatalf("members (-want +got):\n%s", diff)
	}
	if n := len(u.Asked()); n != 1 {
		t.Errorf("the sync made %d requests, want one for the list", n)
	}
	w.get("example.com/a/@v/v1.0.0.mod").Want(200)
	if got := w.get("example.com/b/@v/v1.0.0.mod"); got.Status != 502 {
		t.Errorf("GET of the tampered module = %d, want 502", got.Status)
	}
	if m := w.members(); m[0].ZipHash == "" || m[0].Time == nil || m[1].ZipHash != "" {
		t.Errorf("hashes %q and %q, time %v; want the fields of the first one alone", m[0].ZipHash, m[1].ZipHash, m[0].Time)
	}
	// An immediate sync of the same remote fails for the same reason.
	w.newRemote("now", u, setup{modules: []string{"example.com/b"}})
	if _, err := pulptest.TryTask(t, w.App, gomod.Sync, w.syncArgs()); err == nil ||
		!strings.Contains(err.Error(), "module example.com/b@v1.0.0: the .mod file does not fit the zip") {
		t.Errorf("sync = %v", err)
	}
}

func TestSyncRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		module string
		prep   func(u *upstream)
		want   string
	}{
		"an unknown module": {"example.com/x", func(*upstream) {}, "404"},
		"a lying .info": {"example.com/a", func(u *upstream) {
			u.set("example.com/a/@v/v1.0.0.info", []byte(`{"Version":"v1.0.1"}`))
		}, `the .info of "v1.0.0" is wrong`},
		"a list with nonsense": {"example.com/a", func(u *upstream) {
			u.set("example.com/a/@v/list", []byte("v1\n"))
		}, `the remote lists "v1"`},
		"a missing zip": {"example.com/a@v1.0.1", func(u *upstream) { u.add("example.com/a", "v1.0.0", "") }, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.add("example.com/a", "v1.0.0", "a")
			tt.prep(u)
			w := newWorld(t, pulptest.New(t, gomod.Plugin()), u, setup{modules: []string{tt.module}})
			_, err := pulptest.TryTask(t, w.App, gomod.Sync, w.syncArgs())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("sync = %v, want %q", err, tt.want)
			}
			if names := w.names(); names != nil {
				t.Errorf("the repository has %v", names)
			}
		})
	}
}

func TestRemoteModulesAreChecked(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, gomod.Plugin())
	for _, entry := range []string{
		"", "example", "example.com/A/../b", "example.com/a@", "example.com/a@v1", "example.com/a@v2.0.0",
	} {
		res := app.Do(t, "POST", apiRoot+"remotes/gomod/gomod/", pulptest.JSON(map[string]any{
			"name": "x", "url": "https://example.com", "modules": []string{entry},
		}))
		if res.Status != 400 || !strings.Contains(res.Body, "modules") {
			t.Errorf("modules %q: %d %s, want 400", entry, res.Status, res.Body)
		}
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		w := newWorld(t, app, nil, setup{})
		const mod = "module example.com/up\n\ngo 1.21\n"
		code := "package m\n\nfunc Name() string { return \"uploaded\" }\n"
		zip := zipOf(t, "example.com/up", "v1.0.0", "go.mod", mod, "m.go", code)
		old := zipOf(t, "example.com/up", "v3.0.0+incompatible", "m.go", code)
		for range 2 { // a second time it is the same unit
			for _, body := range [][]byte{zip, old} {
				w.Await(t, w.Do(t, "POST", apiRoot+"content/gomod/modules/", pulptest.File("file", "m.zip", body),
					pulptest.Field("repository", w.repository)))
			}
		}
		if diff := cmp.Diff([]string{"example.com/up@v1.0.0", "example.com/up@v3.0.0+incompatible"}, w.names()); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
		p := newProgram(t, w.proxy())
		p.goes("get", "example.com/up@v1.0.0")
		p.write("main.go", "package main\n\nimport m \"example.com/up\"\n\nfunc main() { println(m.Name()) }\n")
		if got := p.goes("run", "."); !strings.HasSuffix(got, "uploaded\n") {
			t.Errorf("the program prints %q", got)
		}
		other := zipOf(t, "example.com/up", "v1.0.0", "go.mod", mod, "m.go", code+"// more\n")
		res := w.Do(t, "POST", apiRoot+"content/gomod/modules/", pulptest.File("file", "m.zip", other))
		if _, err := w.TryAwait(t, res); err == nil || !strings.Contains(err.Error(), "v1.0.0.zip") {
			t.Errorf("upload of other bytes = %v, want a conflict", err)
		}
		var page struct{ Count int }
		w.Do(t, "GET", apiRoot+"content/gomod/modules/?module=example.com/up&version=v1.0.0").JSON(&page)
		if page.Count != 1 {
			t.Errorf("the filters find %d versions, want 1", page.Count)
		}
	}, gomod.Plugin())
}

func TestUploadRefuses(t *testing.T) {
	t.Parallel()
	app := pulptest.New(t, gomod.Plugin())
	for name, tt := range map[string]struct {
		body []byte
		want string
	}{
		"no zip":              {[]byte("text"), "is not a zip"},
		"an empty zip":        {[]byte("PK\x05\x06" + strings.Repeat("\x00", 18)), "has no files"},
		"another path inside": {zipOf(t, "example.com/a", "v1.0.0", "go.mod", "module example.com/b\n"), "is for module"},
		"an odd version":      {rename(t, "example.com/a@v1.0/go.mod"), "is not canonical"},
		"no version":          {rename(t, "example.com/a/go.mod"), "The zip is of module"},
		"no module":           {rename(t, "a@v1.0.0/go.mod"), "The zip is of module"},
		"two modules":         {rename(t, "example.com/a@v1.0.0/go.mod", "example.com/b@v1.0.0/go.mod"), "not acceptable"},
		"a path out of it":    {rename(t, "example.com/a@v1.0.0/go.mod", "example.com/a@v1.0.0/../x"), "not acceptable"},
		"a wrong major":       {rename(t, "example.com/a@v2.0.0/go.mod"), "v2.0.0"},
	} {
		res := app.Do(t, "POST", apiRoot+"content/gomod/modules/", pulptest.File("file", "m.zip", tt.body))
		if res.Status != 400 || !strings.Contains(res.Body, `{"file":[`) || !strings.Contains(res.Body, tt.want) {
			t.Errorf("%s: %d %s, want 400 with %q", name, res.Status, res.Body, tt.want)
		}
	}
	if res := app.Do(t, "POST", apiRoot+"content/gomod/modules/", pulptest.JSON(map[string]any{})); res.Status != 400 {
		t.Errorf("without a file: %d %s, want 400", res.Status, res.Body)
	}
}

// TestInterruptedPull: the upstream breaks off while many clients wait, and some of them leave.
func TestInterruptedPull(t *testing.T) {
	t.Parallel()
	pulptest.Each(t, func(t *testing.T, app *pulptest.App) {
		t.Parallel()
		u := newUpstream(t)
		u.add("example.com/a", "v1.0.0", "a")
		const zip = "example.com/a/@v/v1.0.0.zip"
		want := string(u.files[zip])
		w := newWorld(t, app, u, setup{pull: true})
		u.Cut(zip, 1000, 20)
		counts := w.together(u, zip, 30, 10)
		u.Fail(zip, 0, 0)
		if counts["502"] == 0 || counts["200 "+want] > 0 {
			t.Errorf("the answers are %q, want failures", slices.Collect(maps.Keys(counts)))
		}
		w.Settle(t)
		if list, err := gomod.Modules.List(t.Context(), app.DB()); err != nil || len(list) > 0 {
			t.Errorf("saved %d module versions, %v; want none", len(list), err)
		}
		asked := u.Count(zip)
		if counts := w.together(u, zip, 30, 10); counts["200 "+want] != 30 || len(counts) != 1 {
			t.Errorf("%d of %d answers have the zip", counts["200 "+want], 30)
		}
		if n := u.Count(zip) - asked; n != 1 {
			t.Errorf("the upstream was asked %d times for the zip, want once", n)
		}
		w.Settle(t)
		if diff := cmp.Diff([]string{"example.com/a@v1.0.0"}, w.names()); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
	}, gomod.Plugin())
}

// together asks for a path by many clients at a time, of which the upstream's answers wait, and by others that leave
// before it answers. It counts the answers to the first ones.
func (w *world) together(u *upstream, path string, clients, leaving int) map[string]int {
	w.t.Helper()
	wait := make(chan struct{})
	u.mu.Lock()
	u.wait = wait
	u.mu.Unlock()
	var group, gone sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	for range clients {
		group.Go(func() {
			res := w.get(path)
			answer := fmt.Sprint(res.Status)
			if res.Status == http.StatusOK {
				answer += " " + res.Body
			}
			mu.Lock()
			defer mu.Unlock()
			counts[answer]++
		})
	}
	ctx, leave := context.WithCancel(w.t.Context())
	for range leaving {
		gone.Go(func() {
			defer func() {
				if p := recover(); p != nil && !errors.Is(p.(error), http.ErrAbortHandler) {
					panic(p)
				}
			}()
			req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/pulp/content/go/"+path, nil)
			w.Handler().ServeHTTP(httptest.NewRecorder(), req)
		})
	}
	leave()
	gone.Wait()
	close(wait)
	group.Wait()
	return counts
}

func TestDistributionRefusesOtherRemotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pulptest.New(t, gomod.Plugin(), filePlugin.Plugin()), nil, setup{})
	remote := w.Do(t, "POST", apiRoot+"remotes/file/file/", pulptest.JSON(map[string]any{
		"name": "x", "url": "https://example.com/PULP_MANIFEST",
	})).Want(201).Href()
	for path, want := range map[string]string{
		"gomod/gomod/": "Type for Remote 'file.file' does not match Distribution 'gomod.gomod'.",
		"file/file/":   "Unexpected field",
	} {
		res := w.Do(t, "POST", apiRoot+"distributions/"+path, pulptest.JSON(map[string]any{
			"name": "x", "base_path": "x", "remote": remote,
		}))
		var faults map[string][]string
		if res.JSON(&faults); res.Status != 400 || !slices.Contains(faults["remote"], want) {
			t.Errorf("POST %s = %d %s, want the fault %q of remote", path, res.Status, res.Body, want)
		}
	}
}

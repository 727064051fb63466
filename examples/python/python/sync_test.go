package python_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/examples/python/python"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
)

const (
	alpha10 = "tiny_alpha-1.0-py3-none-any.whl"
	alpha11 = "tiny_alpha-1.1-py3-none-any.whl"
	beta    = "tiny_beta-0.1.tar.gz"
)

func all() []string { return []string{alpha10, alpha11, beta} }

// TestSync syncs from indexes in both formats and by both policies, and serves what it has got.
func TestSync(t *testing.T) {
	for _, policy := range []models.Policy{models.Immediate, models.OnDemand} {
		for _, asHTML := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,html=%v", policy, asHTML), func(t *testing.T) {
				each(t, func(t *testing.T, b *bench) {
					x := serve(t, asHTML)
					b.sync(b.remote(x, policy), false)
					if diff := cmp.Diff(all(), b.names()); diff != "" {
						t.Fatalf("files (-want +got):\n%s", diff)
					}
					if want := map[models.Policy]int{models.Immediate: 3}[policy]; x.downloads() != want {
						t.Errorf("the sync has downloaded %d files, want %d", x.downloads(), want)
					}
					p, err := python.Packages.One(t.Context(), b.app.DB(), models.Eq("filename", alpha11))
					must(t, err)
					if p.Name != "tiny-alpha" || p.Version != "1.1" || p.RequiresPython != ">=3.8" || p.Yanked ||
						p.Hashes.SHA256 != sum(x.files[alpha11]) || p.Hashes.MD5 != "" {
						t.Errorf("the package is %+v", p)
					}
					for range 2 { // from upstream if on demand, and from the store
						if res := b.get(beta, "").Want(200); res.Body != x.files[beta] {
							t.Errorf("%s has %d bytes, want %d", beta, len(res.Body), len(x.files[beta]))
						}
						b.app.Settle(t)
					}
					if n := x.Count("files/" + beta); n != 1 {
						t.Errorf("upstream was asked %d times for %s, want 1", n, beta)
					}
				})
			})
		}
	}
}

func TestMirrorRemovesFiles(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		x := serve(t, false)
		r := b.remote(x, models.OnDemand)
		b.sync(r, true)
		x.change(func() { delete(x.files, alpha10) })
		b.sync(r, false)
		if diff := cmp.Diff(all(), b.names()); diff != "" {
			t.Errorf("files after a sync that is no mirror (-want +got):\n%s", diff)
		}
		b.sync(r, true)
		if diff := cmp.Diff([]string{alpha11, beta}, b.names()); diff != "" {
			t.Errorf("files of the mirror (-want +got):\n%s", diff)
		}
		b.get(alpha10, "").Want(404)
		// An index that fails in the middle removes nothing.
		x.Fail("simple/tiny-beta/", 100, http.StatusServiceUnavailable)
		if _, err := pulptest.TryTask(t, b.app, python.Sync, b.args(r, true)); err == nil || !strings.Contains(err.Error(), "tiny_beta: ") {
			t.Errorf("sync = %v, want an error that names tiny_beta", err)
		}
		if diff := cmp.Diff([]string{alpha11, beta}, b.names()); diff != "" {
			t.Errorf("files after the failure (-want +got):\n%s", diff)
		}
	})
}

// TestYankedFile yanks a file upstream: it stays, and pip learns of it.
func TestYankedFile(t *testing.T) {
	for _, asHTML := range []bool{false, true} {
		t.Run(fmt.Sprintf("html=%v", asHTML), func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				x := serve(t, asHTML)
				r := b.remote(x, models.OnDemand)
				b.sync(r, false)
				x.change(func() { x.yanked[alpha11] = true })
				b.sync(r, false)
				if diff := cmp.Diff(all(), b.names()); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
				want := map[string]any{alpha10: false, alpha11: true}
				got := map[string]any{}
				for _, f := range b.files("tiny-alpha") {
					got[f.Filename] = f.Yanked
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("yanked (-want +got):\n%s", diff)
				}
				if page := b.get("simple/tiny-alpha/", "text/html").Want(200).Body; strings.Count(page, ` data-yanked=""`) != 1 {
					t.Errorf("the page is %s, want one yanked file", page)
				}
			})
		})
	}
}

// TestTamperedFile changes the bytes of a file behind the back of its index.
func TestTamperedFile(t *testing.T) {
	for _, policy := range []models.Policy{models.Immediate, models.OnDemand} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, pulptest.New(t, python.Plugin()))
			x := serve(t, false)
			name, body := sdist(t, "tiny_beta", "0.1")
			x.change(func() {
				x.page = fmt.Sprintf(`{"files": [{"filename": %q, "url": "../../files/%s", "hashes": {"sha256": %q}}]}`,
					name, name, sum(body))
				x.files[name] = strings.Repeat("x", len(body))
			})
			_, err := pulptest.TryTask(t, b.app, python.Sync, b.args(b.remote(x, policy, "tiny_beta"), false))
			if policy == models.Immediate {
				if err == nil || !strings.Contains(err.Error(), "sha256") || len(b.names()) != 0 {
					t.Errorf("sync = %v with files %v, want an error about the sha256 and none", err, b.names())
				}
				return
			}
			must(t, err)
			if res := b.get(beta, ""); res.Status == 200 && res.Err == nil {
				t.Errorf("GET %s = %d with %d wrong bytes", beta, res.Status, len(res.Body))
			}
		})
	}
}

// TestFilesLeftOut syncs a page with files that cannot be served, next to one that can.
func TestFilesLeftOut(t *testing.T) {
	t.Parallel()
	sha := sum("x")
	tests := map[string]string{
		"an egg":            `"filename": "tiny_beta-0.2.egg", "hashes": {"sha256": "` + sha + `"}`,
		"no hash":           `"filename": "tiny_beta-0.2.tar.gz"`,
		"another hash":      `"filename": "tiny_beta-0.2.tar.gz", "hashes": {"md5": "0cc175b9c0f1b6a831c399e269772661"}`,
		"another project":   `"filename": "tiny_gamma-0.2.tar.gz", "hashes": {"sha256": "` + sha + `"}`,
		"a path":            `"filename": "../tiny_beta-0.2.tar.gz", "hashes": {"sha256": "` + sha + `"}`,
		"a backslash":       `"filename": "a\\tiny_beta-0.2.tar.gz", "hashes": {"sha256": "` + sha + `"}`,
		"markup":            `"filename": "<tiny_beta>-0.2.tar.gz", "hashes": {"sha256": "` + sha + `"}`,
		"a NUL byte":        `"filename": "tiny_beta-0.2\u0000.tar.gz", "hashes": {"sha256": "` + sha + `"}`,
		"no name":           `"hashes": {"sha256": "` + sha + `"}`,
		"a malformed URL":   `"filename": "tiny_beta-0.2.tar.gz", "url": "http://[", "hashes": {"sha256": "` + sha + `"}`,
		"a size below 0":    `"filename": "tiny_beta-0.2.tar.gz", "size": -1, "hashes": {"sha256": "` + sha + `"}`,
		"a URL of a file":   `"filename": "tiny_beta-0.2.tar.gz", "url": "file:///etc/x", "hashes": {"sha256": "` + sha + `"}`,
		"a password":        `"filename": "tiny_beta-0.2.tar.gz", "url": "http://u:p@x/y", "hashes": {"sha256": "` + sha + `"}`,
		"a wheel of 4 tags": `"filename": "tiny_beta-0.2-a-b-c-d-e.whl", "hashes": {"sha256": "` + sha + `"}`,
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, pulptest.New(t, python.Plugin()))
			x := serve(t, false)
			x.page = fmt.Sprintf(`{"files": [{%s}, {"filename": %q, "url": "/files/x", "hashes": {"sha256": %q}}]}`, file, beta, sha)
			b.sync(b.remote(x, models.OnDemand, "tiny_beta"), false)
			if diff := cmp.Diff([]string{beta}, b.names()); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// TestIndexesThatFailTheSync syncs pages that are not what they should be. No text of theirs ends in the database.
func TestIndexesThatFailTheSync(t *testing.T) {
	tests := map[string]struct{ page, want string }{
		"no JSON":            {`{"files": [`, "the index is neither JSON as in PEP 691 nor HTML"},
		"JSON of other form": {`{"files": {"a": 1}}`, "the index is neither"},
		"a malformed digest": {`{"files": [{"filename": "` + beta + `", "url": "x", "hashes": {"sha256": "zz"}}]}`, "sha256"},
		"a NUL byte": {
			`{"files": [{"filename": "` + beta + `", "url": "x", "requires-python": "\u0000", "hashes": {"sha256": "` + sum("x") + `"}}]}`,
			"requires_python: Null characters",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				x := serve(t, false)
				x.page = tt.page
				_, err := pulptest.TryTask(t, b.app, python.Sync, b.args(b.remote(x, models.OnDemand, "tiny_beta"), false))
				if err == nil || !strings.Contains(err.Error(), tt.want) || len(b.names()) != 0 {
					t.Errorf("sync = %v with files %v, want an error with %q", err, b.names(), tt.want)
				}
			})
		})
	}
}

// TestTextThatIsNotUTF8 syncs a page in HTML with bytes that are no text.
func TestTextThatIsNotUTF8(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		x := serve(t, true)
		x.page = `<a href="x#sha256=` + sum("x") + `" data-requires-python="&gt;=3` + "\xff" + `">` + beta + `</a>`
		_, err := pulptest.TryTask(t, b.app, python.Sync, b.args(b.remote(x, models.OnDemand, "tiny_beta"), false))
		if err == nil || !strings.Contains(err.Error(), "requires_python: The text is not valid UTF-8") {
			t.Errorf("sync = %v, want an error about the text", err)
		}
	})
}

// TestGroup syncs each project in a task of its own, by the action. One of them fails.
func TestGroup(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		x := serve(t, false)
		r := b.remote(x, models.OnDemand)
		path := "/pulp/api/v3/repositories/python/python/" + b.repo.ID.String() + "/sync_projects/"
		res := b.app.Do(t, "POST", path, pulptest.JSON(map[string]any{"remote": models.PRNOf(r)})).Want(202)
		out := b.app.Await(t, res)
		if len(out.Tasks) != 2 {
			t.Fatalf("the group has %d tasks, want 2", len(out.Tasks))
		}
		if diff := cmp.Diff(all(), b.names()); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		b.wantProgress(res, 2, 2)

		r = b.remote(x, models.OnDemand, "tiny-alpha", "missing", "../../files", "tiny-beta")
		res = b.app.Do(t, "POST", path, pulptest.JSON(map[string]any{"remote": models.PRNOf(r)})).Want(202)
		if _, err := b.app.TryAwait(t, res); err == nil || !strings.Contains(err.Error(), "missing: ") {
			t.Errorf("the group ended with %v, want an error that names the missing project", err)
		}
		b.wantProgress(res, 2, 4)
		b.app.Do(t, "POST", path, pulptest.JSON(map[string]any{"remote": "/x/"})).Want(400)
	})
}

// wantProgress compares the one report of a group.
func (b *bench) wantProgress(res *pulptest.Response, done, total int) {
	b.t.Helper()
	var accepted struct {
		TaskGroup string `json:"task_group"`
	}
	res.JSON(&accepted)
	var group struct {
		Dispatched bool `json:"all_tasks_dispatched"`
		Reports    []struct {
			Code        string
			Done, Total int
		} `json:"group_progress_reports"`
	}
	b.app.Do(b.t, "GET", accepted.TaskGroup).Want(200).JSON(&group)
	if !group.Dispatched || len(group.Reports) != 1 || group.Reports[0].Code != "sync.projects" ||
		group.Reports[0].Done != done || group.Reports[0].Total != total {
		b.t.Errorf("the group is %+v, want one report with %d of %d", group, done, total)
	}
}

// TestTwoApps runs two Apps with different settings in one process, on one plugin value.
func TestTwoApps(t *testing.T) {
	t.Parallel()
	plugin := python.Plugin()
	x := serve(t, false)
	free := setup(t, pulptest.New(t, plugin))
	strict := setup(t, pulptest.NewWith(t, []settings.Option{
		settings.Environ("PULP_", []string{"PULP_PYTHON_MAX_INDEX_BYTES=100", "PULP_PYTHON_ALLOW_UPLOADS=false"}),
	}, plugin))
	free.sync(free.remote(x, models.OnDemand), false)
	_, err := pulptest.TryTask(t, strict.app, python.Sync, strict.args(strict.remote(x, models.OnDemand), false))
	if err == nil || !strings.Contains(err.Error(), "Tiny.Alpha: ") || !strings.Contains(err.Error(), "100") {
		t.Errorf("sync = %v, want an error about 100 bytes", err)
	}
	name, body := wheel(t, "own", "1.0")
	for path, field := range map[string]string{"/pulp/api/v3/content/python/packages/": "file", "/pulp_python/legacy/main/": "content"} {
		form := []pulptest.RequestOption{pulptest.File(field, name, body)}
		if field == "file" {
			form = append(form, pulptest.Field("relative_path", name))
		}
		free.app.Await(t, free.app.Do(t, "POST", path, form...).Want(202))
		if res := strict.app.Do(t, "POST", path, form...).Want(403); !strings.Contains(res.Body, "PYTHON_ALLOW_UPLOADS") {
			t.Errorf("POST %s = %s, want the name of the setting", path, res.Body)
		}
	}
}

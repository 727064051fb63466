package stages_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// undone fails the test unless a failed sync left the repository as it was.
func (b *bench) undone(repo *Repo, number int, want map[string]string) {
	b.t.Helper()
	v := b.latest(repo)
	if v.Number != number {
		b.t.Errorf("latest version is %d, want %d", v.Number, number)
	}
	if diff := cmp.Diff(want, b.paths(v)); diff != "" {
		b.t.Errorf("files (-want +got):\n%s", diff)
	}
	b.sound()
}

// TestBadUpstream mirrors a source that has one bad file among good ones. Whatever is wrong with it, the task fails
// with words that name the fault, and the repository keeps all it had.
func TestBadUpstream(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	say := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	rows := []struct {
		name  string
		fault http.HandlerFunc
		code  string
		words string
	}{
		{"missing", status(404), "PLP0025", " answered 404 Not Found"},
		{"forbidden", status(403), "PLP0025", " answered 403 Forbidden"},
		{"too many requests", status(429), "PLP0025", " answered 429 Too Many Requests"},
		{"a broken server", status(500), "PLP0025", " answered 500 Internal Server Error"},
		{"other bytes", say("xxxx"), "PLP0003", "sha256 digest is " + sum("xxxx")},
		{"too many bytes", say("bad and more"), "PLP0004", "expected 4"},
		{"too few bytes", say("ba"), "PLP0004", "expected 4"},
		{"nothing", say(""), "PLP0004", "expected 4"},
		{
			"a cut body", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "4")
				_, _ = w.Write([]byte("ba"))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}, "PLP0027", "failed or was cut",
		},
		{
			"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"PLP0027", "failed or was cut",
		},
	}
	each(t, func(t *testing.T, b *bench) {
		for i, row := range rows {
			up, repo := serve(t, three()), b.repo(row.name)
			v := stages.DeclarativeVersion{
				Repository: repo, First: up.all(b.remote(row.name, up.URL, models.Immediate)), Mirror: true,
			}
			b.sync(v)
			bad, good := fmt.Sprint("bad", i), fmt.Sprint("good", i)
			up.files = map[string]string{bad: bad, good: good}
			up.breaks(bad, row.fault)
			_, task, err := b.trySync(v)
			if err == nil || task.State != models.Failed || task.Error == nil {
				t.Fatalf("%s: error %v, task is %s, %+v; want failed", row.name, err, task.State, task.Error)
			}
			if task.Error.Code != row.code || !strings.Contains(task.Error.Description, row.words) {
				t.Errorf("%s: task says %q (%s), want %q (%s)", row.name, task.Error.Description, task.Error.Code,
					row.words, row.code)
			}
			b.undone(repo, 1, digests(three()))
			up.breaks(bad, nil)
			if diff := cmp.Diff(digests(up.files), b.paths(b.sync(v))); diff != "" {
				t.Errorf("%s: files after a sync that works (-want +got):\n%s", row.name, diff)
			}
		}
		b.sound()
	})
}

// TestNextURL takes the second source if the first has nothing good.
func TestNextURL(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		empty, up := serve(t, nil), serve(t, map[string]string{"a": "aaa"})
		dc := up.unit(b.remote("up", up.URL, models.Immediate), "a")
		da := dc.Artifacts[0]
		da.URLs = append([]string{empty.URL + "/a"}, da.URLs...)
		v := b.sync(stages.DeclarativeVersion{Repository: b.repo("r"), First: put(dc)})
		if diff := cmp.Diff(digests(up.files), b.paths(v)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	})
}

// TestFailureInEveryStage mirrors with a failure behind each of the stages, after the first units have passed it.
func TestFailureInEveryStage(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.Immediate)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: true})
		up.files = map[string]string{}
		for i := range 20 {
			up.files[fmt.Sprintf("new-%02d", i)] = fmt.Sprint("new", i)
		}
		for at := range 9 {
			for name, fail := range map[string]func(stop func()) error{
				"error":  func(func()) error { return errTest },
				"panic":  func(func()) error { panic("the test's own panic") },
				"cancel": func(stop func()) error { stop(); return nil },
			} {
				var stopped atomic.Pointer[context.CancelCauseFunc]
				v := stages.DeclarativeVersion{
					Repository: repo, First: up.all(remote), Mirror: true,
					Pipeline: func(env *tasking.Env, v *models.NewVersion, mirror bool) []stages.Stage {
						line := stages.StockStages(env, v, mirror)
						saboteur := failing(true, 10, 0, false, func() error {
							return fail(func() { (*stopped.Load())(errTest) })
						})
						return append(line[:at:at], append([]stages.Stage{saboteur}, line[at:]...)...)
					},
				}
				_, err := b.do(func(ctx context.Context, env *tasking.Env) error {
					ctx, stop := context.WithCancelCause(ctx)
					defer stop(nil)
					stopped.Store(&stop)
					made, _, err := v.Create(ctx, env)
					if made != nil {
						return fmt.Errorf("version %d was made", made.Number)
					}
					return err
				})
				if err == nil || name != "panic" && !errors.Is(err, errTest) {
					t.Errorf("%s behind stage %d: Create() = %v", name, at, err)
				}
			}
		}
		b.undone(repo, 1, digests(three()))
	})
}

// TestFailureOfTheFirstStage is a plugin whose metadata breaks off, or that fails before it has put anything.
func TestFailureOfTheFirstStage(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.OnDemand)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: true})
		for n := range 3 {
			_, task, err := b.trySync(stages.DeclarativeVersion{
				Repository: repo, Mirror: true,
				First: failing(true, n, 3, true, func() error {
					return pulperr.Public(pulperr.Invalid, "line %d is odd", n)
				}),
			})
			if want := fmt.Sprintf("line %d is odd", n); err == nil || task.Error == nil || task.Error.Description != want {
				t.Errorf("error %v, task says %+v, want %q", err, task.Error, want)
			}
		}
		if _, _, err := b.trySync(stages.DeclarativeVersion{Repository: repo}); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("Create() without a first stage = %v, want Invalid", err)
		}
		b.undone(repo, 1, digests(three()))
	})
}

// TestFaultyStore lets the store refuse, at each step of writing.
func TestFaultyStore(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		var left atomic.Int64
		left.Store(1 << 40)
		b := setup(t, url, func(_ *models.DBOptions, o *storage.Options) {
			o.Intercept = func(context.Context, storage.Op, string) error {
				if left.Add(-1) < 0 {
					return errTest
				}
				return nil
			}
		})
		up, repo := serve(t, three()), b.repo("r")
		v := stages.DeclarativeVersion{
			Repository: repo, First: up.all(b.remote("up", up.URL, models.Immediate)), Mirror: true,
		}
		failures := 0
		for n := int64(0); ; n++ {
			left.Store(n)
			made, task, err := b.trySync(v)
			left.Store(1 << 40)
			if err == nil {
				if made == nil {
					t.Error("no version was made")
				}
				break
			}
			failures++
			if task.Error == nil || task.Error.Description == "" || !errors.Is(err, pulperr.Unavailable) {
				t.Errorf("after %d operations: %v, task says %+v", n, err, task.Error)
			}
			b.undone(repo, 0, map[string]string{})
		}
		if failures == 0 {
			t.Error("the store never failed")
		}
		b.undone(repo, 1, digests(three()))
	})
}

func TestForbiddenDigest(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		now, later := b.remote("now", up.URL, models.Immediate), b.remote("later", up.URL, models.OnDemand)
		md5 := hashlib.Digests{MD5: strings.Repeat("0", 32)}
		both := hashlib.SHA256Hex(sum("aaa"))
		both.MD5 = md5.MD5
		for _, row := range []struct {
			name    string
			remote  *Remote
			digests hashlib.Digests
			wantErr bool
		}{
			{"immediate, only md5", now, md5, true},
			{"immediate, also md5", now, both, true},
			{"deferred, only md5", later, md5, true},
			{"deferred, also md5", later, both, false}, // it is kept without the md5
			{"deferred, none", later, hashlib.Digests{}, false},
		} {
			dc := up.unit(row.remote, "a")
			dc.Artifacts[0].Artifact.Digests = row.digests
			repo := b.repo(row.name)
			_, task, err := b.trySync(stages.DeclarativeVersion{Repository: repo, First: put(dc)})
			if (err != nil) != row.wantErr {
				t.Errorf("%s: error %v, want one: %v", row.name, err, row.wantErr)
			}
			if row.wantErr && (task.Error == nil || task.Error.Code != "PLP0020" ||
				!strings.Contains(task.Error.Description, `"md5" is not in ALLOWED_CONTENT_CHECKSUMS`)) {
				t.Errorf("%s: task says %+v, want PLP0020", row.name, task.Error)
			}
			n, err := b.db.Bun().NewSelect().TableExpr("core_remoteartifact").Where("md5 IS NOT NULL").Count(t.Context())
			if err != nil || n != 0 {
				t.Errorf("%s: %d remote artifacts with md5, %v", row.name, n, err)
			}
		}
		b.sound()
	})
}

func TestTwoUnitsInOnePlace(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.OnDemand)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote)})
		clash := put(declare(remote, up.URL, "x", "1"), declare(remote, up.URL, "x", "2"))
		_, task, err := b.trySync(stages.DeclarativeVersion{Repository: repo, First: clash, Mirror: true})
		if err == nil || task.Error == nil || task.Error.Code != "PLP0022" ||
			!strings.Contains(task.Error.Description, "relative_path (x)") {
			t.Errorf("error %v, task says %+v, want PLP0022 that names the path", err, task.Error)
		}
		b.undone(repo, 1, digests(three()))
	})
}

// TestDeclaredOtherwise declares a file that the store has with another size or another second digest. The download
// finds out what is right.
func TestDeclaredOtherwise(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		remote := b.remote("up", up.URL, models.Immediate)
		b.sync(stages.DeclarativeVersion{Repository: b.repo("r"), First: up.all(remote)})
		for code, spoil := range map[string]func(a *models.Artifact){
			"PLP0004": func(a *models.Artifact) { a.Size = 4 },
			"PLP0003": func(a *models.Artifact) { a.SHA512 = strings.Repeat("0", 128) },
		} {
			dc := up.unit(remote, "a")
			spoil(dc.Artifacts[0].Artifact)
			repo := b.repo(code)
			_, task, err := b.trySync(stages.DeclarativeVersion{Repository: repo, First: put(dc)})
			if err == nil || task.Error == nil || task.Error.Code != code {
				t.Errorf("error %v, task says %+v, want %s", err, task.Error, code)
			}
			b.undone(repo, 0, map[string]string{})
		}
	})
}

// TestLeaveOut syncs what is good of a source that is not, because the plugin says so.
func TestLeaveOut(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, three())
		up.breaks("c", http.NotFound)
		remote := b.remote("up", up.URL, models.Immediate)
		var left atomic.Int64
		v := stages.DeclarativeVersion{
			Repository: b.repo("r"), Mirror: true,
			First: stages.Func(func(ctx context.Context, in *stages.In, out *stages.Out) error {
				bad := up.unit(remote, "c")
				if err := out.Put(ctx, bad); err != nil {
					return err
				}
				if _, err := bad.Resolution(ctx); !errors.Is(err, pulperr.NotFound) {
					return fmt.Errorf("Resolution() of what is left out = %w, want NotFound", err)
				}
				return up.all(remote)(ctx, in, out)
			}),
			OnError: func(_ context.Context, dc *stages.DeclarativeContent, err error) error {
				if errors.Is(err, pulperr.NotFound) && dc.Content.(*File).Path == "c" {
					left.Add(1)
					return nil
				}
				return err
			},
		}
		want := digests(three())
		delete(want, "c")
		if diff := cmp.Diff(want, b.paths(b.sync(v))); diff != "" || left.Load() != 2 {
			t.Errorf("%d left out; files (-want +got):\n%s", left.Load(), diff)
		}
		up.breaks("a.txt", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		v.Repository = b.repo("r2")
		b.sync(v) // a.txt is in the store already
		up.files["new"] = "new"
		up.breaks("new", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		if _, task, err := b.trySync(v); !errors.Is(err, pulperr.Unavailable) || task.State != models.Failed {
			t.Errorf("error %v, task is %s, want the failure that OnError returns", err, task.State)
		}
		b.sound()
	})
}

// panickingRemote is a remote of a plugin that goes wrong when it is used.
type panickingRemote struct{ models.AnyRemote }

func (panickingRemote) AsRemote() *models.Remote { panic("the test's own panic") }

// TestPanicsOfDownloads has what belongs to a plugin panic in the goroutines that download.
func TestPanicsOfDownloads(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.Immediate)
		up.breaks("c", http.NotFound)
		for name, v := range map[string]stages.DeclarativeVersion{
			"OnError": {OnError: func(context.Context, *stages.DeclarativeContent, error) error { panic("the test's own panic") }},
			"a remote": {First: stages.Func(func(ctx context.Context, _ *stages.In, out *stages.Out) error {
				dc := up.unit(remote, "a.txt")
				dc.Artifacts[0].Remote = panickingRemote{remote}
				return out.Put(ctx, dc)
			})},
		} {
			v.Repository = repo
			if v.First == nil {
				v.First = up.all(remote)
			}
			_, task, err := b.trySync(v)
			if err == nil || !strings.Contains(err.Error(), "the test's own panic") || task.State != models.Failed {
				t.Errorf("a panic of %s: error %v, task is %s, want it to fail", name, err, task.State)
			}
		}
		b.sound()
	})
}

// TestFirstFailureStopsTheOthers is a unit of two files: one never ends, the other fails.
func TestFirstFailureStopsTheOthers(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"slow": "slow", "bad": "bad"})
		began := make(chan struct{})
		up.breaks("slow", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = w.Write([]byte("s"))
			_ = http.NewResponseController(w).Flush()
			close(began)
			<-r.Context().Done()
		})
		up.breaks("bad", func(w http.ResponseWriter, _ *http.Request) {
			<-began
			w.WriteHeader(http.StatusNotFound)
		})
		remote := b.remote("up", up.URL, models.Immediate)
		dc := &stages.DeclarativeContent{Content: &Pack{Name: "p"}, Artifacts: []*stages.DeclarativeArtifact{
			artifact(remote, up.URL, "slow", "slow"), artifact(remote, up.URL, "bad", "bad"),
		}}
		_, task, err := b.trySync(stages.DeclarativeVersion{Repository: b.repo("r"), First: put(dc)})
		if !errors.Is(err, pulperr.NotFound) || !strings.Contains(task.Error.Description, " answered 404") {
			t.Errorf("error %v, task says %+v", err, task.Error)
		}
		b.sound()
	})
}

// TestCanceledTask cancels a task while it downloads.
func TestCanceledTask(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, map[string]string{"slow": "slow"}), b.repo("r")
		began := make(chan struct{})
		up.breaks("slow", func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
		})
		v := stages.DeclarativeVersion{Repository: repo, First: up.all(b.remote("up", up.URL, models.Immediate))}
		id := b.dispatch(func(ctx context.Context, env *tasking.Env) error {
			_, _, err := v.Create(ctx, env)
			if !errors.Is(err, tasking.ErrCanceled) {
				t.Errorf("Create() = %v, want the cause of the cancellation", err)
			}
			return err
		})
		done := make(chan error, 1)
		go func() { done <- b.worker().RunPending(t.Context()) }()
		<-began
		_, err := b.queue.Cancel(t.Context(), id)
		must(t, err)
		must(t, <-done)
		task, err := b.queue.Get(t.Context(), id)
		must(t, err)
		if task.State != models.Canceled {
			t.Errorf("task is %s, want canceled", task.State)
		}
		b.undone(repo, 0, map[string]string{})
	})
}

package stages_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

func three() map[string]string { return map[string]string{"a.txt": "aaa", "b/b.txt": "bb", "c": "c"} }

func digests(files map[string]string) map[string]string {
	out := map[string]string{}
	for path, body := range files {
		out[path] = sum(body)
	}
	return out
}

func TestPolicies(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, total := serve(t, nil), 0
		for _, policy := range []models.Policy{models.Streamed, models.OnDemand, models.Immediate} {
			up.files = map[string]string{"a.txt": string(policy), "b/b.txt": string(policy) + "b", "c": string(policy) + "c"}
			remote := b.remote(string(policy), up.URL, policy)
			v := b.sync(stages.DeclarativeVersion{Repository: b.repo(string(policy)), First: up.all(remote)})
			if v == nil || v.Number != 1 {
				t.Fatalf("%s: Create() = %+v, want version 1", policy, v)
			}
			if diff := cmp.Diff(digests(up.files), b.paths(v)); diff != "" {
				t.Errorf("%s: files (-want +got):\n%s", policy, diff)
			}
			if policy == models.Immediate {
				total = 3
			}
			if n := b.count("core_artifact"); n != total || up.requests() != total {
				t.Errorf("%s: %d artifacts after %d requests, want %d", policy, n, up.requests(), total)
			}
			b.checkRemoteArtifacts(up, remote, up.files)
		}
		b.sound()
	})
}

// checkRemoteArtifacts fails the test unless the files, and no others, are recorded as the remote's.
func (b *bench) checkRemoteArtifacts(up *upstream, remote *Remote, files map[string]string) {
	b.t.Helper()
	var rows []struct {
		models.RemoteArtifact
		Path string `bun:"relative_path"`
	}
	must(b.t, b.db.Bun().NewSelect().TableExpr("core_remoteartifact AS ra").ColumnExpr("ra.*, ca.relative_path").
		Join("JOIN core_contentartifact AS ca ON ca.pulp_id = ra.content_artifact_id").
		Where("ra.remote_id = ?", remote.ID).Scan(b.t.Context(), &rows))
	if len(rows) != len(files) {
		b.t.Errorf("%d remote artifacts, want %d", len(rows), len(files))
	}
	for _, ra := range rows {
		body, want := files[ra.Path], artifact(remote, up.URL, ra.Path, "")
		if ra.URL != want.URLs[0] || ra.SHA256 != sum(body) || ra.Size == nil || *ra.Size != int64(len(body)) {
			b.t.Errorf("remote artifact of %q = %s, %s, %v", ra.Path, ra.URL, ra.SHA256, ra.Size)
		}
	}
}

func TestResyncOfTheSame(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.Immediate)
		for _, mirror := range []bool{false, true} {
			v := stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: mirror}
			if made := b.sync(v); (made == nil) == !mirror {
				t.Fatalf("Create() = %+v, mirror %v", made, mirror)
			}
		}
		if n := b.latest(repo).Number; n != 1 || up.requests() != 3 {
			t.Errorf("latest version is %d after %d requests, want 1 after 3", n, up.requests())
		}
		b.sound()
	})
}

func TestMirrorAndAdditive(t *testing.T) {
	for _, mirror := range []bool{false, true} {
		t.Run(fmt.Sprint("mirror ", mirror), func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				up, repo := serve(t, three()), b.repo("r")
				remote := b.remote("up", up.URL, models.Immediate)
				sync := func() *models.RepositoryVersion {
					return b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: mirror})
				}
				sync()
				up.files = map[string]string{"a.txt": "aaa", "c": "other", "d": "d"}
				want := digests(up.files)
				if !mirror {
					want["b/b.txt"] = sum("bb")
				}
				if diff := cmp.Diff(want, b.paths(sync())); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
				up.files = nil // all gone, and honestly so
				v := sync()
				if mirror && (v == nil || len(b.paths(v)) != 0) || !mirror && v != nil {
					t.Errorf("version from an empty source: %+v", v)
				}
				b.sound()
			})
		})
	}
}

// TestFromDeferredToImmediate downloads what units that exist lack.
func TestFromDeferredToImmediate(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.OnDemand)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote)})
		remote.Policy = models.Immediate
		must(t, remotes.Update(t.Context(), b.db, remote, "policy"))
		v := b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: true})
		if v != nil {
			t.Errorf("version %d though no unit changed", v.Number)
		}
		n, err := b.db.Bun().NewSelect().TableExpr("core_contentartifact").Where("artifact_id IS NULL").Count(t.Context())
		must(t, err)
		if n != 0 || b.count("core_artifact") != 3 || b.count("core_contentartifact") != 3 {
			t.Errorf("%d files have no artifact, %d artifacts", n, b.count("core_artifact"))
		}
		// And back: what is there stays there.
		remote.Policy = models.OnDemand
		b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: true})
		if diff := cmp.Diff(digests(three()), b.paths(b.latest(repo))); diff != "" || up.requests() != 3 {
			t.Errorf("%d requests; files (-want +got):\n%s", up.requests(), diff)
		}
		b.sound()
	})
}

func TestChangedURL(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		old, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", old.URL, models.OnDemand)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: old.all(remote)})
		moved := serve(t, three())
		b.sync(stages.DeclarativeVersion{Repository: repo, First: moved.all(remote)})
		b.checkRemoteArtifacts(moved, remote, three())
	})
}

func TestOneUnitOfTwoRemotes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, mirror := serve(t, three()), serve(t, three())
		one, two := b.remote("one", up.URL, models.OnDemand), b.remote("two", mirror.URL, models.OnDemand)
		b.sync(stages.DeclarativeVersion{Repository: b.repo("r1"), First: up.all(one)})
		b.sync(stages.DeclarativeVersion{Repository: b.repo("r2"), First: mirror.all(two)})
		b.checkRemoteArtifacts(up, one, three())
		b.checkRemoteArtifacts(mirror, two, three())
		if n := b.count("core_content"); n != 3 {
			t.Errorf("%d units, want 3", n)
		}
		// Both in one sync, the unit declared twice.
		both := stages.Func(func(ctx context.Context, in *stages.In, out *stages.Out) error {
			if err := up.all(one)(ctx, in, out); err != nil {
				return err
			}
			return mirror.all(two)(ctx, in, out)
		})
		v := b.sync(stages.DeclarativeVersion{Repository: b.repo("r3"), First: both, Mirror: true})
		if diff := cmp.Diff(digests(three()), b.paths(v)); diff != "" || b.count("core_remoteartifact") != 6 {
			t.Errorf("%d remote artifacts; files (-want +got):\n%s", b.count("core_remoteartifact"), diff)
		}
	})
}

// TestFoundOnDisk syncs on demand what an immediate sync has downloaded before.
func TestFoundOnDisk(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, three())
		now, later := b.remote("now", up.URL, models.Immediate), b.remote("later", up.URL, models.OnDemand)
		b.sync(stages.DeclarativeVersion{Repository: b.repo("r1"), First: up.all(now)})
		other := up.unit(later, "a.txt") // the same bytes in another unit
		other.Content, other.Artifacts[0].RelativePath = &Pack{Name: "p"}, "p"
		b.sync(stages.DeclarativeVersion{Repository: b.repo("r2"), First: put(other)})
		n, err := b.db.Bun().NewSelect().TableExpr("core_contentartifact").Where("artifact_id IS NOT NULL").
			Count(t.Context())
		must(t, err)
		if n != 4 || up.requests() != 3 || b.count("core_artifact") != 3 {
			t.Errorf("%d files with bytes after %d requests, %d artifacts", n, up.requests(), b.count("core_artifact"))
		}
	})
}

func TestOddFiles(t *testing.T) {
	names := map[string]string{
		"with space.txt": "1", "100%41.txt": "2", "100%.txt": "3", "what?.txt": "4", "a#b.txt": "5", "ü/中文/😀.bin": "6",
		"a&b=c;d.txt": "7", "colon:in/first": "8", "+plus+": "9", "quo'te\".txt": "10", `back\slash`: "11",
		"...": "12", "dir./x": "13", "zero": "", "also zero": "", "twin": "aaa", "other twin": "aaa",
	}
	for _, policy := range []models.Policy{models.Immediate, models.OnDemand} {
		t.Run(string(policy), func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				up := serve(t, names)
				v := b.sync(stages.DeclarativeVersion{
					Repository: b.repo("r"), First: up.all(b.remote("up", up.URL, policy)), Mirror: true,
				})
				if diff := cmp.Diff(digests(names), b.paths(v)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
				if policy == models.Immediate && b.count("core_artifact") != len(names)-2 {
					t.Errorf("%d artifacts, want %d: equal files share one", b.count("core_artifact"), len(names)-2)
				}
				b.sound()
			})
		})
	}
}

func TestDeclaredTwice(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa", "b": "b"})
		for i, policy := range []models.Policy{models.OnDemand, models.Immediate} {
			remote := b.remote(fmt.Sprint("up", i), up.URL, policy)
			v := b.sync(stages.DeclarativeVersion{
				Repository: b.repo(fmt.Sprint("r", i)), Mirror: true,
				First: put(up.unit(remote, "a"), up.unit(remote, "b"), up.unit(remote, "a"), up.unit(remote, "a")),
			})
			if diff := cmp.Diff(digests(up.files), b.paths(v)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		}
		if n := b.count("core_contentartifact"); n != 2 {
			t.Errorf("%d content artifacts, want 2", n)
		}
		b.sound()
	})
}

func TestUnitOfManyFiles(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, nil)
		pack := func(remote *Remote) *stages.DeclarativeContent {
			dc := &stages.DeclarativeContent{Content: &Pack{Name: "p"}}
			for path, body := range up.files {
				dc.Artifacts = append(dc.Artifacts, artifact(remote, up.URL, path, body))
			}
			return dc
		}
		for i := range 450 { // more than a batch of rows
			up.files[fmt.Sprintf("pack/%03d", i)] = fmt.Sprint(i)
		}
		later := b.remote("later", up.URL, models.OnDemand)
		v := b.sync(stages.DeclarativeVersion{Repository: b.repo("r"), First: put(pack(later))})
		if counts, err := v.Counts(t.Context(), b.db); err != nil || counts["test.pack"].Present != 1 {
			t.Errorf("units: %+v, %v, want 1", counts, err)
		}
		up.files["pack/new"] = "a file that was added to the unit"
		b.sync(stages.DeclarativeVersion{
			Repository: b.repo("r2"), First: put(pack(b.remote("now", up.URL, models.Immediate))),
		})
		if diff := cmp.Diff(digests(up.files), b.paths(v)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		if n := b.count("core_artifact"); n != 451 {
			t.Errorf("%d artifacts, want 451", n)
		}
		b.sound()
	})
}

// TestMetadataThatNamesMore is a first stage that waits for a unit, reads its bytes and declares what they name, three
// levels deep: the files of each level are listed in one of the level above.
func TestMetadataThatNamesMore(t *testing.T) {
	for _, depth := range []int{1, 500} {
		t.Run(fmt.Sprint("depth ", depth), func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				up := serve(t, map[string]string{"top": "mid1 mid2 mid3"})
				for i := 1; i <= 3; i++ {
					up.files[fmt.Sprint("mid", i)] = fmt.Sprintf("leaf%d leaf%d", 2*i, 2*i+1)
					up.files[fmt.Sprint("leaf", 2*i)], up.files[fmt.Sprint("leaf", 2*i+1)] = fmt.Sprint(i), "x"
				}
				remote := b.remote("up", up.URL, models.Immediate)
				v := b.sync(stages.DeclarativeVersion{
					Repository: b.repo("r"), Depth: depth, Mirror: true, First: discover{b, up, remote},
				})
				if diff := cmp.Diff(digests(up.files), b.paths(v)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			})
		})
	}
}

type discover struct {
	b      *bench
	up     *upstream
	remote *Remote
}

func (d discover) Run(ctx context.Context, _ *stages.In, out *stages.Out) error {
	names := []string{"top"}
	for level := range 3 {
		var units []*stages.DeclarativeContent
		for _, name := range names {
			dc := d.up.unit(d.remote, name)
			if err := out.Put(ctx, dc); err != nil {
				return err
			}
			units = append(units, dc)
		}
		names = nil
		if level == 2 {
			return nil
		}
		for _, dc := range units {
			saved, err := dc.Resolution(ctx)
			if err != nil {
				return err
			}
			if saved.PulpID() == uuid.Nil {
				return fmt.Errorf("the unit %+v is not saved", saved)
			}
			body, err := d.read(ctx, dc.Artifacts[0].Artifact)
			if err != nil {
				return err
			}
			names = append(names, body...)
		}
	}
	return nil
}

func (d discover) read(ctx context.Context, a *models.Artifact) (words []string, err error) {
	r, err := d.b.store.Open(ctx, a.Key())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		var w string
		if _, err := fmt.Fscan(r, &w); err != nil {
			return words, nil //nolint:nilerr // the end of the words
		}
		words = append(words, w)
	}
}

// TestKeepsPluginFields checks that an existing unit is what comes out, with the fields that were saved first.
func TestKeepsPluginFields(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, map[string]string{"a": "aaa"})
		remote := b.remote("up", up.URL, models.OnDemand)
		var ids []uuid.UUID
		for i, note := range []string{"first", "second"} {
			dc := up.unit(remote, "a")
			dc.Content.(*File).Note = note
			b.sync(stages.DeclarativeVersion{Repository: b.repo(fmt.Sprint("r", i)), First: put(dc)})
			if got := dc.Content.(*File).Note; got != "first" {
				t.Errorf("note of the unit = %q, want that of the saved one", got)
			}
			ids = append(ids, dc.Content.PulpID())
		}
		if ids[0] != ids[1] {
			t.Errorf("two units %v for one natural key", ids)
		}
	})
}

// TestProgress checks what a task reports.
func TestProgress(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.Immediate)
		b.sync(stages.DeclarativeVersion{Repository: repo, First: up.all(remote)})
		delete(up.files, "c")
		task, err := b.do(func(ctx context.Context, env *tasking.Env) error {
			v := stages.DeclarativeVersion{Repository: repo, First: up.all(remote), Mirror: true}
			_, _, err := v.Create(ctx, env)
			return err
		})
		must(t, err)
		reports, err := inspect.ProgressReports(t.Context(), b.queue.DB(), task.ID)
		must(t, err)
		got := map[string]int64{}
		for _, r := range reports {
			if r.State != models.Completed {
				t.Errorf("report %s is %s", r.Code, r.State)
			}
			got[r.Code] = r.Done
		}
		want := map[string]int64{
			"sync.downloading.artifacts": 0, "associating.content": 0, "unassociating.content": 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
		made, err := inspect.CreatedResources(t.Context(), b.queue.DB(), task.ID)
		must(t, err)
		if want := models.CorePRN("repositoryversion", b.latest(repo).ID); len(made) != 1 || made[0].PRN != want {
			t.Errorf("created resources = %+v, want %s", made, want)
		}
	})
}

// TestAfterHook lets a plugin save rows of its own with the units, in their transaction.
func TestAfterHook(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up, repo := serve(t, three()), b.repo("r")
		remote := b.remote("up", up.URL, models.OnDemand)
		seen := map[string]bool{}
		var fail error
		v := stages.DeclarativeVersion{
			Repository: repo, First: up.all(remote),
			Pipeline: func(env *tasking.Env, v *models.NewVersion, mirror bool) []stages.Stage {
				line := stages.StockStages(env, v, mirror)
				for _, s := range line {
					if s, ok := s.(*stages.ContentSaver); ok {
						s.After = func(ctx context.Context, tx *models.Tx, batch []*stages.DeclarativeContent) error {
							for _, dc := range batch {
								f, err := files.Get(ctx, tx.DB, models.Ref[File]{ID: dc.Content.PulpID()})
								if err != nil {
									return err
								}
								seen[f.Path] = true
							}
							return fail
						}
					}
				}
				return line
			},
		}
		fail = errTest
		if _, task, err := b.trySync(v); err == nil || task.State != models.Failed || b.count("core_content") != 0 {
			t.Errorf("error %v, task %s, %d units; the hook's failure must undo the batch", err, task.State,
				b.count("core_content"))
		}
		fail = nil
		b.sync(v)
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"a.txt", "b/b.txt", "c"}) {
			t.Errorf("the hook saw %q", got)
		}
		b.sound()
	})
}

// TestAfterHookRunsAgain lets the database choose the hook's transaction as the victim of a deadlock, twice.
func TestAfterHookRunsAgain(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		up := serve(t, three())
		remote := b.remote("up", up.URL, models.OnDemand)
		calls := 0
		v := b.sync(stages.DeclarativeVersion{
			Repository: b.repo("r"), First: up.all(remote),
			Pipeline: func(env *tasking.Env, v *models.NewVersion, mirror bool) []stages.Stage {
				line := stages.StockStages(env, v, mirror)
				for _, s := range line {
					if s, ok := s.(*stages.ContentSaver); ok {
						s.After = func(context.Context, *models.Tx, []*stages.DeclarativeContent) error {
							if calls++; calls <= 2 {
								return &pgconn.PgError{Code: "40P01"}
							}
							return nil
						}
					}
				}
				return line
			},
		})
		if diff := cmp.Diff(digests(three()), b.paths(v)); diff != "" || calls != 3 {
			t.Errorf("%d calls; files (-want +got):\n%s", calls, diff)
		}
		b.sound()
	})
}

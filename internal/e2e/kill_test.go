package e2e_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
)

// The environment that makes the test binary the program that is killed.
const (
	killDir      = "PULP_TEST_KILL_DIR"
	killDB       = "PULP_TEST_KILL_DB"
	killUpstream = "PULP_TEST_KILL_UPSTREAM"
)

func killSettings(dir, db string) (*settings.Set, error) {
	return quiet(dir, settings.Value("DATABASE_URL", db), settings.Value("WORKER_TTL", 2))
}

// killedProgram syncs and publishes in a loop until it is killed. It says "cycle" after each round.
func killedProgram(ctx context.Context) error {
	set, err := killSettings(os.Getenv(killDir), os.Getenv(killDB))
	if err != nil {
		return err
	}
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	if err != nil {
		return err
	}
	return pulpcore.RunAll(ctx,
		func(ctx context.Context) error { return app.Work(ctx, 2) },
		func(ctx context.Context) error {
			remote, repo, err := killRows(ctx, app)
			for err == nil {
				if err = killCycle(ctx, app, remote, repo); err == nil {
					fmt.Println("cycle")
				}
			}
			return err
		})
}

func killRows(ctx context.Context, app *pulpcore.App) (*file.Remote, *file.Repository, error) {
	remote, err := file.Remotes.One(ctx, app.DB(), models.Eq("name", "up"))
	if errors.Is(err, pulperr.NotFound) {
		remote = &file.Remote{Remote: models.Remote{Name: "up"}}
		err = file.Remotes.Create(ctx, app.DB(), remote)
	}
	if err != nil {
		return nil, nil, err
	}
	remote.URL = os.Getenv(killUpstream) + "/PULP_MANIFEST"
	if err := file.Remotes.Update(ctx, app.DB(), remote, "url"); err != nil {
		return nil, nil, err
	}
	repo, err := file.Repositories.One(ctx, app.DB(), models.Eq("name", "repo"))
	if errors.Is(err, pulperr.NotFound) {
		repo = &file.Repository{Repository: models.Repository{Name: "repo"}}
		err = file.Repositories.Create(ctx, app.DB(), repo)
	}
	return remote, repo, err
}

func killCycle(ctx context.Context, app *pulpcore.App, remote *file.Remote, repo *file.Repository) error {
	args := file.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo), Mirror: true}
	ticket, err := file.Sync.Dispatch(ctx, app.Queue(), args, nil)
	if err != nil {
		return err
	}
	if _, err := app.Queue().Wait(ctx, ticket.TaskID); err != nil {
		return err
	}
	version, err := models.LatestVersion(ctx, app.DB(), repo.ID)
	if err != nil {
		return err
	}
	publish, err := stages.NewPublishArgs(ctx, app.DB(), version, file.Publication{Manifest: new("PULP_MANIFEST")})
	if err != nil {
		return err
	}
	if ticket, err = file.Publish.Dispatch(ctx, app.Queue(), publish, nil); err != nil {
		return err
	}
	_, err = app.Queue().Wait(ctx, ticket.TaskID)
	return err
}

// killedUpstream serves another set of files at every request for its manifest.
type killedUpstream struct {
	generation atomic.Int64
	asked      chan struct{} // gets a value at every request for the manifest, if there is room
}

const killedFiles = 40

// body returns file i of a generation. Two thirds of the files stay as they were.
func (u *killedUpstream) body(generation, i int64) string {
	if i%3 == 0 {
		return strings.Repeat(fmt.Sprintf("%d of %d\n", i, generation), int(i)*20+1)
	}
	return strings.Repeat(fmt.Sprintf("%d\n", i), int(i)*20+1)
}

func (u *killedUpstream) manifest(generation int64) map[string]string {
	m := map[string]string{}
	for i := generation % 5; i < killedFiles; i++ { // some come and go
		sum := sha256.Sum256([]byte(u.body(generation, i)))
		m[fmt.Sprintf("dir/%d.txt", i)] = hex.EncodeToString(sum[:])
	}
	return m
}

func (u *killedUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/PULP_MANIFEST") {
		g := u.generation.Add(1)
		for path, sum := range u.manifest(g) {
			var i int64
			_, _ = fmt.Sscanf(path, "dir/%d.txt", &i)
			fmt.Fprintf(w, "%s,%s,%d\n", path, sum, len(u.body(g, i)))
		}
		select {
		case u.asked <- struct{}{}:
		default:
		}
		return
	}
	var i int64
	_, _ = fmt.Sscanf(r.URL.Path, "/dir/%d.txt", &i)
	fmt.Fprint(w, u.body(u.generation.Load(), i))
}

// kills is how often a process is killed on each of the lanes below: on three at least, so 51 times or more.
const kills = 17

func TestKillDuringSyncAndPublish(t *testing.T) {
	for lane := range 3 {
		t.Run(fmt.Sprintf("sqlite %d", lane+1), func(t *testing.T) {
			t.Parallel()
			killOften(t, "sqlite:"+t.TempDir()+"/pulp.db", kills)
		})
	}
	for _, db := range dbtest.URLs(t) {
		if db.Name == "postgres" {
			t.Run("postgres", func(t *testing.T) {
				t.Parallel()
				killOften(t, db.URL, kills)
			})
		}
	}
}

func killOften(t *testing.T, db string, times int) {
	dir := t.TempDir()
	up := &killedUpstream{asked: make(chan struct{}, 1)}
	srv := httptest.NewServer(up)
	t.Cleanup(srv.Close)
	for n := 1; n <= times; n++ {
		child := startKilled(t, dir, db, srv.URL)
		select {
		case <-up.asked:
		case <-child.ended:
			t.Fatalf("run %d: the program ended by itself: %s", n, child.stderr.String())
		case <-time.After(time.Minute):
			t.Fatalf("run %d: no sync began within a minute", n)
		}
		if n%8 == 0 || n == times { // the job can be run again, to its end
			select {
			case <-child.cycles:
			case <-child.ended:
				t.Fatalf("run %d: the program ended by itself: %s", n, child.stderr.String())
			case <-time.After(time.Minute):
				t.Fatalf("run %d: no sync and publish ended within a minute", n)
			}
		}
		<-time.After(rand.N(400 * time.Millisecond)) // a random point of the work, not a wait for something
		child.kill(t)
		select { // asked again in the meantime
		case <-up.asked:
		default:
		}
		checkAfterKill(t, dir, db, up)
		if t.Failed() {
			t.Fatalf("after kill %d", n)
		}
	}
}

type killedChild struct {
	cmd    *exec.Cmd
	cycles chan struct{}
	ended  chan struct{}
	stderr strings.Builder // complete once ended is closed
}

func startKilled(t *testing.T, dir, db, upstream string) *killedChild {
	t.Helper()
	c := &killedChild{cmd: exec.Command(os.Args[0]), cycles: make(chan struct{}, 1), ended: make(chan struct{})} //nolint:gosec // ourselves
	c.cmd.Env = append(os.Environ(), killDir+"="+dir, killDB+"="+db, killUpstream+"="+upstream)
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); <-c.ended })
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case c.cycles <- struct{}{}:
			default:
			}
		}
		_ = c.cmd.Wait()
	}()
	return c
}

func (c *killedChild) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v; stderr: %s", err, c.stderr.String())
	}
	<-c.ended
}

// checkAfterKill asserts what must hold at any moment, in particular after a kill.
func checkAfterKill(t *testing.T, dir, db string, up *killedUpstream) {
	t.Helper()
	ctx := t.Context()
	set, err := killSettings(dir, db)
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	if err != nil {
		t.Fatalf("Open after a kill: %v", err)
	}
	defer app.Close()
	checkBytes(ctx, t, app)
	repo, err := file.Repositories.One(ctx, app.DB(), models.Eq("name", "repo"))
	if err != nil {
		t.Fatalf("the repository is gone: %v", err)
	}
	versions, err := models.Versions(ctx, app.DB(), repo.ID, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		checkVersion(ctx, t, app, v, up)
	}
	if pub, err := models.LatestPublication(ctx, app.DB(), repo.ID, nil); err == nil && !pub.AsPublication().Complete {
		t.Errorf("publication %s is served and not complete", pub.PulpID())
	} else if err != nil && !errors.Is(err, pulperr.NotFound) {
		t.Errorf("LatestPublication: %v", err)
	}
}

// checkBytes asserts that every artifact's bytes are there and right.
func checkBytes(ctx context.Context, t *testing.T, app *pulpcore.App) {
	t.Helper()
	var rows []*models.Artifact
	if err := app.DB().Bun().NewSelect().Model(&rows).Scan(ctx); err != nil {
		t.Fatal(err)
	}
	for _, a := range rows {
		obj, err := app.Store().Digest(ctx, a.Key())
		if err != nil {
			t.Errorf("artifact %s: %v", a.SHA256, err)
		} else if err := a.Expect().Check(obj.Digests, obj.Size); err != nil {
			t.Errorf("artifact %s: %v", a.SHA256, err)
		}
	}
}

// checkVersion asserts that a version holds exactly one generation of the upstream, and that its counts are right.
func checkVersion(ctx context.Context, t *testing.T, app *pulpcore.App, v *models.RepositoryVersion, up *killedUpstream) {
	t.Helper()
	if !v.Complete {
		t.Errorf("version %d is visible and not complete", v.Number)
	}
	got := map[string]string{}
	for f, err := range v.Files(ctx, app.DB()) {
		if err != nil {
			t.Fatal(err)
		}
		got[f.RelativePath] = f.SHA256
	}
	counts, err := v.Counts(ctx, app.DB())
	if err != nil {
		t.Fatal(err)
	}
	if n := counts["file.file"].Present; n != int64(len(got)) {
		t.Errorf("version %d counts %d files and has %d", v.Number, n, len(got))
	}
	if v.Number == 0 {
		return
	}
	for g := up.generation.Load(); g > 0; g-- {
		if maps.Equal(got, up.manifest(g)) {
			return
		}
	}
	t.Errorf("version %d is no state that the upstream ever had: %d files", v.Number, len(got))
}

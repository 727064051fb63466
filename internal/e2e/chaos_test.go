package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking/inspect"
)

var chaosFor = flag.Duration("chaos", 4*time.Second, "how long TestChaos lets clients in on each database")

// The environment that makes the test binary a server of TestChaos.
const (
	chaosDir   = "PULP_TEST_CHAOS_DIR"
	chaosDB    = "PULP_TEST_CHAOS_DB"
	chaosRedis = "PULP_TEST_CHAOS_REDIS"
	chaosAddr  = "PULP_TEST_CHAOS_ADDR"

	chaosPassword = "not guessed"
	chaosTTL      = 2 // seconds
)

func chaosSettings(dir, db, redis string) (*settings.Set, error) {
	return quiet(dir, settings.Value("DATABASE_URL", db), settings.Value("REDIS_URL", redis),
		settings.Value("WORKER_TTL", chaosTTL), settings.Value("ALLOWED_HOSTS", []string{"127.0.0.1"}),
		settings.Value("REMOTE_CONTENT_FETCH_FAILURE_COOLDOWN", 0))
}

// chaosServer runs API, content app and workers until the parent process writes to its stdin, or kills it. It prints
// "ready" when it listens.
func chaosServer(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	set, err := chaosSettings(os.Getenv(chaosDir), os.Getenv(chaosDB), os.Getenv(chaosRedis))
	if err != nil {
		return err
	}
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	if err != nil {
		return err
	}
	defer app.Close()
	if _, err := app.CreateAdmin(ctx, chaosPassword); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", os.Getenv(chaosAddr))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return pulpcore.RunAll(ctx,
		func(ctx context.Context) error { return app.ServeOn(ctx, l, app.Handler()) },
		func(ctx context.Context) error { return app.Work(ctx, 3, "api", "content") },
		func(ctx context.Context) error { // until the parent says so
			_, err := bufio.NewReader(os.Stdin).ReadByte()
			if err == nil || ctx.Err() != nil {
				return nil
			}
			return err
		})
}

// TestChaos lets clients do what they like with servers that are killed at random, with SIGKILL, for as long as the
// flag -chaos says. Then the test waits until every task has ended, and asserts that no resource is reserved, that
// every artifact has its bytes, that clients got right bytes only, and that the stray sweep removes all other objects.
func TestChaos(t *testing.T) {
	for _, db := range dbtest.URLs(t) {
		t.Run(db.Name, func(t *testing.T) {
			t.Parallel()
			c := &chaos{t: t, dir: t.TempDir(), db: db.URL, up: &killedUpstream{asked: make(chan struct{}, 1)}}
			servers := 1 // SQLite belongs to one process
			if db.Name == "postgres" {
				servers, c.redis = 3, dbtest.RedisURL(t)
			}
			upstream := httptest.NewServer(c.up)
			t.Cleanup(upstream.Close)
			c.upstream = upstream.URL
			c.run(servers)
		})
	}
}

// chaos is one run, on one database.
type chaos struct {
	t                        *testing.T
	dir, db, redis, upstream string
	up                       *killedUpstream
	servers                  []*chaosProcess

	mu    sync.Mutex
	tasks []string // hrefs of accepted tasks
	done  map[string]int
}

func (c *chaos) run(servers int) {
	seed := rand.Uint64()
	c.t.Logf("seed %d", seed)
	for range servers {
		p := &chaosProcess{chaos: c, addr: freeAddr(c.t)}
		p.start()
		c.servers = append(c.servers, p)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { newChaosClient(c, seed+uint64(i)).run(ctx) })
	}
	kills := c.kill(rand.New(rand.NewPCG(seed, 0))) //nolint:gosec // no secret
	cancel()
	clients.Wait()
	newChaosClient(c, seed).settle()
	for _, p := range c.servers {
		p.stop()
	}
	c.check()
	c.t.Logf("%d kills, %d tasks, requests %v", kills, len(c.tasks), c.done)
}

// What must have happened before a run may end, in any time.
const (
	chaosKills = 4
	chaosTasks = 20
	chaosReads = 5
)

// kill kills a server now and then and starts it again, for the time of the flag and until enough has happened.
func (c *chaos) kill(random *rand.Rand) (n int) {
	began := time.Now()
	for ; ; n++ {
		pause := time.Duration(200+random.IntN(1800)) * time.Millisecond
		if n%4 == 3 { // the only server there is takes this long to find out that it died before
			pause += 3 * chaosTTL * time.Second
		}
		<-time.After(pause) // a random point of the work
		c.mu.Lock()
		enough := n >= chaosKills && len(c.tasks) >= chaosTasks && c.done["GET file"] >= chaosReads
		c.mu.Unlock()
		if took := time.Since(began); enough && took > *chaosFor {
			return n
		} else if !enough && took > *chaosFor+chaosPatience {
			c.t.Errorf("after %s the clients got to %d tasks, %v", took, len(c.tasks), c.done)
			return n
		}
		p := c.servers[random.IntN(len(c.servers))]
		p.kill()
		p.start()
	}
}

// check opens what is left.
func (c *chaos) check() {
	ctx := c.t.Context()
	set, err := chaosSettings(c.dir, c.db, c.redis)
	noError(c.t, err)
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	noError(c.t, err)
	defer app.Close()
	violations, err := inspect.Check(ctx, app.DB())
	noError(c.t, err)
	for _, v := range violations {
		c.t.Error(v)
	}
	checkBytes(ctx, c.t, app)
	noError(c.t, models.RemoveLeftovers(ctx, app.DB()))
	sweep := models.StraySweep{DB: app.DB(), Store: app.Store(), Before: models.Now()}
	stray, err := sweep.Run(ctx)
	noError(c.t, err)
	again, err := sweep.Run(ctx)
	if err != nil || again != 0 {
		c.t.Errorf("a second sweep removed %d of the store's objects, %v, after %d in the first", again, err, stray)
	}
	checkBytes(ctx, c.t, app)
	c.checkRepositories(ctx, app)
}

// checkRepositories compares every version with its counts, and looks for what is not complete.
func (c *chaos) checkRepositories(ctx context.Context, app *pulpcore.App) {
	repos, err := file.Repositories.List(ctx, app.DB())
	noError(c.t, err)
	for _, repo := range repos {
		versions, err := models.Versions(ctx, app.DB(), repo.ID, 10_000, 0)
		noError(c.t, err)
		for _, v := range versions {
			files := int64(0)
			for _, err := range v.Files(ctx, app.DB()) {
				noError(c.t, err)
				files++
			}
			counts, err := v.Counts(ctx, app.DB())
			noError(c.t, err)
			if n := counts["file.file"].Present; n != files || !v.Complete {
				c.t.Errorf("version %d of %s: complete: %v, counts %d files and has %d", v.Number, repo.Name, v.Complete, n, files)
			}
		}
		_, _, err = models.CreateVersion(ctx, app.DB(), repo, nil, func(v *models.NewVersion) error {
			_, err := v.RemoveAll(ctx)
			return err
		})
		if err != nil && !errors.Is(err, pulperr.NotFound) {
			c.t.Errorf("repository %s cannot be changed any more: %v", repo.Name, err)
		}
	}
	var incomplete int
	err = app.DB().Bun().NewRaw("SELECT COUNT(*) FROM core_publication WHERE NOT complete").Scan(ctx, &incomplete)
	if err != nil || incomplete > 0 {
		c.t.Errorf("%d publications were left half made, %v", incomplete, err)
	}
}

// chaosProcess is a server that is killed and started again under one address.
type chaosProcess struct {
	chaos  *chaos
	addr   string
	cmd    *exec.Cmd
	stdin  *os.File
	stderr *strings.Builder // complete once ended is closed
	ended  chan struct{}
}

func (p *chaosProcess) start() {
	t := p.chaos.t
	t.Helper()
	p.stderr, p.ended = new(strings.Builder), make(chan struct{})
	p.cmd = exec.Command(os.Args[0]) //nolint:gosec // ourselves
	p.cmd.Env = append(os.Environ(), chaosDir+"="+p.chaos.dir, chaosDB+"="+p.chaos.db, chaosRedis+"="+p.chaos.redis,
		chaosAddr+"="+p.addr)
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	noError(t, err)
	theirs, ours, err := os.Pipe()
	noError(t, err)
	p.cmd.Stdin, p.stdin = theirs, ours
	noError(t, p.cmd.Start())
	noError(t, theirs.Close())
	cmd, ended, ready := p.cmd, p.ended, make(chan struct{})
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		if lines.Scan() {
			close(ready)
		}
		for lines.Scan() {
		}
		_ = cmd.Wait()
	}()
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("the server did not start: %s", p.stderr)
	case <-time.After(time.Minute):
		t.Fatal("the server was not ready within a minute")
	}
}

func (p *chaosProcess) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.ended
	_ = p.stdin.Close()
	p.complaints()
}

// stop ends the server as it should end.
func (p *chaosProcess) stop() {
	_, _ = p.stdin.WriteString("end")
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.chaos.t.Error("a server does not end")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	_ = p.stdin.Close()
	p.complaints()
}

// complaints reports what must not be in the log of a server, whatever happens around it.
func (p *chaosProcess) complaints() {
	text := p.stderr.String()
	for _, bad := range []string{"panic", "DATA RACE", "is in use"} {
		if i := strings.Index(text, bad); i >= 0 {
			p.chaos.t.Errorf("a server says …%s…", text[max(0, i-500):min(len(text), i+2000)])
			return
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	noError(t, err)
	defer l.Close()
	return l.Addr().String()
}

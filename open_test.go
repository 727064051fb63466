package pulpcore_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/examples/minimal"
	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/secrets"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/stages"
	"github.com/pulpgo/pulpcore/storage"
	"github.com/pulpgo/pulpcore/tasking"
)

// quiet returns settings for a folder that log nothing but errors.
func quiet(dir string, more ...settings.Option) (*settings.Set, error) {
	return settings.Load(append([]settings.Option{
		settings.Value("DEPLOY_ROOT", dir),
		settings.Value("LOGGING", map[string]any{"root": map[string]any{"level": "ERROR"}}),
	}, more...)...)
}

func TestTwoServersStartAtOnceOnOneDatabase(t *testing.T) {
	t.Parallel()
	for _, db := range dbtest.URLs(t) {
		t.Run(db.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					set, err := quiet(dir, settings.Value("DATABASE_URL", db.URL))
					if err != nil {
						t.Error(err)
						return
					}
					app, err := pulpcore.Open(context.Background(), set, file.Plugin())
					if err != nil {
						t.Errorf("Open = %v", err)
						return
					}
					remote := &file.Remote{Remote: models.Remote{Name: models.NewID().String(), URL: "http://localhost/"}}
					remote.Password = secrets.NewEncryptedText("secret")
					if err := file.Remotes.Create(context.Background(), app.DB(), remote); err != nil {
						t.Error(err)
					}
					if err := app.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			// All four secrets can be read, so all four servers agreed on one key.
			set, err := quiet(dir, settings.Value("DATABASE_URL", db.URL))
			if err != nil {
				t.Fatal(err)
			}
			app, err := pulpcore.Open(t.Context(), set, file.Plugin())
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			remotes, err := file.Remotes.List(t.Context(), app.DB())
			if err != nil || len(remotes) != 4 {
				t.Errorf("List = %d remotes, %v, want 4", len(remotes), err)
			}
		})
	}
}

func TestOpenRefusesASchemaThatDoesNotFit(t *testing.T) {
	t.Parallel()
	set, err := quiet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.Open(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pulpcore.Open(t.Context(), set, file.Plugin()); !errors.Is(err, pulperr.Conflict) {
		t.Errorf("Open with a new plugin = %v, want kind Conflict", err)
	}
	if err := pulpcore.Migrate(t.Context(), set, file.Plugin()); err != nil {
		t.Fatalf("Migrate = %v", err)
	}
	app, err = pulpcore.Open(t.Context(), set, file.Plugin())
	if err != nil {
		t.Fatalf("Open after Migrate = %v", err)
	}
	_ = app.Close()
}

// TestStoreOfTheHost makes sure that an App closes a store that it was given, but not if it could not be opened.
func TestStoreOfTheHost(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, err := storage.Open(ctx, "mem://", nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := quiet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	opts := &pulpcore.Options{Store: store}
	// This fails late, when everything else is open already.
	nothing := func(*content.App) http.Handler { return nil }
	late := &pulpcore.Plugin{Name: "late", Version: "1", Content: []content.Route{{Pattern: "/late/", Mount: nothing}}}
	if _, err := pulpcore.OpenWith(ctx, set, opts, late); err == nil {
		t.Fatal("OpenWith with a route without a handler = nil error")
	}
	if err := store.Check(ctx); err != nil {
		t.Errorf("after OpenWith has failed, the host's store fails: %v", err)
	}
	if err := pulpcore.Migrate(ctx, set); err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.OpenWith(ctx, set, opts)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := app.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	wg.Wait()
	if err := store.Check(ctx); err == nil {
		t.Error("after Close the store that the App was given still works")
	}
}

func TestTasksReportToTheHostsProviders(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	set, err := quiet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	tracer, meter := trace.NewTracerProvider(trace.WithSyncer(spans)), metric.NewMeterProvider(metric.WithReader(reader))
	defer func() { _ = errors.Join(tracer.Shutdown(ctx), meter.Shutdown(ctx)) }()
	app, err := pulpcore.OpenWith(ctx, set, &pulpcore.Options{Tracer: tracer, Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	if _, err := tasking.Define[struct{}]("test.task").Dispatch(ctx, app.Queue(), struct{}{}, nil); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil || len(all.ScopeMetrics) != 1 {
		t.Errorf("Collect() = %v with %d scopes, want 1", err, len(all.ScopeMetrics))
	}
	if got := spans.GetSpans(); len(got) != 1 || got[0].Name != "task dispatch test.task" {
		t.Errorf("spans = %+v", got)
	}
}

func TestTwoAppsInOneProcess(t *testing.T) {
	t.Parallel()
	a, b := pulptest.New(t, file.Plugin()), pulptest.New(t, minimal.Plugin())
	for name, app := range map[string]*pulptest.App{"file": a, "note": b} {
		_, body := app.Get(t, "/pulp/api/v3/status/")
		if !strings.Contains(body, `"component":"`+name+`"`) || strings.Count(body, `"component"`) != 2 {
			t.Errorf("status of the App with %q = %s", name, body)
		}
	}
}

// TestStatusOfRedis has the Redis inside of the process, which clients must not take for a cache, and one outside.
func TestStatusOfRedis(t *testing.T) {
	t.Parallel()
	connected := func(app *pulptest.App) any {
		t.Helper()
		_, body := app.Get(t, "/pulp/api/v3/status/")
		var status struct {
			Redis map[string]any `json:"redis_connection"`
		}
		if err := json.Unmarshal([]byte(body), &status); err != nil {
			t.Fatal(err)
		}
		return status.Redis["connected"]
	}
	if got := connected(pulptest.New(t)); got != false {
		t.Errorf("connected = %v without REDIS_URL, want false", got)
	}
	redis := dbtest.StartRedis(t)
	app := pulptest.NewWith(t, []settings.Option{settings.Value("REDIS_URL", redis.URL())})
	if got := connected(app); got != true {
		t.Errorf("connected = %v with a Redis, want true", got)
	}
	redis.Stop()
	if got := connected(app); got != false {
		t.Errorf("connected = %v without the Redis of REDIS_URL, want false", got)
	}
}

// TestNamesOfAllKinds takes files with difficult names from an upstream to a client.
func TestNamesOfAllKinds(t *testing.T) {
	t.Parallel()
	names := []string{
		"plain.txt", "with space.txt", "ünïcødé/日本語.txt", "100%41.txt", "a+b&c=d;e.txt", "quo\"te.txt", "comma,s.txt",
		"hash#mark.txt", "quest?ion.txt", "back\\slash.txt", "...", "a/b/c/d/e/f/deep.txt", "colon:name.txt", "empty",
	}
	var pairs []string
	var manifest strings.Builder
	for _, n := range names {
		body := "content of " + n
		if n == "empty" {
			body = ""
		}
		sum := sha256.Sum256([]byte(body))
		if err := file.WriteEntry(&manifest, file.Entry{Path: n, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, n, body)
	}
	for _, policy := range []models.Policy{models.Immediate, models.OnDemand, models.Streamed} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			app := pulptest.New(t, file.Plugin())
			up := pulptest.Serve(t, append([]string{"PULP_MANIFEST", manifest.String()}, pairs...)...)
			distribute(t, app, up, policy)
			for i := 0; i < len(pairs); i += 2 {
				path := (&url.URL{Path: "/pulp/content/all/" + pairs[i]}).EscapedPath()
				if status, body := app.Get(t, path); status != http.StatusOK || body != pairs[i+1] {
					t.Errorf("GET %s = %d, %q, want %q", path, status, body, pairs[i+1])
				}
			}
			if status, body := app.Get(t, "/pulp/content/all/PULP_MANIFEST"); status != 200 ||
				strings.Count(body, "\n") != len(names) {
				t.Errorf("GET PULP_MANIFEST = %d, %d lines, want %d", status, strings.Count(body, "\n"), len(names))
			}
		})
	}
}

// distribute syncs and publishes an upstream and serves it below "all".
func distribute(t *testing.T, app *pulptest.App, upstream string, policy models.Policy) {
	t.Helper()
	ctx := t.Context()
	remote := &file.Remote{Remote: models.Remote{Name: "up", URL: upstream + "/PULP_MANIFEST", Policy: policy}}
	repo := &file.Repository{Repository: models.Repository{Name: "all"}}
	if err := errors.Join(file.Remotes.Create(ctx, app.DB(), remote), file.Repositories.Create(ctx, app.DB(), repo)); err != nil {
		t.Fatal(err)
	}
	pulptest.RunTask(t, app, file.Sync, file.SyncArgs{Remote: models.RefOf(remote), Repository: models.RefOf(repo)})
	version, err := models.LatestVersion(ctx, app.DB(), repo.ID)
	if err != nil {
		t.Fatal(err)
	}
	args, err := stages.NewPublishArgs(ctx, app.DB(), version, file.Publication{Manifest: new("PULP_MANIFEST")})
	if err != nil {
		t.Fatal(err)
	}
	pulptest.RunTask(t, app, file.Publish, args)
	dist := &file.Distribution{Distribution: models.Distribution{Name: "all", BasePath: "all", RepositoryID: &repo.ID}}
	if err := file.Distributions.Create(ctx, app.DB(), dist); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkBoot measures what a test pays for an App.
func BenchmarkBoot(b *testing.B) {
	for b.Loop() {
		app := pulptest.New(b, file.Plugin())
		if status, _ := app.Get(b, "/pulp/api/v3/status/"); status != http.StatusOK {
			b.Fatal(fmt.Errorf("status = %d", status))
		}
	}
}

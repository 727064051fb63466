package pulpcore_test

import (
	"bytes"
	gocmp "cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/examples/minimal"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/pulptest"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

func TestSettingsThatAnAppCannotKeepAreRefused(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]settings.Option{
		"domains":           settings.Value("DOMAIN_ENABLED", true),
		"an unknown plugin": settings.Value("ENABLED_PLUGINS", []string{"file", "rpm"}),
	} {
		set, err := quiet(t.TempDir(), option)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pulpcore.Open(t.Context(), set, file.Plugin()); !errors.Is(err, pulperr.Invalid) {
			t.Errorf("%s: Open = %v, want kind Invalid", name, err)
		}
	}
}

// TestSettingsWithoutEffectAreToldOf gives every setting that nothing reads, as a file of a Pulp installation may.
func TestSettingsWithoutEffectAreToldOf(t *testing.T) {
	t.Parallel()
	values := map[string]any{
		"ACCESS_POLICIES": map[string]any{"tasks": map[string]any{}}, "ALLOWED_EXPORT_PATHS": []string{"/x"},
		"API_ROOT_REWRITE_HEADER": "X-Root", "AUTHENTICATION_JSON_HEADER": "HTTP_X_IDENTITY",
		"AUTHENTICATION_JSON_HEADER_JQ_FILTER":               ".user",
		"AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME": map[string]any{"type": "http"}, "CACHE_ENABLED": true,
		"CACHE_SETTINGS": map[string]any{"EXPIRES_TTL": 5}, "CHUNKED_UPLOAD_DIR": "chunks",
		"DISTRIBUTED_PUBLICATION_RETENTION_PERIOD": 5, "FILE_UPLOAD_TEMP_DIR": t.TempDir(), "IMPORT_WORKERS_PERCENT": 50,
		"MAX_CONCURRENT_CONTENT": 5, "ORPHAN_PROTECTION_TIME": 5, "OTEL_ENABLED": true,
		"OTEL_METRICS_DISPATCH_INTERVAL_MINUTES": 1, "OTEL_PULP_API_HISTOGRAM_BUCKETS": []float64{1, 2},
		"REDACT_UNSAFE_EXCEPTIONS": true, "REDIS_SSL_CA_CERTS": "ca.pem", "REMOTE_USER_ENVIRON_NAME": "HTTP_X_USER",
		"REMOTE_USER_OPENAPI_SECURITY_SCHEME": map[string]any{"type": "http"}, "SECRET_KEY": "s",
		"SYNC_MAX_IN_FLIGHT_ITEMS": 5, "SYNC_MAX_IN_FLIGHT_MB": 5, "TASK_DIAGNOSTICS": []string{"memory"},
		"UPLOAD_PROTECTION_TIME": 5, "VULN_REPORT_TASK_LIMITER": 5,
	}
	if d := cmp.Diff(unread(t), slices.Sorted(maps.Keys(values))); d != "" {
		t.Fatalf("settings that nothing reads (-source +test):\n%s", d)
	}
	logged := func(options ...settings.Option) string {
		t.Helper()
		set, err := quiet(t.TempDir(), options...)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Close(); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	var options []settings.Option
	for key, value := range values {
		options = append(options, settings.Value(key, value))
	}
	all := logged(options...)
	for key := range values {
		if !strings.Contains(all, `msg="a setting has no effect yet" setting=`+key+" logger=pulpcore\n") {
			t.Errorf("nothing is logged about %s", key)
		}
	}
	if got := logged(); strings.Contains(got, "no effect") {
		t.Errorf("without any of them: %s", got)
	}
}

// unread returns the keys of the core settings that no code outside of the package settings reads, and that it does not
// use up itself.
func unread(t *testing.T) []string {
	t.Helper()
	read := map[string]bool{"MediaRoot": true, "AllowedContentChecksums": true, "Logging": true}
	field := regexp.MustCompile(`\b(?:core|Core\(\))\.([A-Z]\w*)`)
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && path == "settings" {
			return gocmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range field.FindAllSubmatch(source, -1) {
			read[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for f := range reflect.TypeFor[settings.Core]().Fields() {
		if key, _, _ := strings.Cut(f.Tag.Get("setting"), ","); key != "-" && !read[f.Name] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestEnabledPlugins(t *testing.T) {
	t.Parallel()
	app := pulptest.NewWith(t, []settings.Option{settings.Value("ENABLED_PLUGINS", []string{"note"})},
		file.Plugin(), minimal.Plugin())
	if _, body := app.Get(t, "/pulp/api/v3/status/"); strings.Contains(body, `"component":"file"`) {
		t.Errorf("status has the plugin that is not enabled: %s", body)
	}
}

func TestAllowedHosts(t *testing.T) {
	t.Parallel()
	app := pulptest.NewWith(t, []settings.Option{
		settings.Value("ALLOWED_HOSTS", []string{"Pulp.example.com", ".inner.example"}),
		settings.Value("LISTEN", "[2001:db8::7]:80"), settings.Value("CONTENT_ORIGIN", "https://cdn.example:8443"),
	}, file.Plugin())
	for host, want := range map[string]int{
		"pulp.example.com": 200, "pulp.example.com:8080": 200, "a.inner.example": 200, "inner.example": 200,
		"[2001:db8::7]:80": 200, "cdn.example": 200, "localhost:80@evil.example": 400, "localhost": 400,
		"evil.example": 400, "notinner.example": 400, "": 400,
	} {
		req := httptest.NewRequest(http.MethodGet, "/pulp/api/v3/status/", nil)
		req.Host = host
		res := httptest.NewRecorder()
		app.API().ServeHTTP(res, req)
		if res.Code != want {
			t.Errorf("status for host %q = %d, want %d", host, res.Code, want)
		}
	}
}

// TestWorkersKeepHouse waits for a worker to remove a temporary file that is too old.
func TestWorkersKeepHouse(t *testing.T) {
	t.Parallel()
	app := pulptest.NewWith(t, []settings.Option{settings.Value("TMPFILE_PROTECTION_TIME", "1us")}, file.Plugin())
	tf, err := models.NewTemporaryFile(t.Context(), app.DB(), app.Store(), strings.NewReader("abc"), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if ok, err := app.Store().Exists(t.Context(), tf.Key()); err != nil || !ok {
				close(gone)
				return
			}
		}
	}()
	ctx, cancel := contextUntil(t, gone)
	defer cancel()
	go func() { ended <- app.Work(ctx, 1) }()
	if err := <-ended; err != nil {
		t.Errorf("Work = %v", err)
	}
	if _, err := models.GetTemporaryFile(t.Context(), app.DB(), tf.ID); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("GetTemporaryFile = %v, want kind NotFound", err)
	}
}

// TestWorkersPurgeTasks waits for a worker to remove a task that ended, with what TASK_PROTECTION_TIME schedules.
func TestWorkersPurgeTasks(t *testing.T) {
	t.Parallel()
	app := pulptest.NewWith(t, []settings.Option{settings.Value("TASK_PROTECTION_TIME", "1us")}, file.Plugin())
	nothing := tasking.Define[struct{}]("test.nothing")
	ticket, err := nothing.Dispatch(t.Context(), app.Queue(), struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Queue().Cancel(t.Context(), ticket.TaskID); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	ended := make(chan error, 1)
	ctx, cancel := contextUntil(t, gone)
	defer cancel()
	go func() {
		defer close(gone)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := app.Queue().Get(ctx, ticket.TaskID); err != nil {
				return
			}
		}
	}()
	go func() { ended <- app.Work(ctx, 1) }()
	if err := <-ended; err != nil {
		t.Errorf("Work = %v", err)
	}
	if _, err := app.Queue().Get(t.Context(), ticket.TaskID); !errors.Is(err, pulperr.NotFound) {
		t.Errorf("Get(task that is old) = %v, want kind NotFound", err)
	}
}

// contextUntil returns a context that ends when done is closed, and after a minute in any case.
func contextUntil(t *testing.T, done <-chan struct{}) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		defer cancel()
		select {
		case <-done:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

package pulpcore_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/deprecation"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/tasking"
)

// logText is a log that several goroutines write.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logText) handler() slog.Handler {
	return slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})
}

var auditWork = tasking.Define[struct{}]("audit.work")

// oldCall is a deprecated function that is given an App.
func oldCall(app *pulpcore.App) { deprecation.WarnIn(app.Log(), "oldCall", "3.90", "newCall") }

// audit is a plugin that adds a log handler for its own records to whatever LOGGING has.
func audit(out *logText) *pulpcore.Plugin {
	return &pulpcore.Plugin{
		Name: "audit", Version: "1",
		LogHandlers: map[string]slog.Handler{"audit.trail": out.handler()},
		Overlay: []settings.Assignment{settings.Merge("LOGGING__handlers", map[string]any{
			"trail": map[string]any{"handler": "audit.trail", "level": "INFO", "loggers": []string{"audit"}},
		})},
		Tasks: []tasking.Binding{auditWork.Bind(func(ctx context.Context, env *tasking.Env, _ struct{}) error {
			env.Log.DebugContext(ctx, "details")
			env.Log.InfoContext(ctx, "work was done")
			return nil
		})},
	}
}

// openApp opens an App with a console of the test's.
func openApp(t *testing.T, console *logText, opts []settings.Option, plugins ...*pulpcore.Plugin) *pulpcore.App {
	t.Helper()
	set, err := settings.Load(append(opts, settings.Value("DEPLOY_ROOT", t.TempDir()))...)
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{Log: slog.New(console.handler())}, plugins...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	return app
}

// TestLoggingOfTwoApps has two Apps in one process with one plugin and different LOGGING.
func TestLoggingOfTwoApps(t *testing.T) {
	t.Parallel()
	var quietConsole, quietTrail, loudConsole, loudTrail logText
	json := filepath.Join(t.TempDir(), "pulp.json")
	file := filepath.Join(t.TempDir(), "settings.json")
	// The installation's file: one more handler, one logger's level, and everything else as it is.
	text := `{"LOGGING": {"dynaconf_merge": true,
		"loggers": {"pulpcore.deprecation": {"level": "ERROR"}, "audit": {"level": "DEBUG"}},
		"handlers": {"json": {"output": "` + filepath.ToSlash(json) + `", "format": "json", "level": "DEBUG"}}}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	still := openApp(t, &quietConsole, []settings.Option{settings.File(file)}, audit(&quietTrail))
	loud := openApp(t, &loudConsole, nil, audit(&loudTrail))
	for _, app := range []*pulpcore.App{still, loud} {
		for range 2 {
			oldCall(app)
		}
		worker, err := app.Worker(1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := auditWork.Dispatch(t.Context(), app.Queue(), struct{}{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := worker.RunPending(t.Context()); err != nil {
			t.Fatal(err)
		}
		app.Log().With(settings.LoggerKey, "another").Info("of another logger")
	}
	written, err := os.ReadFile(json)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, log, text string
		times           int
	}{
		{"the file silences the deprecation", quietConsole.String(), "oldCall is deprecated", 0},
		{"in its own handler, too", string(written), "oldCall is deprecated", 0},
		{"the other App warns once", loudConsole.String(), "oldCall is deprecated and will be removed in 3.90; use newCall", 1},
		{"with the name of the logger", loudConsole.String(), "logger=pulpcore.deprecation", 1},
		{"the console gets the rest", quietConsole.String(), "of another logger", 1},
		{"the console of the other App, too", loudConsole.String(), "of another logger", 1},
		{"the plugin's handler gets its task's records", quietTrail.String(), "work was done", 1},
		{"of both Apps", loudTrail.String(), "work was done", 1},
		{"named by the task", loudTrail.String(), "logger=audit.work", strings.Count(loudTrail.String(), "\n")},
		{"and no others", loudTrail.String(), "of another logger", 0},
		{"nor lower levels", quietTrail.String(), "details", 0},
		{"the file's handler has the plugin's level", string(written), `"msg":"details"`, 1},
		{"and the root's", string(written), `"msg":"of another logger","logger":"another"`, 1},
	} {
		if n := strings.Count(tt.log, tt.text); n != tt.times {
			t.Errorf("%s: %q is there %d times, want %d:\n%s", tt.name, tt.text, n, tt.times, tt.log)
		}
	}
}

// TestLoggingFaults has Open report what LOGGING cannot mean, with setting, value and remedy.
func TestLoggingFaults(t *testing.T) {
	t.Parallel()
	set, err := quiet(filepath.Join(t.TempDir(), "data"), settings.Value("LOGGING__handlers", map[string]any{
		"mail": map[string]any{"handler": "smtp"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	var out logText
	one, two := audit(&out), audit(&out)
	two.Name, two.Tasks = "other", nil
	two.Overlay = nil
	_, err = pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{
		LogHandlers: map[string]slog.Handler{"none": nil},
	}, one, two)
	if !errors.Is(err, pulperr.Invalid) {
		t.Fatalf("Open = %v, want kind Invalid", err)
	}
	for _, want := range []string{
		`LOGGING__handlers__mail__handler names the log handler "smtp", which neither the host nor a plugin has registered; ` +
			`there are ["audit.trail"] (host option)`,
		`plugin "other": the log handler "audit.trail" is registered by plugin "audit" already; rename one of them`,
		`the host: the log handler "none" is nil; leave it out`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %s", err, want)
		}
	}
	set, err = quiet(t.TempDir(), settings.Value("LOGGING__handlers__f__output", filepath.Join(t.TempDir(), "no", "file")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pulpcore.Open(t.Context(), set); !errors.Is(err, pulperr.Unavailable) ||
		!strings.Contains(err.Error(), "LOGGING__handlers__f__output") {
		t.Errorf("Open with a log file that cannot be made = %v, want kind Unavailable", err)
	}
}

package settings_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/deprecation"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/settings"
)

// oldThing is deprecated; every test calls it from a line of its own.
func oldThing() { deprecation.Warn("oldThing", "3.9", "newThing") }

func defaultLogger(t *testing.T, set *settings.Set) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(set.Logger(&out))
	return &out
}

func TestDeprecationIsLoggedByDefault(t *testing.T) { // not parallel: it changes slog's default logger
	out := defaultLogger(t, load(t))
	oldThing()
	if s := out.String(); !strings.Contains(s, "oldThing is deprecated and will be removed in 3.9; use newThing") ||
		!strings.Contains(s, "logger=pulpcore.deprecation") {
		t.Errorf("log = %q", s)
	}
}

func TestDeprecationIsSilencedByItsLevel(t *testing.T) { // not parallel: it changes slog's default logger
	file := write(t, t.TempDir(), "settings.json",
		`{"LOGGING": {"dynaconf_merge": true, "loggers": {"pulpcore.deprecation": {"level": "ERROR"}}}}`)
	out := defaultLogger(t, load(t, settings.File(file)))
	oldThing()
	if out.Len() > 0 {
		t.Errorf("log = %q, want silence", out)
	}
	slog.Warn("others are heard")
	if !strings.Contains(out.String(), "others are heard") {
		t.Errorf("log = %q, want the other line", out)
	}
}

func TestLoggerLevels(t *testing.T) {
	t.Parallel()
	logging := m{
		"version": 1, "disable_existing_loggers": false, "formatters": m{"simple": m{"format": "x"}},
		"handlers": m{"console": m{"class": "logging.StreamHandler"}},
		"loggers": m{
			"":          m{"handlers": []string{"console"}, "level": "WARNING"},
			"pulp":      m{"level": "DEBUG", "propagate": false},
			"pulp.loud": m{"level": "ERROR"},
			"pulp.like": m{"level": "NOTSET"},
			"high":      m{"level": "CRITICAL"},
		},
	}
	log := func(out *bytes.Buffer) *slog.Logger { return load(t, settings.Value("LOGGING", logging)).Logger(out) }
	for _, row := range []struct {
		name  string
		level slog.Level
		want  bool
	}{
		{"", slog.LevelInfo, false},
		{"", slog.LevelWarn, true},
		{"other", slog.LevelInfo, false},
		{"pulp", slog.LevelDebug, true},
		{"pulp", slog.LevelDebug - 1, false},
		{"pulp.child.of", slog.LevelDebug, true},
		{"pulpit", slog.LevelDebug, false},
		{"pulp.loud", slog.LevelWarn, false},
		{"pulp.loud.too", slog.LevelError, true},
		{"pulp.like", slog.LevelDebug, true},
		{"high", slog.LevelError, false},
		{"high", slog.LevelError + 4, true},
	} {
		t.Run(row.name+" "+row.level.String(), func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			var onLogger, onRecord bytes.Buffer
			l := log(&onLogger).With("n", 1, settings.LoggerKey, row.name)
			l.Log(ctx, row.level, "hello")
			log(&onRecord).Log(ctx, row.level, "hello", settings.LoggerKey, row.name)
			if got := onLogger.Len() > 0; got != row.want || row.name != "" && l.Enabled(ctx, row.level) != row.want {
				t.Errorf("named by With: logged = %v, want %v", got, row.want)
			}
			if got := onRecord.Len() > 0; got != row.want {
				t.Errorf("named by the record: logged = %v, want %v", got, row.want)
			}
		})
	}
}

func TestANameWithinAGroupDoesNotNameALogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	set := load(t, settings.Value("LOGGING__loggers__x__level", "ERROR"))
	l := set.Logger(&out).WithGroup("g")
	l.Info("a", settings.LoggerKey, "x")
	l.With(settings.LoggerKey, "x").Info("b")
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("log = %q, want both lines", out.String())
	}
}

func TestLoggerFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": `msg="a b" k=1`, "json": `"msg":"a b","k":1`} {
		var out bytes.Buffer
		load(t, settings.Value("LOGGING__format", format)).Logger(&out).Info("a b", "k", 1)
		if !strings.Contains(out.String(), want) {
			t.Errorf("format %s: log = %q, want %q", format, out.String(), want)
		}
	}
}

func TestLoggerScrubsPasswords(t *testing.T) {
	t.Parallel()
	address := "https://me:hunter2@h/x?y=1"
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		l := load(t, settings.Value("LOGGING__format", format)).Logger(&out)
		l.Error("cannot get "+address, "url", address, "parsed", u, "err", errors.New("get "+address+": refused"),
			slog.Group("g", "url", address), "secret", settings.NewSecret(hunter2))
		if s := out.String(); strings.Contains(s, hunter2) || strings.Count(s, "https://me:xxxxx@h/x") != 5 {
			t.Errorf("format %s: log = %s", format, s)
		}
	}
}

func TestHandlerWrapsTheHostsOwn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	set := load(t, settings.Value("LOGGING__root__level", "ERROR"))
	l := slog.New(set.Handler(slog.NewTextHandler(&out, nil)))
	l.Warn("no")
	l.Error("yes")
	if s := out.String(); strings.Contains(s, "msg=no") || !strings.Contains(s, "msg=yes") {
		t.Errorf("log = %q", s)
	}
}

// TestHandlers writes with several handlers to several places.
func TestHandlers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all, some := filepath.Join(dir, "all.log"), filepath.Join(dir, "some.log")
	var host, console bytes.Buffer
	set := load(t, settings.Value("LOGGING", m{
		"handlers": m{
			"console": m{"class": "logging.StreamHandler", "formatter": "simple", "level": "WARNING"},
			"all":     m{"output": all},
			"some":    m{"output": some, "format": "json", "level": "ERROR", "loggers": []string{"a", "b.c"}},
			"host":    m{"handler": "ours"},
			"none":    m{"output": "discard"},
		},
		"loggers": m{"a.loud": m{"level": "ERROR"}},
	}))
	opts := &settings.LogOptions{
		Handlers: map[string]slog.Handler{"ours": slog.NewTextHandler(&host, nil)},
		Console:  slog.NewTextHandler(&console, &slog.HandlerOptions{Level: slog.LevelDebug}),
	}
	log, files, err := set.OpenLog(opts)
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) *slog.Logger { return log.With(settings.LoggerKey, name) }
	named("a").Debug("m1")
	named("a").Error("m2")
	named("ab").Error("m3")
	named("b").Error("m4")
	named("b.c.d").Warn("m5")
	named("b.c.d").With("k", 1).WithGroup("g").Error("m6", "k", 2)
	named("a.loud").Warn("m7")
	named("x").With(settings.LoggerKey, "b.c").Error("m8 https://me:hunter2@h/")
	log.Info("m9")
	for range 2 { // the second Close does nothing
		if err := files.Close(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, tt := range map[string]struct {
		log  string
		want []string
	}{
		"console": {console.String(), []string{"m2", "m3", "m4", "m5", "m6", "m8"}},
		"all":     {read(all), []string{"m2", "m3", "m4", "m5", "m6", "m8", "m9"}},
		"some":    {read(some), []string{"m2", "m6", "m8"}},
		"host":    {host.String(), []string{"m2", "m3", "m4", "m5", "m6", "m8", "m9"}},
	} {
		for i := 1; i <= 9; i++ {
			message := fmt.Sprintf("m%d", i)
			if got, want := strings.Contains(tt.log, message), slices.Contains(tt.want, message); got != want {
				t.Errorf("%s: %s is written: %v, want %v", name, message, got, want)
			}
		}
	}
	for _, want := range []string{
		`"msg":"m6","k":1,"logger":"b.c.d","g":{"k":2}}`, `"msg":"m8 https://me:xxxxx@h/","logger":"b.c"}`,
	} {
		if !strings.Contains(read(some), want) {
			t.Errorf("log = %s, want %s", read(some), want)
		}
	}
	if n := strings.Count(read(some), `"logger"`); n != 3 {
		t.Errorf("three records name %d loggers: %s", n, read(some))
	}
}

// TestAHandlerIsAdded has each layer add a handler to those of the layers below.
func TestAHandlerIsAdded(t *testing.T) {
	t.Parallel()
	add := func(name string) settings.Assignment {
		return settings.Merge("LOGGING__handlers", m{name: m{"output": "discard"}})
	}
	file := write(t, t.TempDir(), "settings.json",
		`{"LOGGING": {"dynaconf_merge": true, "format": "json", "handlers": {"file": {"output": "discard"}}}}`)
	set, err := load(t, settings.File(file), settings.Environ("PULP_", []string{
		"PULP_LOGGING__handlers__env__output=discard", "PULP_LOGGING__handlers__console__level=ERROR",
	}), add("host")).With(settings.Plugin{
		Name: "p", Defaults: []settings.Assignment{add("default")}, Overlay: []settings.Assignment{add("overlay")},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(set.Core().Logging.Handlers))
	if want := []string{"console", "default", "env", "file", "host", "overlay"}; !slices.Equal(got, want) {
		t.Errorf("handlers = %q, want %q", got, want)
	}
	if l := set.Core().Logging; l.Format != "json" || *l.Root.Level != settings.LevelInfo {
		t.Errorf("LOGGING = %+v, want the rest as it was", l)
	}
}

func TestOpenLogFaults(t *testing.T) {
	t.Parallel()
	missing := load(t, settings.Value("LOGGING__handlers__x__handler", "nowhere"))
	if _, _, err := missing.OpenLog(nil); !errors.Is(err, pulperr.Invalid) {
		t.Errorf("OpenLog with a handler that is not registered = %v, want kind Invalid", err)
	}
	unwritable := load(t, settings.Value("LOGGING__handlers__x__output", filepath.Join(t.TempDir(), "no", "file")))
	if _, _, err := unwritable.OpenLog(nil); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("OpenLog with a file that cannot be made = %v, want kind Unavailable", err)
	}
}

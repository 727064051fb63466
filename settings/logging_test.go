package settings_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/deprecation"
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

package deprecation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/deprecation"
)

// capture makes a JSON logger the default one until the test ends. Such tests cannot run in parallel.
func capture(t *testing.T, level slog.Level) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level, AddSource: true})))
	return &out
}

func old(symbol string) { deprecation.Warn(symbol, "3.9", "") }

func TestWarnNamesTheCallerOfTheDeprecatedFunction(t *testing.T) {
	out := capture(t, slog.LevelInfo)
	_, file, line, _ := runtime.Caller(0)
	old("caller")
	var got struct {
		Msg, Level, Logger, Symbol, Caller string
		RemovedIn                          string `json:"removed_in"`
		Source                             struct {
			File string
			Line int
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("log %q: %v", out, err)
	}
	if got.Msg != "caller is deprecated and will be removed in 3.9" || got.Level != "WARN" || got.Symbol != "caller" {
		t.Errorf("record = %+v", got)
	}
	if got.Logger != deprecation.Logger || got.RemovedIn != "3.9" {
		t.Errorf("record = %+v", got)
	}
	if got.Source.File != file || got.Source.Line != line+1 || !strings.HasPrefix(got.Caller, file) {
		t.Errorf("source = %+v, want %s:%d", got.Source, filepath.Base(file), line+1)
	}
}

func TestWarnOncePerCallSite(t *testing.T) {
	out := capture(t, slog.LevelInfo)
	for range 3 {
		old("a")
		old("a")
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines for two call sites:\n%s", n, out)
	}
	for _, symbol := range []string{"b", "c", "b"} {
		old(symbol)
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want one more for each symbol:\n%s", n, out)
	}
}

func TestASuppressedWarningDoesNotCount(t *testing.T) {
	for i, level := range []slog.Level{slog.LevelError, slog.LevelWarn} {
		out := capture(t, level)
		old("suppressed")
		if n := strings.Count(out.String(), "\n"); n != i {
			t.Errorf("level %v: %d lines, want %d", level, n, i)
		}
	}
}

func oldIn(log *slog.Logger) { deprecation.WarnIn(log, "in", "3.9", "new") }

// TestWarnInALogger has two loggers that remember on their own, and two that do not.
func TestWarnInALogger(t *testing.T) {
	t.Parallel()
	var first, second, plain bytes.Buffer
	_, file, line, _ := runtime.Caller(0)
	for _, log := range []*slog.Logger{
		slog.New(&remembering{slog.NewTextHandler(&first, nil), new(sync.Map)}),
		slog.New(&remembering{slog.NewTextHandler(&second, nil), new(sync.Map)}),
		slog.New(slog.NewTextHandler(&plain, nil)), slog.New(slog.NewTextHandler(&plain, nil)),
	} {
		for range 2 {
			oldIn(log)
		}
	}
	for name, out := range map[string]*bytes.Buffer{"first": &first, "second": &second, "plain": &plain} {
		want := fmt.Sprintf("caller=%s:%d", file, line+7)
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: log = %q, want one line with %s", name, out, want)
		}
	}
}

// remembering is a handler with a memory.
type remembering struct {
	slog.Handler
	seen *sync.Map
}

func (r *remembering) Once(key any) bool {
	_, again := r.seen.LoadOrStore(key, true)
	return !again
}

func (r *remembering) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &remembering{r.Handler.WithAttrs(attrs), r.seen}
}

func TestWarnConcurrently(t *testing.T) {
	out := capture(t, slog.LevelInfo)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { old("concurrent") })
	}
	wg.Wait()
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, out)
	}
}

func BenchmarkWarnAgain(b *testing.B) {
	before := slog.Default()
	b.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil)))
	b.ReportAllocs()
	for b.Loop() {
		old("bench")
	}
}

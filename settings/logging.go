package settings

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
)

// Logging selects the log records that are written, and their format. It reads the parts of Django's LOGGING that have
// a meaning here; handlers, formatters and filters are the host's [slog.Handler].
type Logging struct {
	// Format is "text" or "json". Default "text".
	Format string `setting:"format"`
	// Root is the level of every logger that has none of its own. Default INFO.
	Root Logger `setting:"root"`
	// Loggers has levels by name. A name with dots inherits from the name before its last dot; "" is the root.
	Loggers map[string]Logger `setting:"loggers"`

	_ struct{} `setting:",ignore=version disable_existing_loggers incremental formatters filters handlers"`
}

// Logger configures one logger.
type Logger struct {
	// Level is the lowest level that is written; nil means that of the parent.
	Level *Level `setting:"level"`

	_ struct{} `setting:",ignore=handlers filters propagate"`
}

// Level is a slog.Level that also knows Python's names: WARNING, CRITICAL, NOTSET.
type Level slog.Level

// LevelInfo is the default level.
const LevelInfo = Level(slog.LevelInfo)

// levelInherit is Python's NOTSET: the parent's level.
const levelInherit = Level(math.MinInt32)

// UnmarshalText reads DEBUG, INFO, WARNING, ERROR, CRITICAL, NOTSET in any case, or what slog.Level reads.
func (l *Level) UnmarshalText(text []byte) error {
	switch strings.ToUpper(string(text)) {
	case "WARNING":
		*l = Level(slog.LevelWarn)
	case "CRITICAL", "FATAL":
		*l = Level(slog.LevelError + 4)
	case "NOTSET":
		*l = levelInherit
	default:
		return (*slog.Level)(l).UnmarshalText(text)
	}
	return nil
}

// MarshalText returns slog's name of the level.
func (l Level) MarshalText() ([]byte, error) {
	if l == levelInherit {
		return []byte("NOTSET"), nil
	}
	return slog.Level(l).MarshalText()
}

func (l *Logging) check(ck *checker) {
	ck.want(l.Format == "text" || l.Format == "json", "LOGGING__format", "is neither text nor json")
}

// LoggerKey is the attribute that names a record's logger: logger.With(settings.LoggerKey, "pulpcore.deprecation").
const LoggerKey = "logger"

// logger returns a logger that writes to w.
func (l *Logging) logger(w io.Writer) *slog.Logger {
	// The levels of LOGGING decide in front of this handler, so its own level must let every record pass.
	opts := &slog.HandlerOptions{Level: slog.Level(math.MinInt32), ReplaceAttr: scrubAttr}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if l.Format == "json" {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(l.handler(h))
}

// handler returns next behind the levels.
func (l *Logging) handler(next slog.Handler) slog.Handler {
	lv := levels{root: slog.LevelInfo, byName: map[string]slog.Level{}}
	if level := l.Root.Level; level != nil && *level != levelInherit {
		lv.root = slog.Level(*level)
	}
	for name, logger := range l.Loggers {
		switch {
		case logger.Level == nil || *logger.Level == levelInherit:
		// Python's logging knows the root logger by both names.
		case name == "" || name == "root":
			lv.root = slog.Level(*logger.Level)
		default:
			lv.byName[name] = slog.Level(*logger.Level)
		}
	}
	lv.lowest = lv.root
	for _, l := range lv.byName {
		lv.lowest = min(lv.lowest, l)
	}
	return &handler{next: next, levels: &lv}
}

// levels is immutable.
type levels struct {
	root   slog.Level
	lowest slog.Level // of all
	byName map[string]slog.Level
}

// of returns the level of a logger: its own, or that of the nearest parent which has one.
func (lv *levels) of(name string) slog.Level {
	for name != "" {
		if l, ok := lv.byName[name]; ok {
			return l
		}
		name = name[:max(strings.LastIndexByte(name, '.'), 0)]
	}
	return lv.root
}

// handler drops records below the level of their logger.
type handler struct {
	next   slog.Handler
	levels *levels
	name   string // of the logger, if WithAttrs gave one
	groups int    // an attribute within a group does not name a logger
}

// Enabled reports whether a record of the level may be written; Handle decides.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	// The attribute that names the logger may be in the record, which only Handle sees. Until then the lowest level of all
	// loggers counts.
	lowest := h.levels.lowest
	if h.name != "" {
		lowest = h.levels.of(h.name)
	}
	return level >= lowest && h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	name := h.name
	if name == "" && h.groups == 0 {
		r.Attrs(func(a slog.Attr) bool {
			name = nameIn(a, name)
			return true
		})
	}
	if r.Level < h.levels.of(name) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.next = h.next.WithAttrs(attrs)
	if h.groups == 0 {
		for _, a := range attrs {
			n.name = nameIn(a, n.name)
		}
	}
	return &n
}

func (h *handler) WithGroup(name string) slog.Handler {
	n := *h
	n.next = h.next.WithGroup(name)
	// slog ignores a group without a name: attributes after it are still at the top level.
	if name != "" {
		n.groups++
	}
	return &n
}

func nameIn(a slog.Attr, name string) string {
	if a.Key == LoggerKey && a.Value.Kind() == slog.KindString {
		return a.Value.String()
	}
	return name
}

// scrubAttr removes passwords from addresses in texts and errors.
func scrubAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); strings.Contains(s, "://") {
			a.Value = slog.StringValue(scrub(s))
		}
	case slog.KindAny:
		switch x := a.Value.Any().(type) {
		case error:
			a.Value = slog.StringValue(scrub(x.Error()))
		// A Stringer is printed after this function, and String of a *url.URL has its password.
		case fmt.Stringer:
			if s := x.String(); strings.Contains(s, "://") {
				a.Value = slog.StringValue(scrub(s))
			}
		}
	}
	return a
}

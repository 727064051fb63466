package settings

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// LoggerKey is the attribute that names a record's logger: logger.With(settings.LoggerKey, "pulpcore.deprecation").
const LoggerKey = "logger"

// newHandler returns a handler that writes to the sinks what the levels let pass.
func (l *Logging) newHandler(sinks ...sink) slog.Handler {
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
	return &handler{sinks: sinks, levels: &lv, seen: new(sync.Map)}
}

// levels is immutable.
type levels struct {
	root   slog.Level
	lowest slog.Level // of all
	byName map[string]slog.Level
}

// of returns the level of a logger: its own, or that of the nearest parent which has one; ok is false if that is the
// root.
func (lv *levels) of(name string) (level slog.Level, ok bool) {
	for name != "" {
		if l, ok := lv.byName[name]; ok {
			return l, true
		}
		name = name[:max(strings.LastIndexByte(name, '.'), 0)]
	}
	return lv.root, false
}

// sink is one place that records are written to.
type sink struct {
	next    slog.Handler
	level   slog.Level // the lowest that it takes
	loggers []string   // whose records it takes; empty for all
	// rootless ignores the level of the root: the host's own logger has one.
	rootless bool
}

// takes reports whether the sink takes a record of a logger.
func (s *sink) takes(ctx context.Context, lv *levels, name string, level slog.Level) bool {
	lowest, own := lv.of(name)
	if level < lowest && (own || !s.rootless) || level < s.level {
		return false
	}
	return (len(s.loggers) == 0 || slices.ContainsFunc(s.loggers, func(l string) bool { return isBelow(name, l) })) &&
		s.next.Enabled(ctx, level)
}

// isBelow reports whether a logger is the other one or below it.
func isBelow(name, parent string) bool {
	return parent == "" || name == parent || strings.HasPrefix(name, parent+".")
}

// handler drops records below the level of their logger and gives the others to its sinks. It is immutable, except for
// what was logged once.
type handler struct {
	sinks  []sink
	levels *levels
	name   string // of the logger, if WithAttrs gave one; it is not among the attributes of the sinks
	groups int    // an attribute within a group does not name a logger

	seen *sync.Map // keys of Once
}

// Once reports whether it is called with a key for the first time. Loggers that were made of one another share the
// memory. Package deprecation uses it, so that each App warns on its own.
func (h *handler) Once(key any) bool {
	_, again := h.seen.LoadOrStore(key, struct{}{})
	return !again
}

// Enabled reports whether a record of the level may be written; Handle decides.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	// The attribute that names the logger may be in the record, which only Handle sees. Until then the lowest level of all
	// loggers counts.
	if h.name == "" && h.groups == 0 {
		return slices.ContainsFunc(h.sinks, func(s sink) bool {
			return (level >= h.levels.lowest || s.rootless) && level >= s.level && s.next.Enabled(ctx, level)
		})
	}
	return slices.ContainsFunc(h.sinks, func(s sink) bool { return s.takes(ctx, h.levels, h.name, level) })
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	name, inRecord := h.name, false
	if h.groups == 0 {
		r.Attrs(func(a slog.Attr) bool {
			if n, ok := nameIn(a); ok {
				name, inRecord = n, true
			}
			return true
		})
	}
	if name != "" && !inRecord && h.groups == 0 {
		r = r.Clone() // the caller's record shares its attributes
		r.AddAttrs(slog.String(LoggerKey, name))
	}
	var errs []error
	for _, s := range h.sinks {
		if s.takes(ctx, h.levels, name, r.Level) {
			errs = append(errs, s.next.Handle(ctx, r.Clone()))
		}
	}
	return errors.Join(errs...)
}

// with returns the handler with other sinks.
func (h *handler) with(change func(next slog.Handler) slog.Handler) *handler {
	n := *h
	n.sinks = slices.Clone(h.sinks)
	for i := range n.sinks {
		n.sinks[i].next = change(n.sinks[i].next)
	}
	return &n
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	name, others := h.name, attrs
	if h.groups == 0 {
		others = slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool {
			n, ok := nameIn(a)
			if ok {
				name = n
			}
			return ok
		})
	}
	n := h.with(func(next slog.Handler) slog.Handler {
		if len(others) == 0 {
			return next
		}
		return next.WithAttrs(others)
	})
	n.name = name
	return n
}

func (h *handler) WithGroup(name string) slog.Handler {
	// slog ignores a group without a name: attributes after it are still at the top level.
	if name == "" {
		return h
	}
	n := h.with(func(next slog.Handler) slog.Handler {
		// Handle could add the logger's name only within the group.
		if h.groups == 0 && h.name != "" {
			next = next.WithAttrs([]slog.Attr{slog.String(LoggerKey, h.name)})
		}
		return next.WithGroup(name)
	})
	n.groups++
	return n
}

// nameIn returns the name of the logger if an attribute is that.
func nameIn(a slog.Attr) (name string, ok bool) {
	if a.Key == LoggerKey && a.Value.Kind() == slog.KindString {
		return a.Value.String(), true
	}
	return "", false
}

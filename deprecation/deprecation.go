// Package deprecation warns callers of interfaces that will be removed.
//
// A deprecated function calls [Warn] first thing:
//
//	// Deprecated: removed in 3.9; use NewFoo.
//	func Foo() {
//		deprecation.Warn("Foo", "3.9", "NewFoo")
//		…
//	}
//
// The line is logged once for every place in the program that calls Foo. It has the attribute
// logger=pulpcore.deprecation, so that LOGGING of package settings silences it:
//
//	LOGGING = {"loggers": {"pulpcore.deprecation": {"level": "ERROR"}}}
//
// A function that is given an App, a task's Env or another value with a logger calls [WarnIn] with that logger: the
// settings of that App decide, and each App warns on its own. [Warn] is for functions that are given no logger. It uses
// slog's default logger, and keeps state for the whole process, because "once" needs a memory. A host makes its App's
// logger, or one by the same settings, the default:
//
//	slog.SetDefault(app.Log())
package deprecation

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// Logger is the name of the logger, found under the attribute "logger".
const Logger = "pulpcore.deprecation"

// site is one place that calls one deprecated thing.
type site struct {
	file   string
	line   int
	symbol string
}

// seen holds the sites that were warned about. It is bounded by the program's text.
var seen sync.Map // of site to struct{}

// memory is implemented by handlers that remember what was logged once. A handler of package settings does, for all
// loggers of its App.
type memory interface{ Once(key any) bool }

// Warn logs to slog's default logger that symbol is deprecated, will be removed in the version removedIn, and that
// instead replaces it; instead is empty if it has no replacement. The place reported, and counted, is the caller of
// Warn's caller.
//
// A line that the logger's level suppresses does not count. Safe for concurrent use. Mirrors Pulp's
// deprecation_logger.warn.
func Warn(symbol, removedIn, instead string) { warn(slog.Default(), symbol, removedIn, instead) }

// WarnIn is [Warn] with a logger, such as that of an App or of a task.
func WarnIn(log *slog.Logger, symbol, removedIn, instead string) {
	warn(log, symbol, removedIn, instead)
}

func warn(log *slog.Logger, symbol, removedIn, instead string) {
	ctx := context.Background()
	handler := log.Handler().WithAttrs([]slog.Attr{slog.String("logger", Logger)})
	if !handler.Enabled(ctx, slog.LevelWarn) {
		return
	}
	var pcs [1]uintptr
	runtime.Callers(4, pcs[:]) // above runtime.Callers, warn, Warn and the deprecated function
	frame, _ := runtime.CallersFrames(pcs[:]).Next()
	if !isFirst(handler, site{frame.File, frame.Line, symbol}) {
		return
	}
	msg := fmt.Sprintf("%s is deprecated and will be removed in %s", symbol, removedIn)
	if instead != "" {
		msg += "; use " + instead
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, msg, pcs[0])
	r.AddAttrs(
		slog.String("symbol", symbol),
		slog.String("removed_in", removedIn),
		slog.String("instead", instead),
		slog.String("caller", fmt.Sprintf("%s:%d", frame.File, frame.Line)),
	)
	// As everywhere in slog, a failure of the handler is ignored: there is no other place to log it.
	_ = handler.Handle(ctx, r)
}

// isFirst reports whether the site has not been warned about before.
func isFirst(handler slog.Handler, s site) bool {
	if m, ok := handler.(memory); ok {
		return m.Once(s)
	}
	_, again := seen.LoadOrStore(s, struct{}{})
	return !again
}

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
// The line is logged once for every place in the program that calls Foo. It goes to slog's default logger with the
// attribute logger=pulpcore.deprecation, so that a handler can distinguish it. One made by the package settings
// obeys LOGGING, where this silences it:
//
//	LOGGING = {"loggers": {"pulpcore.deprecation": {"level": "ERROR"}}}
//
// provided that the host made it the default one:
//
//	slog.SetDefault(set.Logger(os.Stderr))
//
// This package alone uses the default logger and keeps state for the whole process: a deprecated function is given no
// logger, and "once" needs a memory.
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

// Warn logs that symbol is deprecated, will be removed in the version removedIn, and that instead replaces it; instead
// is empty if it has no replacement. The place reported, and counted, is the caller of Warn's caller.
//
// A line that the logger's level suppresses does not count. Safe for concurrent use. Mirrors Pulp's
// deprecation_logger.warn.
func Warn(symbol, removedIn, instead string) {
	ctx := context.Background()
	handler := slog.Default().Handler().WithAttrs([]slog.Attr{slog.String("logger", Logger)})
	if !handler.Enabled(ctx, slog.LevelWarn) {
		return
	}
	var pcs [1]uintptr
	runtime.Callers(3, pcs[:]) // above runtime.Callers, Warn and the deprecated function
	frame, _ := runtime.CallersFrames(pcs[:]).Next()
	if _, again := seen.LoadOrStore(site{frame.File, frame.Line, symbol}, struct{}{}); again {
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

package settings

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// LogOptions are what [Set.OpenLog] cannot know from LOGGING.
type LogOptions struct {
	// Console is a handler of the host in place of the handler "console". It has a level of its own, so that of the root
	// does not apply to it; those of other loggers do. Default: what LOGGING says, standard error if nothing.
	Console slog.Handler
	// Handlers are the handlers of hosts and plugins, by the names under which LOGGING.handlers refers to them.
	Handlers map[string]slog.Handler
}

// open returns a logger that writes to all handlers, and its files.
func (l *Logging) open(opts *LogOptions) (*slog.Logger, io.Closer, error) {
	if opts == nil {
		opts = &LogOptions{}
	}
	var files logFiles
	var sinks []sink
	for name, h := range l.allHandlers() {
		out := sink{level: h.lowest(), loggers: h.Loggers}
		switch {
		case name == console && opts.Console != nil:
			out.next, out.rootless = opts.Console, true
		case h.Handler != "":
			if out.next = opts.Handlers[h.Handler]; out.next == nil {
				return nil, nil, fmt.Errorf("settings: LOGGING__handlers__%s__handler: %q is not registered: %w", name, h.Handler,
					errors.Join(pulperr.Invalid, files.Close()))
			}
		case h.Output == toNowhere:
			continue
		default:
			w, err := files.open(h.Output)
			if err != nil {
				return nil, nil, errors.Join(fmt.Errorf("settings: LOGGING__handlers__%s__output: %w: %w", name,
					pulperr.Unavailable, err), files.Close())
			}
			out.next = l.writing(w, h.Format)
		}
		sinks = append(sinks, out)
	}
	return slog.New(l.newHandler(sinks...)), &files, nil
}

// allHandlers returns the handlers by name, with the console.
func (l *Logging) allHandlers() map[string]LogHandler {
	all := map[string]LogHandler{console: {}}
	for name, h := range l.Handlers {
		all[name] = h
	}
	return all
}

// lowest returns the lowest level that the handler takes.
func (h *LogHandler) lowest() slog.Level {
	if h.Level == nil {
		return math.MinInt32
	}
	return slog.Level(*h.Level)
}

// logger returns a logger that writes to w, in place of all handlers.
func (l *Logging) logger(w io.Writer) *slog.Logger {
	h := l.Handlers[console]
	return slog.New(l.newHandler(sink{next: l.writing(w, h.Format), level: h.lowest()}))
}

// writing returns a handler that writes every record to w. An empty format is that of LOGGING.
func (l *Logging) writing(w io.Writer, format string) slog.Handler {
	// The levels of LOGGING decide in front of this handler, so its own level must let every record pass.
	opts := &slog.HandlerOptions{Level: slog.Level(math.MinInt32), ReplaceAttr: scrubAttr}
	if format == "json" || format == "" && l.Format == "json" {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// logFiles are the open files of a logger. Closing them again has no effect.
type logFiles struct{ list []*os.File }

func (f *logFiles) open(output string) (io.Writer, error) {
	switch output {
	case "", toStderr:
		return os.Stderr, nil
	case toStdout:
		return os.Stdout, nil
	}
	// Several processes append to one file: each line is one write.
	file, err := os.OpenFile(output, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640) //nolint:gosec // the group reads logs
	if err == nil {
		f.list = append(f.list, file)
	}
	return file, err
}

func (f *logFiles) Close() error {
	var errs []error
	for _, file := range f.list {
		errs = append(errs, file.Close())
	}
	f.list = nil
	return errors.Join(errs...)
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

package settings

import (
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// Logging selects the log records that are written, where to, and their format. It reads the parts of Django's LOGGING
// that have a meaning here.
type Logging struct {
	// Format is "text" or "json". Default "text".
	Format string `setting:"format"`
	// Root is the level of every logger that has none of its own. Default INFO.
	Root Logger `setting:"root"`
	// Loggers has levels by name. A name with dots inherits from the name before its last dot; "" is the root. The
	// loggers of this library are below "pulpcore", and a task's has the name of the task.
	Loggers map[string]Logger `setting:"loggers"`
	// Handlers are where records are written, by names of the installation's or a plugin's choice. Each gets every
	// record, besides the others. The handler "console" writes to standard error, also if it is not listed.
	Handlers map[string]LogHandler `setting:"handlers"`

	_ struct{} `setting:",ignore=version disable_existing_loggers incremental formatters filters"`
}

// Logger configures one logger.
type Logger struct {
	// Level is the lowest level that is written; nil means that of the parent.
	Level *Level `setting:"level"`

	_ struct{} `setting:",ignore=handlers filters propagate"`
}

// LogHandler is one place where records are written. A plugin or a host adds one without replacing the others:
//
//	settings.Merge("LOGGING__handlers", map[string]any{"audit": map[string]any{"output": "/var/log/pulp/audit.log"}})
type LogHandler struct {
	// Level is the lowest level that this handler writes, of the records that their loggers let pass. Nil means all.
	Level *Level `setting:"level"`
	// Format is "text" or "json". Default that of LOGGING.
	Format string `setting:"format"`
	// Output is "stderr", "stdout", "discard" for nothing at all, or the absolute path of a file, to which lines are
	// appended. The file stays open; rotate it by copy and truncation. Default "stderr".
	Output string `setting:"output"`
	// Handler names a [slog.Handler] that the host or a plugin has registered, in place of Output and Format.
	Handler string `setting:"handler"`
	// Loggers restricts the handler to records of these loggers and of those below them. Empty means all.
	Loggers []string `setting:"loggers"`
	// Class is Django's name of a kind of handler. "logging.StreamHandler" is accepted and means the default.
	Class string `setting:"class"`

	_ struct{} `setting:",ignore=formatter filters stream"`
}

// console is the handler that exists without being listed.
const console = "console"

// The outputs that are no files.
const (
	toStderr  = "stderr"
	toStdout  = "stdout"
	toNowhere = "discard"
)

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
	const neither = "is neither text nor json"
	ck.want(l.Format == "text" || l.Format == "json", "LOGGING__format", neither)
	for _, name := range sortedKeys(l.Loggers) {
		ck.want(isLoggerName(name), "LOGGING__loggers__"+name, notALogger)
	}
	for _, name := range sortedKeys(l.Handlers) {
		h, key := l.Handlers[name], "LOGGING__handlers__"+name
		ck.want(slices.Contains([]string{"", "text", "json"}, h.Format), key+"__format", neither)
		isWord := slices.Contains([]string{"", toStderr, toStdout, toNowhere}, h.Output)
		ck.want(isWord || filepath.IsAbs(h.Output), key+"__output",
			fmt.Sprintf("is %q; write stderr, stdout, discard or the absolute path of a file", h.Output))
		ck.want(h.Handler == "" || h.Output == "" && h.Format == "", key+"__handler",
			"excludes output and format, which the registered handler decides; drop them")
		ck.want(h.Class == "" || h.Class == "logging.StreamHandler", key+"__class",
			fmt.Sprintf("is %q, which does not exist here; write output with the path of a file, or handler with the name of "+
				"a slog.Handler that the host or a plugin has registered", h.Class))
		for _, logger := range h.Loggers {
			ck.want(isLoggerName(logger), key+"__loggers", fmt.Sprintf("has %q, which %s", logger, notALogger))
		}
	}
}

const notALogger = "is not the name of a logger; write words with dots between them, as in pulpcore.tasking"

// isLoggerName reports whether a text is "" or has words between its dots.
func isLoggerName(name string) bool {
	return name == "" || !slices.ContainsFunc(strings.Split(name, "."), func(word string) bool {
		return word == "" || strings.ContainsAny(word, " \t\r\n")
	})
}

// checkHandlers finds handlers that name a slog.Handler which is not registered under one of the known names.
func (l *Logging) checkHandlers(ck *checker, known []string) {
	for _, name := range sortedKeys(l.Handlers) {
		wanted, have := l.Handlers[name].Handler, "none is registered"
		if len(known) > 0 {
			have = fmt.Sprintf("there are %q", slices.Sorted(slices.Values(known)))
		}
		ck.want(wanted == "" || slices.Contains(known, wanted), "LOGGING__handlers__"+name+"__handler", fmt.Sprintf(
			"names the log handler %q, which neither the host nor a plugin has registered; %s", wanted, have))
	}
}

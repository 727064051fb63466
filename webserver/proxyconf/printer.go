package proxyconf

import (
	"fmt"
	"strings"
	"time"

	"github.com/pulpgo/pulpcore/webserver"
)

// Times of the connections between proxy and apps.
const (
	defaultIdle    = webserver.DefaultIdleTimeout
	connectTimeout = 5 * time.Second
	// answerTimeout is how long an app may take until it reads or writes more: it may first fetch a file from a remote.
	// Streams of events have a line at least every 15 seconds.
	answerTimeout = 10 * time.Minute
	maxPooled     = time.Minute // for which the proxy keeps an idle connection
)

// printer writes indented lines.
type printer struct {
	text  strings.Builder
	depth int
}

// line writes a line.
func (p *printer) line(format string, args ...any) {
	p.text.WriteString(strings.Repeat("    ", p.depth))
	fmt.Fprintf(&p.text, format, args...)
	p.text.WriteByte('\n')
}

// block writes a first line, the indented lines of inner, and a last line.
func (p *printer) block(first, last string, inner func()) {
	p.line("%s", first)
	p.depth++
	inner()
	p.depth--
	p.line("%s", last)
}

// gap writes an empty line.
func (p *printer) gap() { p.text.WriteByte('\n') }

// snippet writes the lines of a plugin.
func (p *printer) snippet(plugin, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	p.gap()
	p.line("# snippet of plugin %q", plugin)
	for line := range strings.Lines(text) {
		p.line("%s", strings.TrimRight(line, "\n"))
	}
}

// about writes comments on what the apps need to know of the proxy.
func (p *printer) about(c *Config) {
	trusted := "[\"127.0.0.1\"], or the address of the proxy as the apps see it"
	if strings.HasPrefix(c.options.API, "unix:") && strings.HasPrefix(c.options.Content, "unix:") {
		trusted = "[\"unix\"]"
	}
	p.line("# The apps need these settings, or they take the proxy for the client:")
	p.line("#   TRUSTED_PROXIES = %s", trusted)
	p.line("#   ALLOWED_HOSTS   = the names by which clients reach the proxy")
}

// pooled returns how long the proxy keeps an idle connection to an app. The app has to keep it longer, or a request
// could be sent on a connection that the app is closing.
func (c *Config) pooled() time.Duration {
	return max(min(orDefault(c.site.Limits.IdleTimeout, defaultIdle)/2, maxPooled), time.Second)
}

// address returns where an app listens.
func (c *Config) address(app App) string {
	if app == Content {
		return c.options.Content
	}
	return c.options.API
}

// orDefault returns a limit, or its default if it is not set.
func orDefault(d, base time.Duration) time.Duration {
	if d <= 0 {
		return base
	}
	return d
}

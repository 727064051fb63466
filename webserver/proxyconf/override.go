package proxyconf

import (
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/webserver"
)

// maxValue bounds the value of a header, in bytes.
const maxValue = 1024

var headerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,99}$`)

// setAlways returns the headers that every location sets.
func setAlways() []string {
	return []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Client-Cert"}
}

// ofConnection returns headers that belong to a connection or frame a message.
func ofConnection() []string {
	return []string{
		"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade",
	}
}

// sentByClients reports whether clients send a header of this name on their own.
func sentByClients(name string) bool {
	switch name {
	case "Authorization", "Cache-Control", "Cookie", "Date", "Dnt", "From", "Last-Event-Id", "Max-Forwards", "Origin",
		"Pragma", "Range", "Referer", "User-Agent", "Via":
		return true
	}
	return slices.ContainsFunc([]string{"Accept", "Content-", "If-", "Sec-"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// newOverride checks an override.
func newOverride(plugin string, o Override) (e *entry, faults []error) {
	e = &entry{plugin: plugin, headers: map[string]string{}}
	e.text = o.Pattern
	fault := func(err error) { faults = append(faults, fmt.Errorf("%s: %w", e.name(), err)) }
	p, err := parsePattern(o.Pattern)
	switch {
	case err != nil:
		fault(err)
	case p.method != "" || p.host != "":
		fault(errors.New("it has a method or a host, which no location looks at; write the path only"))
	}
	e.pattern = p
	if len(o.Headers) == 0 {
		fault(errors.New("there are no headers; set Headers, or leave the override out"))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		value, canonical := o.Headers[name], textproto.CanonicalMIMEHeaderKey(name)
		if err := headerFault(canonical, value); err != nil {
			fault(fmt.Errorf("header %q: %w", name, err))
		}
		if _, twice := e.headers[canonical]; twice {
			fault(fmt.Errorf("header %q is there twice; names differ by more than case", name))
		}
		e.headers[canonical] = value
	}
	return e, faults
}

// headerFault returns why a header cannot be set, or nil.
func headerFault(name, value string) error {
	printable := !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
	switch {
	case !headerName.MatchString(name):
		return errors.New("a name has letters, digits and hyphens, at most 100 of them")
	case slices.Contains(ofConnection(), name):
		return errors.New("it belongs to the connection and cannot be set; choose another name")
	case slices.Contains(webserver.ForwardingHeaders(), name):
		return errors.New("the proxy itself sets or removes it; choose another name")
	case len(value) > maxValue:
		return fmt.Errorf("the value has %d bytes; at most %d can be rendered", len(value), maxValue)
	// nginx has no escape for $, Apache's backslash makes newlines, and Apache evaluates what follows "expr=".
	case !printable || strings.ContainsAny(value, `$\`) || strings.HasPrefix(value, "expr="):
		return fmt.Errorf("the value %q cannot be quoted in both servers; write printable ASCII without $ and backslash, "+
			"that does not begin with expr=", value)
	}
	return nil
}

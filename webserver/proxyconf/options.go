package proxyconf

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The texts that need no quotes in either language.
var (
	plainFile = regexp.MustCompile(`^/[A-Za-z0-9/_.~+@=,-]*$`)
	plainName = regexp.MustCompile(`^\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
)

// fill puts in the defaults and returns the options that cannot be rendered.
func (o *Options) fill() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.API == "" {
		o.API = DefaultAPI
	}
	if o.Content == "" {
		o.Content = o.API
	}
	for _, u := range []struct{ name, address string }{{"API", o.API}, {"Content", o.Content}} {
		socket, unix := strings.CutPrefix(u.address, "unix:")
		if unix && !plainPath(socket) || !unix && !isAddress(u.address, true) {
			fault("%s: %q is not an address; write it as in 127.0.0.1:24817 or unix:/run/pulp/api.sock", u.name, u.address)
		}
	}
	for _, name := range o.Names {
		if !plainName.MatchString(name) || len(name) > 253 {
			fault("Names: %q is not the name of a host; write it without scheme and port", name)
		}
	}
	switch {
	case o.Listen == "" && o.TLS == nil:
		o.Listen = "80"
	case o.Listen == "":
		o.Listen = "443"
	}
	if !isAddress(o.Listen, false) && !isPort(o.Listen) {
		fault("Listen: %q is not a port or an address with one; write it as in 443 or 10.0.0.7:443", o.Listen)
	}
	if o.Modules == "" {
		o.Modules = DefaultModules
	}
	files := []struct{ name, file string }{{"Modules", o.Modules}}
	if o.Dir != "" {
		files = append(files, struct{ name, file string }{"Dir", o.Dir})
	}
	if o.TLS != nil {
		files = append(files, []struct{ name, file string }{
			{"TLS.Certificate", o.TLS.Certificate}, {"TLS.Key", o.TLS.Key},
		}...)
	}
	for _, f := range files {
		if !plainPath(f.file) {
			fault("%s: %q is not an absolute path of letters, digits and /_.~+@=,-; choose another place", f.name, f.file)
		}
	}
	return faults
}

// plainPath reports whether a file's path is absolute and needs no quotes.
func plainPath(file string) bool {
	return plainFile.MatchString(file) && len(file) <= 512 && filepath.Clean(file) == file
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0 && strconv.FormatUint(port, 10) == text
}

// isAddress reports whether a text is an IP address with a port; with names also a host with one.
func isAddress(text string, names bool) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && isPort(port) && (net.ParseIP(host) != nil || names && plainName.MatchString(host))
}

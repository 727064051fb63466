package webserver

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Hosts are the names under which a server may be asked. A client chooses the Host header freely, and answers repeat
// it, so a name that is not the server's is refused. The address that a client connected to is always allowed. nil
// allows what means this machine besides: localhost and names below it, and the loopback addresses.
type Hosts struct {
	all      bool
	names    map[string]bool
	suffixes []string // ".example.com"
}

// AllowHosts returns Hosts by a list: names, addresses (those of IPv6 in brackets), ".example.com" for that name and
// all below it, or "*" for everything. Ports are not part of it: a name is allowed with any. Mirrors Django's
// ALLOWED_HOSTS.
//
// Errors: Invalid, naming every entry that is none of these.
func AllowHosts(list ...string) (*Hosts, error) {
	h := &Hosts{names: map[string]bool{}}
	var faults []error
	for _, text := range list {
		name := strings.ToLower(text)
		suffix, whole := strings.CutPrefix(name, ".")
		switch {
		case name == "*":
			h.all = true
		case !validHost(suffix):
			faults = append(faults, fmt.Errorf("%q is not the name of a host; write it without scheme and port", text))
		case whole:
			h.names[suffix] = true
			h.suffixes = append(h.suffixes, name)
		default:
			h.names[name] = true
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("webserver: %w: %w", pulperr.Invalid, err)
	}
	return h, nil
}

// Check returns nil for a request whose Host header may be repeated.
//
// Errors: Invalid, with public text.
func (h *Hosts) Check(r *http.Request) error {
	if h != nil && h.all {
		return nil
	}
	name, ok := hostName(r.Host)
	// A browser that follows the name of another site to this server sends that name, never the address.
	if ok && (h.allows(name) || name == connectedTo(r)) {
		return nil
	}
	return pulperr.Public(pulperr.Invalid,
		"The Host header of the request names a host that this server does not serve. If it should, add it to ALLOWED_HOSTS.")
}

func (h *Hosts) allows(name string) bool {
	if h == nil {
		// RFC 6761 reserves names below localhost for the loopback address, so no other site can own one.
		return strings.HasSuffix("."+name, ".localhost") || name == "127.0.0.1" || name == "[::1]"
	}
	if h.names[name] {
		return true
	}
	for _, suffix := range h.suffixes {
		// The suffix begins with its dot, or evil-example.com would pass for a name below example.com.
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// connectedTo returns the address that the client connected to, as a Host header has it.
func connectedTo(r *http.Request) string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	addr, ok := parseAddress(local.String())
	switch {
	case !ok:
		return ""
	case addr.Is6():
		return "[" + addr.String() + "]"
	}
	return addr.String()
}

// hostName returns the name in a Host header, in lower case and without port and final dot. ok is false if the header
// has another form.
func hostName(header string) (name string, ok bool) {
	name = strings.ToLower(header)
	// The last colon of an IPv6 address in brackets is part of the address.
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		if _, err := strconv.ParseUint(name[i+1:], 10, 16); err != nil {
			return "", false
		}
		name = name[:i]
	}
	// A final dot marks a name as complete in DNS. Browsers send it as the user typed it.
	name = strings.TrimSuffix(name, ".")
	return name, validHost(name)
}

// validHost reports whether a text is a name or an address as a Host header has it.
func validHost(name string) bool {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && addr.Is6() && strings.HasSuffix(inner, "]")
	}
	// DNS allows 253 characters.
	if name == "" || len(name) > 253 {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}

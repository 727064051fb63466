package webserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pulpgo/pulpcore/internal/formfiles"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Proxies are the trusted reverse proxies in front of a server. Their forwarding headers give the client's address, and
// the scheme and the host that it used. nil and the zero value trust no proxy.
type Proxies struct {
	trusted []netip.Prefix
	unix    bool
}

// TrustProxies returns Proxies by their addresses: "10.0.0.7", "10.0.0.0/8", "fd00::/8", or "unix" for all clients of a
// Unix socket.
//
// Errors: Invalid, naming every entry that is none of these.
func TrustProxies(list ...string) (*Proxies, error) {
	p := new(Proxies)
	var faults []error
	for _, text := range list {
		if text == "unix" {
			p.unix = true
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		// Addresses of clients are unmapped before they are compared, so a prefix of mapped ones would match no client.
		if err != nil || prefix.Addr().Is4In6() {
			faults = append(faults, fmt.Errorf("proxy %q is not an address; write it as in 10.0.0.7, 10.0.0.0/8 or unix", text))
			continue
		}
		p.trusted = append(p.trusted, prefix.Masked())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("webserver: %w: %w", pulperr.Invalid, err)
	}
	return p, nil
}

// The forwarding headers that are read.
const (
	forwardedFor   = "X-Forwarded-For"
	forwardedProto = "X-Forwarded-Proto"
	forwardedHost  = "X-Forwarded-Host"
	clientCert     = "X-Client-Cert"
)

// ForwardingHeaders returns the names of all headers that only a proxy may set.
func ForwardingHeaders() []string {
	return []string{
		forwardedFor, forwardedProto, forwardedHost, "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip", "Forwarded",
		clientCert,
	}
}

type (
	schemeKey      struct{}
	certificateKey struct{}
)

// Handler gives h requests as the client sent them: r.RemoteAddr is the client's address, r.Host the host that it asked
// for, [SchemeOf] returns the scheme that it used, and [ClientCertificateOf] the certificate that it showed. Headers
// that only a proxy may set are removed from every request. Put it around all other handlers.
//
// Of X-Forwarded-For the rightmost address that does not belong to a trusted proxy is the client's. X-Forwarded-Proto,
// X-Forwarded-Host and X-Client-Cert are used if they have one value.
func (p *Proxies) Handler(h http.Handler) http.Handler {
	if p == nil {
		p = new(Proxies)
	}
	h = formfiles.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, p.clients(r)) })
}

// clients returns the request as the client sent it.
func (p *Proxies) clients(r *http.Request) *http.Request {
	said := r.Header
	ctx := r.Context()
	trusted := p.trusts(r.RemoteAddr)
	// The scheme becomes part of the links in answers, so no other text is taken over.
	if proto := single(said, forwardedProto); trusted && (proto == "http" || proto == "https") {
		ctx = context.WithValue(ctx, schemeKey{}, proto)
	}
	if cert := single(said, clientCert); trusted && cert != "" {
		ctx = context.WithValue(ctx, certificateKey{}, cert)
	}
	r = r.WithContext(ctx)
	// The copy of the request shares its headers with the original, which handlers around this one still use.
	r.Header = said.Clone()
	// They are removed for untrusted clients as well: an inner handler could not know that the client forged them.
	for _, name := range ForwardingHeaders() {
		delete(r.Header, name)
	}
	if !trusted {
		return r
	}
	if host := single(said, forwardedHost); host != "" {
		r.Host = host
	}
	if addr := p.client(said[forwardedFor]); addr != "" {
		// Handlers expect a port. The headers do not name the one of the client.
		r.RemoteAddr = net.JoinHostPort(addr, "0")
	}
	return r
}

func (p *Proxies) trusts(remote string) bool {
	addr, ok := parseAddress(remote)
	if !ok {
		// net/http has the path of a client's Unix socket here, "@" for one without a name, or no text.
		return p.unix && (remote == "" || remote[0] == '@' || remote[0] == '/')
	}
	return p.contains(addr)
}

func (p *Proxies) contains(addr netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// client returns the rightmost address that is not a trusted proxy's; the leftmost if all are, "" if there is none.
func (p *Proxies) client(lines []string) (client string) {
	// Each proxy appends the address of its own client. Addresses further left may have been sent by the client itself.
	hops := strings.Split(strings.Join(lines, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, ok := parseAddress(strings.TrimSpace(hops[i]))
		if !ok {
			return client // it may have invented the addresses further left
		}
		client = addr.String()
		if !p.contains(addr) {
			return client
		}
	}
	return client
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	// A socket for both IP versions has IPv4 clients as ::ffff:10.0.0.7, which no IPv4 prefix would contain.
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return addr.Unmap().WithZone(""), err == nil
}

func single(h http.Header, name string) string {
	// Of several values one may come from the client, because some proxies append their own.
	if values := h[name]; len(values) == 1 && !strings.Contains(values[0], ",") {
		return strings.TrimSpace(values[0])
	}
	return ""
}

// SchemeOf returns the scheme that the client used, "https" or "http", from the connection and the headers of trusted
// [Proxies].
func SchemeOf(r *http.Request) string {
	if said, ok := r.Context().Value(schemeKey{}).(string); ok {
		return said
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// ClientCertificateOf returns the text of X-CLIENT-CERT, in which a trusted proxy of [Proxies] sends the certificate
// that the client has proved to own: percent-encoded PEM, as nginx writes $ssl_client_escaped_cert. It is empty if the
// client showed none or if the request came from another address. The proxy must set the header on every request, or
// remove it: a text that the client sent would be taken for the proxy's.
func ClientCertificateOf(r *http.Request) string {
	text, _ := r.Context().Value(certificateKey{}).(string)
	return text
}

// AddressOf returns the client's address without the port, from the connection or the headers of trusted [Proxies].
// Over a Unix socket it is net/http's text for the peer, which may be empty.
func AddressOf(r *http.Request) string {
	if addr, ok := parseAddress(r.RemoteAddr); ok {
		return addr.String()
	}
	return r.RemoteAddr
}

// SourceOf returns whom to count a request against: the client's address, of IPv6 only the network of 64 bits.
func SourceOf(r *http.Request) string {
	addr, ok := parseAddress(r.RemoteAddr)
	if !ok {
		return r.RemoteAddr
	}
	// A client of IPv6 has a whole /64 and could send each request from another address.
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

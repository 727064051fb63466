package pulpcore

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/webserver"
)

// front is what stands between clients and handlers.
type front struct {
	origins *webserver.Origins
	proxies *webserver.Proxies
	hosts   *webserver.Hosts
}

func newFront(core settings.Core) (f *front, faults []error) {
	f = new(front)
	check := func(setting string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", setting, err))
		}
	}
	var err error
	f.origins, err = webserver.TrustOrigins(core.CSRFTrustedOrigins...)
	check("CSRF_TRUSTED_ORIGINS", err)
	f.proxies, err = webserver.TrustProxies(core.TrustedProxies...)
	check("TRUSTED_PROXIES", err)
	f.hosts, err = webserver.AllowHosts(slices.Concat(core.AllowedHosts, ownHosts(core.Listen, core.ContentOrigin))...)
	check("ALLOWED_HOSTS", err)
	return f, faults
}

// ownHosts returns the hosts by which the settings call this server.
func ownHosts(listen, origin string) (hosts []string) {
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
		hosts = append(hosts, host)
	}
	if u, err := url.Parse(origin); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	for i, host := range hosts {
		if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
			hosts[i] = "[" + host + "]"
		}
	}
	return hosts
}

// behindFront puts around a handler what must see a request first.
func (a *App) behindFront(h http.Handler) http.Handler {
	log := &webserver.AccessLog{Log: a.opts.AccessLog}
	if log.Log == nil && a.set.Core().AccessLog {
		log.Log = a.log
	}
	return a.front.proxies.Handler(log.Handler(h))
}

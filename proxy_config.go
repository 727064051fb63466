package pulpcore

import (
	"fmt"
	"net"

	"github.com/pulpgo/pulpcore/settings"
	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// ProxyConfig returns the configuration of a reverse proxy in front of an App with these settings and plugins: the API,
// the content app, every route of the plugins, their [Plugin.ProxyOverrides] and their [Plugin.ProxySnippets]. It
// checks settings and plugins as [Open] does and opens nothing. opts may be nil. The default of its API is the setting
// LISTEN.
//
// Errors: Invalid, as [Open] and [proxyconf.New].
func ProxyConfig(set *settings.Set, opts *proxyconf.Options, plugins ...*Plugin) (*proxyconf.Config, error) {
	// This process executes no tasks, so it needs no command for them.
	p, err := compile(set, &Options{IgnoreSubprocess: true}, plugins)
	if err != nil {
		return nil, err
	}
	core, o := p.set.Core(), proxyconf.Options{}
	if opts != nil {
		o = *opts
	}
	if o.API == "" {
		o.API = reachable(core.Listen)
	}
	conf, err := proxyconf.New(proxySite(p), &o)
	if err != nil {
		return nil, fmt.Errorf("pulpcore: proxy: %w", err)
	}
	return conf, nil
}

// proxySite describes what the App serves to the package that configures proxies.
func proxySite(p *plan) *proxyconf.Site {
	core := p.set.Core()
	site := &proxyconf.Site{
		APIRoot: core.APIRoot, Limits: *webserverLimits(core),
		Parts: []proxyconf.Part{{Plugin: "core", Routes: []proxyconf.Route{
			{Pattern: core.APIRoot + "api/v3/", To: proxyconf.API},
			{Pattern: core.ContentPathPrefix, To: proxyconf.Content},
		}}},
	}
	for _, plugin := range p.plugins {
		site.Parts = append(site.Parts, plugin.proxyPart())
	}
	return site
}

// proxyPart returns what the plugin brings to a proxy.
func (p *Plugin) proxyPart() proxyconf.Part {
	part := proxyconf.Part{Plugin: p.Name, Overrides: p.ProxyOverrides, Snippets: p.ProxySnippets}
	for _, r := range p.API {
		part.Routes = append(part.Routes, proxyconf.Route{Pattern: r.Pattern, To: proxyconf.API})
	}
	for _, r := range p.Content {
		part.Routes = append(part.Routes, proxyconf.Route{Pattern: r.Pattern, To: proxyconf.Content})
	}
	return part
}

// reachable returns the address at which a proxy on this machine reaches a server that listens on another one.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

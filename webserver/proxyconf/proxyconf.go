// Package proxyconf renders the configuration of a reverse proxy, nginx or Apache, in front of an App: which paths go
// to the API and which to the content app, with the headers, the time limits and the buffering that both need.
//
// A host gets a [Config] from pulpcore.ProxyConfig, which knows the routes of the plugins, and writes it:
//
//	conf, err := pulpcore.ProxyConfig(set, &proxyconf.Options{Names: []string{"pulp.example.com"}}, file.Plugin())
//	err = conf.Write(w, proxyconf.Nginx)          // a whole configuration, ready to run
//	err = conf.WriteSnippet(w, proxyconf.Nginx)   // the locations only, to include in a configuration of the host's own
//
// A plugin adds headers at some of its paths by an [Override], and lines of its own by [Snippets].
package proxyconf

import (
	"errors"
	"fmt"
	"io"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/webserver"
)

// Server is a program that a configuration is for.
type Server string

// The programs: nginx from version 1.18, Apache httpd from version 2.4.55.
const (
	Nginx  Server = "nginx"
	Apache Server = "apache"
)

// App is where a request goes.
type App int

// The apps. A process may serve both.
const (
	API App = iota + 1
	Content
)

// upstream returns the variable that snippets have for the address of the app.
func (a App) upstream() string {
	if a == Content {
		return "pulp-content"
	}
	return "pulp-api"
}

// Route is a pattern of [http.ServeMux] whose requests an app answers. The more specific one of two patterns wins.
type Route struct {
	Pattern string
	To      App
}

// Override gives requests below a path further headers, in place of those that the client sent under these names. The
// proxy sets them, so the plugin may rely on them: a client cannot send them to any path, unless browsers and other
// clients send a header of this name on their own, such as Accept.
type Override struct {
	// Pattern is a path as [http.ServeMux] has them, without method and host: "/pulp/api/v3/foo/" for all paths below,
	// "/pulp/api/v3/foo/{id}/bar" for some. It lies below a path that is served, or above some.
	Pattern string
	// Headers are values by name, of printable ASCII without $ and backslash. An empty one removes the header. A path gets
	// the headers of all overrides that it matches; of one name the most specific override's.
	Headers map[string]string
}

// Snippets are lines in the languages of the programs, for what a [Route] and an [Override] cannot express. They are
// taken over into the server block of nginx and the virtual host of Apache. They may use pulp-api and pulp-content as
// the addresses of the apps: http://pulp-api in nginx, http://${pulp-api} in Apache. A location of an nginx snippet
// takes the place of the one that a route has for the same path. It gets the headers that all requests need, such as
// X-Forwarded-Host, unless it sets them itself. Both are empty for a plugin without snippets.
type Snippets struct {
	Nginx, Apache string
}

// Part is what a plugin brings.
type Part struct {
	Plugin    string
	Routes    []Route
	Overrides []Override
	Snippets  Snippets
}

// Site is what the apps serve.
type Site struct {
	// APIRoot is a path, with a slash at both ends, below which the API answers all requests that no Part takes.
	APIRoot string
	Parts   []Part
	// Limits are those that the apps keep with their clients. The proxy gets the same.
	Limits webserver.Limits
}

// Options are what a host decides. The zero value of each field is its default.
type Options struct {
	// API and Content are the addresses of the apps: "127.0.0.1:24817", or "unix:/run/pulp/api.sock". Default for API:
	// "127.0.0.1:24817"; pulpcore.ProxyConfig has the setting LISTEN. Default for Content: the address of API.
	API, Content string
	// Names are the host names of the proxy, also ".example.com" for all below. Default: it answers to any.
	Names []string
	// Listen is the port, or the address and the port, on which clients reach the proxy. A port alone means all addresses
	// of the machine, with nginx those of IPv4. Default "80", with TLS "443".
	Listen string
	// TLS is how the proxy encrypts connections. Default: not at all.
	TLS *TLS
	// Dir is an absolute directory for the files of the running proxy: process id, logs, temporary files. With it any user
	// may start the proxy, if the port allows. Default: where the program has them, for a start by root.
	Dir string
	// Modules is the absolute directory with Apache's modules. Default "/usr/lib/apache2/modules".
	Modules string
}

// TLS are files that the proxy reads, by absolute paths, in PEM.
type TLS struct {
	Certificate, Key string
	// AskClients makes the proxy ask clients for a certificate and hand it to the apps, for content guards of certguard.
	// The proxy checks that the client owns the key; the guard checks who issued the certificate.
	AskClients bool
}

// Defaults of [Options].
const (
	DefaultAPI     = "127.0.0.1:24817"
	DefaultModules = "/usr/lib/apache2/modules"
)

// Config is a configuration that can be rendered. Make one with [New]. It is safe for concurrent use.
type Config struct {
	site    Site
	options Options
	nodes   []*node // the most specific first
	others  *node   // all paths that are in none of the nodes; nil if there are no others
	remove  []string

	snippets map[string]*nginxSnippet // by plugin
}

// New makes a Config. opts may be nil.
//
// Errors: Invalid, with every pattern, header and option that cannot be rendered, and its plugin; with patterns that no
// location can tell apart, since they differ by method or host and lead to different apps.
func New(site *Site, opts *Options) (*Config, error) {
	c := &Config{site: *site}
	if opts != nil {
		c.options = *opts
	}
	faults := c.options.fill()
	l, more := newLayout(site)
	faults = append(faults, more...)
	if len(faults) == 0 {
		c.nodes, faults = l.nodes()
	}
	err := errors.Join(faults...)
	if err != nil {
		return nil, fmt.Errorf("proxyconf: %w: %w", pulperr.Invalid, err)
	}
	c.remove = l.removed()
	c.snippets = map[string]*nginxSnippet{}
	for _, part := range site.Parts {
		if c.snippets[part.Plugin], err = readNginx(part.Snippets.Nginx); err != nil {
			return nil, fmt.Errorf("proxyconf: %w", err) // Check has refused such a snippet
		}
	}
	if last := c.nodes[len(c.nodes)-1]; len(last.path.segments) > 0 || !last.path.multi {
		c.others = l.at(path{multi: true}, nil)
		c.others.app = API
	}
	return c, nil
}

// Check returns the faults of a plugin's overrides and snippets, each with the plugin's name.
func Check(parts ...Part) (faults []error) {
	for _, part := range parts {
		for _, o := range part.Overrides {
			_, more := newOverride(part.Plugin, o)
			faults = append(faults, more...)
		}
		for server, text := range map[Server]string{Nginx: part.Snippets.Nginx, Apache: part.Snippets.Apache} {
			if err := snippetFault(server, text); err != nil {
				faults = append(faults, fmt.Errorf("plugin %q: the snippet for %s: %w", part.Plugin, server, err))
			}
		}
	}
	return faults
}

// Write writes a whole configuration. The program runs it as it is: nginx -c FILE, apache2 -f FILE.
//
// Errors: Invalid for a server that is not known, and for what it cannot do; those of w.
func (c *Config) Write(w io.Writer, server Server) error { return c.write(w, server, true) }

// WriteSnippet writes the part that leads requests to the apps, to include in a configuration of the host's own. For
// nginx it belongs into a server block, and the host declares the upstreams pulp-api and pulp-content. For Apache it
// belongs into a virtual host; it needs the modules headers, proxy and proxy_http, and the snippets of plugins need
// "Define pulp-api …" and "Define pulp-content …".
//
// Errors: as [Config.Write].
func (c *Config) WriteSnippet(w io.Writer, server Server) error { return c.write(w, server, false) }

func (c *Config) write(w io.Writer, server Server, whole bool) error {
	p := &printer{}
	switch server {
	case Nginx:
		(&nginx{Config: c, printer: p}).render(whole)
	case Apache:
		a := &apache{Config: c, printer: p}
		if err := a.check(); err != nil {
			return err
		}
		a.render(whole)
	default:
		return fmt.Errorf("proxyconf: %w: the server %q is not known; use %q or %q",
			pulperr.Invalid, server, Nginx, Apache)
	}
	if _, err := io.WriteString(w, p.text.String()); err != nil {
		return fmt.Errorf("proxyconf: %w", err)
	}
	return nil
}

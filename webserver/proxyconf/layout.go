package proxyconf

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"

	"github.com/pulpgo/pulpcore/webserver"
)

// entry is a declared pattern: a route, which has an app, or an override, which has headers.
type entry struct {
	pattern
	plugin string
	app    App // 0 for an override
	// base is set for the API's root: the API answers 404 to what it does not serve there, so other patterns may take any
	// path below it.
	base    bool
	headers map[string]string // by canonical names
}

// name returns the words for the entry in a fault.
func (e *entry) name() string {
	kind := "route"
	if e.app == 0 {
		kind = "override"
	}
	return fmt.Sprintf("plugin %q: %s %q", e.plugin, kind, e.text)
}

// layout finds out which locations a site needs.
type layout struct {
	entries []*entry // the most specific first
}

// newLayout reads the patterns of a site.
func newLayout(site *Site) (l *layout, faults []error) {
	l = new(layout)
	add := func(e *entry) { l.entries = append(l.entries, e) }
	for _, part := range site.Parts {
		for _, r := range part.Routes {
			p, err := parsePattern(r.Pattern)
			if err != nil {
				faults = append(faults, fmt.Errorf("plugin %q: route %q: %w", part.Plugin, r.Pattern, err))
				continue
			}
			add(&entry{pattern: p, plugin: part.Plugin, app: r.To})
		}
		for _, o := range part.Overrides {
			e, more := newOverride(part.Plugin, o)
			if faults = append(faults, more...); len(more) == 0 {
				add(e)
			}
		}
	}
	faults = append(faults, Check(snippetsOf(site.Parts)...)...)
	root, err := parsePattern(site.APIRoot)
	if err != nil {
		return l, append(faults, fmt.Errorf("the root of the API: %w", err))
	}
	add(&entry{pattern: root, plugin: "core", app: API, base: true})
	slices.SortStableFunc(l.entries, func(a, b *entry) int { return bySpecificity(a.path, b.path) })
	return l, append(faults, l.faults()...)
}

func snippetsOf(parts []Part) (list []Part) {
	for _, p := range parts {
		list = append(list, Part{Plugin: p.Plugin, Snippets: p.Snippets})
	}
	return list
}

// faults returns the pairs of patterns that a location cannot tell apart, and overrides without a route.
func (l *layout) faults() (faults []error) {
	for i, a := range l.entries {
		served := a.app != 0
		for j, b := range l.entries {
			how := relate(a.path, b.path)
			served = served || b.app != 0 && how != disjoint
			if i >= j || a.app == 0 || b.app == 0 || a.app == b.app || a.base || b.base {
				continue
			}
			specific, general := a, b
			if how == around {
				specific, general = b, a
			}
			if how == equal || how == overlap || (how != disjoint &&
				(specific.host != "" || specific.method != "" && specific.method != general.method)) {
				faults = append(faults, fmt.Errorf("%s and %s lead to different apps and differ by method or host only, "+
					"which no location looks at; choose another path", a.name(), b.name()))
			}
		}
		if !served {
			faults = append(faults, fmt.Errorf("%s: nothing is served there; choose a path at, above or below a route",
				a.name()))
		}
	}
	return faults
}

// node is a location: a set of paths with their app and their headers.
type node struct {
	path    path
	source  *entry // whose pattern it comes from
	app     App
	headers map[string]string
	parent  *node // the most specific of the nodes around it; nil without one
	// claimed is app and headers of the bare path if a pattern matches that itself. Nil means that they are the node's.
	claimed *node
}

func (n *node) same(o *node) bool {
	return o != nil && n.app == o.app && maps.Equal(n.headers, o.headers)
}

// at returns app and headers of all paths of p, by the patterns that cover p.
func (l *layout) at(p path, source *entry) *node {
	n := &node{path: p, source: source, headers: map[string]string{}}
	for _, e := range l.entries {
		if !e.path.covers(p) {
			continue
		}
		if n.app == 0 {
			n.app = e.app
		}
		for name, value := range e.headers {
			if _, ok := n.headers[name]; !ok {
				n.headers[name] = value
			}
		}
	}
	return n
}

// nodes returns the locations, the most specific first.
func (l *layout) nodes() (list []*node, faults []error) {
	all := map[string]*node{}
	bare := map[string]bool{} // bare paths, which need a location if a pattern matches them itself
	for _, e := range l.entries {
		n := l.at(e.path, e)
		if n.app == 0 { // an override above routes
			faults = append(faults, l.crossed(e)...)
			continue
		}
		n = l.widened(n)
		if _, ok := all[n.path.key()]; !ok {
			all[n.path.key()] = n
		}
		if n.path.multi {
			bare[n.path.bare().key()] = true
		}
	}
	sorted := slices.SortedFunc(maps.Values(all), func(a, b *node) int { return bySpecificity(a.path, b.path) })
	for _, n := range slices.Backward(sorted) {
		n.parent = l.parentIn(list, n)
		if n.same(n.parent) && !bare[n.path.key()] {
			continue
		}
		list = append(list, n)
	}
	slices.Reverse(list)
	for _, n := range list {
		if claimed := l.claim(n); claimed != nil && !claimed.same(n) {
			n.claimed = claimed
		}
	}
	return list, append(faults, crossings(list)...)
}

// crossed returns the routes that have paths in common with an override without lying below it.
func (l *layout) crossed(override *entry) (faults []error) {
	for _, e := range l.entries {
		if e.app != 0 && relate(e.path, override.path) == overlap {
			faults = append(faults, crossing(override, e))
		}
	}
	return faults
}

func crossing(a, b *entry) error {
	return fmt.Errorf("%s and %s have paths in common with different apps or headers, and neither is more specific; "+
		"choose another path", a.name(), b.name())
}

// parentIn returns the most specific node around n; the list has the most specific ones last.
func (l *layout) parentIn(list []*node, n *node) *node {
	for _, o := range slices.Backward(list) {
		if o.path.covers(n.path) {
			return o
		}
	}
	return nil
}

// claim returns what a bare path has by patterns that match it itself, or nil.
func (l *layout) claim(n *node) *node {
	if !n.path.multi {
		return nil
	}
	p := n.path.bare()
	for _, e := range l.entries {
		if e.path.covers(p) && !e.path.covers(n.path) {
			return l.at(p, e)
		}
	}
	return nil
}

// widened returns n for all paths in front of its first wildcard, if no other pattern has a use for them. A location
// for such a prefix is easier to read and to override than a regular expression.
func (l *layout) widened(n *node) *node {
	if !n.path.wildcards() {
		return n
	}
	wide := l.at(n.path.below(), n.source)
	wide.app = n.app
	if len(wide.path.segments) == 0 || !n.same(wide) {
		return n
	}
	for _, e := range l.entries {
		how := relate(e.path, wide.path)
		// The API has nothing below its root that another pattern does not name.
		if how == disjoint || how == around && e.base || n.path.covers(e.path) {
			continue
		}
		if !n.same(l.at(e.path, e)) {
			return n
		}
	}
	return wide
}

// crossings returns the pairs of locations that have paths in common without one containing the other.
func crossings(list []*node) (faults []error) {
	for i, a := range list {
		for _, b := range list[i+1:] {
			if a.same(b) {
				continue
			}
			crossed := relate(a.path, b.path) == overlap
			for _, pair := range [][2]*node{{a, b}, {b, a}} {
				m, o := pair[0], pair[1]
				crossed = crossed || m.path.multi && m.claimed == nil && relate(m.path.bare(), o.path) == overlap
			}
			if crossed {
				faults = append(faults, crossing(a.source, b.source))
			}
		}
	}
	return faults
}

// removed returns the headers of clients that no app gets, sorted.
func (l *layout) removed() []string {
	names := map[string]bool{"Remote-User": true, "X-Remote-User": true}
	for _, name := range webserver.ForwardingHeaders() {
		names[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	for _, e := range l.entries {
		for name := range e.headers {
			if !sentByClients(name) {
				names[name] = true
			}
		}
	}
	for _, name := range setAlways() {
		delete(names, name)
	}
	return slices.Sorted(maps.Keys(names))
}

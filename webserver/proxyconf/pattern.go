package proxyconf

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pulpgo/pulpcore/internal/routes"
)

// maxPattern bounds a pattern, in bytes. nginx reads no word longer than 4096 bytes, and a byte may take four of them
// in a regular expression.
const maxPattern = 512

// pattern is a pattern of [http.ServeMux].
type pattern struct {
	text         string // as it was declared
	method, host string // "" for all
	path         path
}

// path is the set of paths that a pattern matches: those with the segments, and with multi those that go on behind
// them.
type path struct {
	segments []segment
	multi    bool // one or more further segments follow, the last of which may be empty
}

// segment is the text between two slashes, decoded, or any text that is not empty.
type segment struct {
	literal string
	wild    bool
}

// parsePattern reads a pattern. Its error has no name of the plugin or the route.
func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	if len(text) > maxPattern {
		return p, fmt.Errorf("the pattern has %d bytes; at most %d can be rendered", len(text), maxPattern)
	}
	if err := (routes.Owners{}).Register(http.NewServeMux(), "", "pattern", text, http.NotFoundHandler()); err != nil {
		return p, err
	}
	rest := text
	if method, after, found := strings.Cut(text, " "); found {
		p.method, rest = method, strings.TrimLeft(after, " \t")
	}
	slash := strings.IndexByte(rest, '/')
	p.host = rest[:slash]
	var err error
	p.path, err = parsePath(rest[slash+1:])
	return p, err
}

// parsePath reads the path of a pattern, without its first slash.
func parsePath(text string) (p path, err error) {
	parts := strings.Split(text, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		inner, wild := strings.CutPrefix(part, "{")
		switch {
		case last && part == "", wild && strings.HasSuffix(inner, "...}"):
			p.multi = true
		case part == "{$}":
			p.segments = append(p.segments, segment{})
		case wild:
			p.segments = append(p.segments, segment{wild: true})
		default:
			literal, err := url.PathUnescape(part)
			if err != nil {
				literal = part // as http.ServeMux does
			}
			if fault := literalFault(literal); fault != "" {
				return p, fmt.Errorf("the segment %q %s; choose another path", part, fault)
			}
			p.segments = append(p.segments, segment{literal: literal})
		}
	}
	return p, nil
}

// literalFault tells why no request could be compared with a segment, or "".
func literalFault(s string) string {
	switch {
	case s == "" || s == "." || s == "..":
		return "is removed from paths by proxies"
	case strings.Contains(s, "/"):
		return "has an encoded slash, which nginx decodes before it compares paths"
	case hasControl(s):
		return "has a control character"
	}
	return ""
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// end is the end of a path in a regular expression. The sign $ also stands for the place before a final newline.
const end = `\z`

// wildcards reports whether a segment stands for any text.
func (p path) wildcards() bool {
	return slices.ContainsFunc(p.segments, func(s segment) bool { return s.wild })
}

// below returns the paths below the segments in front of the first wildcard.
func (p path) below() path {
	i := slices.IndexFunc(p.segments, func(s segment) bool { return s.wild })
	return path{segments: p.segments[:i], multi: true}
}

// bare returns the path of a multi path without the slash at its end. http.ServeMux redirects it to the one with the
// slash.
func (p path) bare() path { return path{segments: p.segments} }

// key is the same text for the same paths.
func (p path) key() string { return p.regexp(end, false) }

// plain returns the path as it is, or ok = false if it has wildcards or characters that need quotes or escapes in
// some configuration.
func (p path) plain() (text string, ok bool) {
	var b strings.Builder
	for _, s := range p.segments {
		if s.wild || strings.ContainsFunc(s.literal, func(r rune) bool { return !isPlain(r) }) {
			return "", false
		}
		b.WriteString("/" + s.literal)
	}
	if p.multi {
		b.WriteByte('/')
	}
	return b.String(), true
}

func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.~-", r)
}

// regexp returns a regular expression in PCRE that matches the decoded paths. Characters that could end a quoted word,
// or mean a variable, are in it as their numbers. ends are what may follow a path that is whole: `\z`, or `\z|\?` where
// a query may. With bare, that may take the place of the slash at the end of a multi path.
func (p path) regexp(ends string, bare bool) string {
	var b strings.Builder
	b.WriteByte('^')
	for _, s := range p.segments {
		b.WriteByte('/')
		if s.wild {
			b.WriteString("[^/]+")
			continue
		}
		for _, c := range []byte(s.literal) {
			switch {
			case c == '.':
				b.WriteString(`\.`)
			case isPlain(rune(c)):
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
	}
	switch {
	case !p.multi:
		b.WriteString("(?:" + ends + ")")
	case bare && len(p.segments) > 0:
		b.WriteString("(?:/|" + ends + ")")
	default:
		b.WriteByte('/')
	}
	return b.String()
}

// relation is how the paths of two patterns relate.
type relation int

const (
	disjoint relation = iota
	equal
	within  // all of the first are among those of the second
	around  // all of the second are among those of the first
	overlap // they have some in common, and each has others
)

// relate compares two paths.
func relate(p, q path) relation {
	pIn, qIn := true, true
	for i := 0; ; i++ {
		pEnds, qEnds := i == len(p.segments), i == len(q.segments)
		switch {
		case pEnds && qEnds:
			if p.multi != q.multi {
				return disjoint // multi has one more segment at least
			}
			return relationOf(pIn, qIn)
		case pEnds:
			if !p.multi {
				return disjoint
			}
			return relationOf(false, qIn)
		case qEnds:
			if !q.multi {
				return disjoint
			}
			return relationOf(pIn, false)
		}
		a, b := p.segments[i], q.segments[i]
		switch {
		case a.wild && b.wild:
		case a.wild && b.literal != "":
			pIn = false
		case b.wild && a.literal != "":
			qIn = false
		case a != b:
			return disjoint
		}
	}
}

func relationOf(pIn, qIn bool) relation {
	switch {
	case pIn && qIn:
		return equal
	case pIn:
		return within
	case qIn:
		return around
	}
	return overlap
}

// covers reports whether all paths of q are among those of p.
func (p path) covers(q path) bool {
	r := relate(p, q)
	return r == equal || r == around
}

// bySpecificity sorts paths so that each comes before those that cover it.
func bySpecificity(p, q path) int {
	for i := 0; ; i++ {
		if c := cmp.Compare(q.rank(i), p.rank(i)); c != 0 {
			return c
		}
		if i >= len(p.segments) {
			return 0
		}
		if c := cmp.Compare(p.segments[i].literal, q.segments[i].literal); c != 0 {
			return c
		}
	}
}

// rank is higher where fewer texts are allowed as segment i.
func (p path) rank(i int) int {
	switch {
	case i >= len(p.segments) && p.multi:
		return 0
	case i >= len(p.segments):
		return 3
	case p.segments[i].wild:
		return 1
	}
	return 2
}

package proxyconf_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// location is a rendered location with what it does.
type location struct {
	match   string // "/a/", "= /a" or `~ "^/a"`; for Apache the regular expression alone
	app     string
	headers map[string]string
}

var (
	nginxLocation = regexp.MustCompile(`(?s)\n    location ([^\n]*) \{\n(.*?)\n    \}`)
	nginxHeader   = regexp.MustCompile(`proxy_set_header (X-T-\S+) "([^"]*)"`)
	apachePass    = regexp.MustCompile(`ProxyPassMatch "([^"]*)" "http://([^"]*)" nocanon`)
	apacheSection = regexp.MustCompile(`(?s)<LocationMatch "([^"]*)">\n(.*?)</LocationMatch>`)
	apacheHeader  = regexp.MustCompile(`RequestHeader set (X-T-\S+) "([^"]*)"`)
)

func headersIn(re *regexp.Regexp, text string) map[string]string {
	found := map[string]string{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		if m[2] != "" {
			found[m[1]] = m[2]
		}
	}
	return found
}

var compiled sync.Map

// matches compiles each expression once.
func matches(expr, path string) bool {
	re, ok := compiled.Load(expr)
	if !ok {
		re, _ = compiled.LoadOrStore(expr, regexp.MustCompile(expr))
	}
	return re.(*regexp.Regexp).MatchString(path)
}

// askNginx does what nginx does with a path.
func askNginx(text, path string) (app string, headers map[string]string) {
	var best, first *location
	for _, m := range nginxLocation.FindAllStringSubmatch("\n    "+strings.ReplaceAll(text, "\n", "\n    "), -1) {
		l := &location{match: m[1], app: "api", headers: headersIn(nginxHeader, m[2])}
		if strings.Contains(m[2], "http://pulp-content") {
			l.app = "content"
		}
		switch expr, isExpr := strings.CutPrefix(l.match, `~ "`); {
		case l.match == "= "+path:
			return l.app, l.headers
		case isExpr:
			if first == nil && matches(strings.TrimSuffix(expr, `"`), path) {
				first = l
			}
		case strings.HasPrefix(path, l.match) && (best == nil || len(l.match) > len(best.match)):
			best = l
		}
	}
	switch {
	case first != nil:
		return first.app, first.headers
	case best != nil:
		return best.app, best.headers
	}
	return "", nil
}

// askApache does what Apache does with a path.
func askApache(text, path string) (app string, headers map[string]string) {
	headers = map[string]string{}
	for _, m := range apacheSection.FindAllStringSubmatch(text, -1) {
		if matches(m[1], path) {
			maps.Copy(headers, headersIn(apacheHeader, m[2]))
		}
	}
	for _, m := range apachePass.FindAllStringSubmatch(text, -1) {
		if matches(m[1], path) {
			return map[string]string{"api:1": "api", "content:2": "content"}[m[2]], headers
		}
	}
	return "", nil
}

// randomPath returns a path of few different segments, so that paths often have something in common.
func randomPath(r *rand.Rand, segments []string) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString("/" + segments[r.IntN(len(segments))])
	}
	if r.IntN(2) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// randomSite returns a site, and a mux of its routes and one of each override.
func randomSite(r *rand.Rand) (*proxyconf.Site, *http.ServeMux, map[string]*http.ServeMux) {
	segments := []string{"a", "b", "a.b", "p", "%20;"}
	patterns := slices.Concat(segments, []string{"{x}", "{y}"})
	site := &proxyconf.Site{APIRoot: "/p/", Parts: []proxyconf.Part{{Plugin: "one"}, {Plugin: "two"}}}
	mux, overrides := http.NewServeMux(), map[string]*http.ServeMux{}
	mux.Handle(site.APIRoot, app("")) // what is below it and in no route may have any answer
	names := func(path string) string {
		for i := strings.Count(path, "{"); i > 0; i-- { // a name may be there once
			path = strings.Replace(path, "{x}", fmt.Sprintf("{x%d}", i), 1)
			path = strings.Replace(path, "{y}", fmt.Sprintf("{y%d}", i), 1)
		}
		return path
	}
	for range 1 + r.IntN(5) {
		route := proxyconf.Route{Pattern: names(randomPath(r, patterns)), To: proxyconf.App(1 + r.IntN(2))}
		handler := map[proxyconf.App]http.Handler{proxyconf.API: app("api"), proxyconf.Content: app("content")}[route.To]
		if func() (ok bool) {
			defer func() { ok = recover() == nil }()
			mux.Handle(route.Pattern, handler)
			return true
		}() {
			part := &site.Parts[r.IntN(2)]
			part.Routes = append(part.Routes, route)
		}
	}
	for i := range r.IntN(3) {
		o := proxyconf.Override{Pattern: names(randomPath(r, patterns)), Headers: map[string]string{fmt.Sprintf("X-T-%d", i): "yes"}}
		site.Parts[0].Overrides = append(site.Parts[0].Overrides, o)
		own := http.NewServeMux()
		own.Handle(o.Pattern, app("yes"))
		overrides[fmt.Sprintf("X-T-%d", i)] = own
	}
	return site, mux, overrides
}

type app string

func (app) ServeHTTP(http.ResponseWriter, *http.Request) {}

// ask returns what a mux has for a path itself, without its redirects.
func ask(mux *http.ServeMux, path string) string {
	h, _ := mux.Handler(httptest.NewRequest(http.MethodGet, "http://h"+path, nil))
	a, _ := h.(app)
	return string(a)
}

// TestLocations compares the locations of random sites with what [http.ServeMux] does.
func TestLocations(t *testing.T) {
	t.Parallel()
	const sites = 200
	rendered, expressions := 0, 0
	for seed := range uint64(sites) {
		r := rand.New(rand.NewPCG(seed, 1))
		site, mux, overrides := randomSite(r)
		conf, err := proxyconf.New(site, &proxyconf.Options{API: "api:1", Content: "content:2"})
		if err != nil {
			continue // patterns that no location tells apart; TestFaults has them
		}
		rendered++
		var nginx, apache strings.Builder
		must(t, conf.WriteSnippet(&nginx, proxyconf.Nginx))
		must(t, conf.WriteSnippet(&apache, proxyconf.Apache))
		if strings.Contains(nginx.String(), "location ~") {
			expressions++
		}
		for range 40 {
			path := randomPath(r, []string{"a", "b", "a.b", "p", "%20;", "c"})
			want := ask(mux, path)
			if want == "" {
				continue
			}
			headers := map[string]string{}
			for name, own := range overrides {
				if ask(own, path) != "" {
					headers[name] = "yes"
				}
			}
			decoded := strings.ReplaceAll(path, "%20", " ")
			for server, lead := range map[string]func() (string, map[string]string){
				"nginx":  func() (string, map[string]string) { return askNginx(nginx.String(), decoded) },
				"Apache": func() (string, map[string]string) { return askApache(apache.String(), decoded) },
			} {
				got, set := lead()
				for name := range overrides {
					// The path without the slash at its end may have the headers of those below.
					if set[name] != headers[name] && !(headers[name] == "" && ask(overrides[name], path+"/") != "") {
						t.Errorf("seed %d: %s sets %s: %q for %s, want %q", seed, server, name, set[name], path, headers[name])
					}
				}
				if got != want {
					t.Errorf("seed %d: %s leads %s to %q, want %q\n%+v", seed, server, path, got, want, site)
				}
			}
			if t.Failed() {
				t.Fatalf("%+v\n%s\n%s", site, nginx.String(), apache.String())
			}
		}
	}
	t.Logf("%d of %d sites were rendered, %d of them with regular expressions", rendered, sites, expressions)
	if rendered < sites/4 || expressions < sites/20 {
		t.Error("too few sites are left")
	}
}

// TestWildcards has patterns that need a regular expression, and one that does not.
func TestWildcards(t *testing.T) {
	t.Parallel()
	routes := []proxyconf.Route{
		{Pattern: "/p/{x}/f", To: proxyconf.Content},
		{Pattern: "/q/{x}/f", To: proxyconf.Content},
		{Pattern: "/r/{x}/f", To: proxyconf.Content},
		{Pattern: "/r/{x}/g", To: proxyconf.API},
	}
	conf, err := proxyconf.New(&proxyconf.Site{APIRoot: "/p/", Parts: []proxyconf.Part{{Routes: routes}}}, nil)
	must(t, err)
	var text strings.Builder
	must(t, conf.WriteSnippet(&text, proxyconf.Nginx))
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^location (.*) \{\n    proxy_pass http://pulp-(.*);`).FindAllStringSubmatch(text.String(), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(got)
	want := []string{
		"/p/ api", "/q/ content", "= /p api", "= /q content",
		`~ "^/p/[^/]+/f(?:\z)" content`, `~ "^/r/[^/]+/f(?:\z)" content`, `~ "^/r/[^/]+/g(?:\z)" api`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("locations are %q, want %q", got, want)
	}
}

package proxyconf_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/webserver/proxyconf"
)

// page is a handler that is never called.
var page = http.NotFoundHandler()

// directive matches the beginning of a line with its directive.
var directive = regexp.MustCompile(`^ *([A-Za-z_]+|</?[A-Za-z]+)`)

// directives returns the first words of the lines, and the texts in quotes.
func directives(t *testing.T, text string) (words map[string]bool, quoted []string) {
	t.Helper()
	words = map[string]bool{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line == "}" || line[0] == '#' {
			continue
		}
		m := directive.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("the line %q has no directive", line)
			continue
		}
		words[m[1]] = true
		// A backslash at the end of a line would join it with the next one.
		if strings.HasSuffix(line, `\`) || strings.ContainsRune(line, 0) {
			t.Errorf("the line %q has no end", line)
		}
		inside, text := false, ""
		for i := 0; i < len(line); i++ {
			switch {
			case inside && line[i] == '\\' && i+1 < len(line) && line[i+1] == '"':
				i++
				text += `"`
			case line[i] == '"':
				if inside {
					quoted = append(quoted, text)
				}
				inside, text = !inside, ""
			case inside:
				text += line[i : i+1]
			}
		}
		if inside {
			t.Errorf("the line %q has a quote without end", line)
		}
	}
	return words, quoted
}

// FuzzRender renders any pattern and any header. They are refused, or they stand in quotes and add no directive.
func FuzzRender(f *testing.F) {
	for _, pattern := range []string{
		"/a/", "GET /a/{x}/b", "h.example/a", "/a\"b", "/$x", "/%7B%22;/{r...}", "/a\nb", "/a\\", "/{$}", "/\xff",
	} {
		f.Add(pattern, "X-Foo", `a "b" %c; {d}`, true)
		f.Add(pattern, "a\nb", "expr=$x\\", false)
	}
	site := func(pattern, name, value string, toContent bool) *proxyconf.Site {
		route := proxyconf.Route{Pattern: pattern, To: proxyconf.API}
		if toContent {
			route.To = proxyconf.Content
		}
		return &proxyconf.Site{APIRoot: "/pulp/", Parts: []proxyconf.Part{{
			Plugin: "fuzzed", Routes: []proxyconf.Route{route},
			Overrides: []proxyconf.Override{{Pattern: "/pulp/own/", Headers: map[string]string{name: value}}},
		}}}
	}
	harmless, err := proxyconf.New(site("/a/{x}/", "X-Foo", "bar", true), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, pattern, name, value string, toContent bool) {
		conf, err := proxyconf.New(site(pattern, name, value, toContent), nil)
		if err != nil {
			if !strings.Contains(err.Error(), `plugin "fuzzed"`) {
				t.Errorf("New(%q, %q, %q) = %v, which does not name the plugin", pattern, name, value, err)
			}
			return
		}
		for server, written := range map[proxyconf.Server]string{
			proxyconf.Nginx: value, proxyconf.Apache: strings.ReplaceAll(value, "%", "%%"),
		} {
			var want, got strings.Builder
			must(t, harmless.Write(&want, server))
			must(t, conf.Write(&got, server))
			known, _ := directives(t, want.String())
			known["RequestHeader"], known["location"] = true, true
			words, quoted := directives(t, got.String())
			for word := range words {
				if !known[word] {
					t.Errorf("%s has the directive %q by %q, %q, %q", server, word, pattern, name, value)
				}
			}
			if value != "" && !slices.Contains(quoted, written) {
				t.Errorf("%s has not the value %q: %q", server, written, quoted)
			}
		}
	})
}

// FuzzSnippets renders any snippet for nginx. What was rendered once needs no more headers.
func FuzzSnippets(f *testing.F) {
	for _, text := range []string{
		"", "location /a/ { proxy_pass http://pulp-api; }", "location /a { location /a/b { proxy_set_header A \"}\"; } }",
		"location = /a {if ($a ~ \"{1}\") { proxy_pass http://pulp-api; }}", "a '", "}{", "# {", "a \\{ b;", "location / {}\n} server {",
	} {
		f.Add(text)
	}
	render := func(t *testing.T, text string) (snippet string, ok bool) {
		t.Helper()
		parts := []proxyconf.Part{{Plugin: "one", Snippets: proxyconf.Snippets{Nginx: text}}}
		conf, err := proxyconf.New(&proxyconf.Site{APIRoot: "/pulp/", Parts: parts}, nil)
		if err != nil {
			return "", false
		}
		var out strings.Builder
		must(t, conf.WriteSnippet(&out, proxyconf.Nginx))
		_, snippet, _ = strings.Cut(out.String(), "# snippet of plugin \"one\"\n")
		return snippet, true
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, ok := render(t, text)
		if !ok {
			return
		}
		twice, ok := render(t, once)
		if !ok || strings.Count(twice, "proxy_set_header") != strings.Count(once, "proxy_set_header") {
			t.Errorf("%q is %q, and then %q", text, once, twice)
		}
	})
}

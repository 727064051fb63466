package guards_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/content"
	"github.com/pulpgo/pulpcore/content/guards"
	"github.com/pulpgo/pulpcore/pulperr"
)

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, filter string
		sent         []string
		permitted    bool
	}{
		{"the value", "", []string{encoded("secret")}, true},
		{"no header", "", nil, false},
		{"an empty header", "", []string{""}, false},
		{"another value", "", []string{encoded("Secret")}, false},
		{"a part of the value", "", []string{encoded("secre")}, false},
		{"more than the value", "", []string{encoded("secret ")}, false},
		{"the value without base64", "", []string{"secret"}, false},
		{"base64 with other letters", "", []string{"!" + encoded("secret")}, false},
		{"base64 without its end", "", []string{encoded("secret")[:7]}, false},
		{"the header twice", "", []string{encoded("secret"), encoded("secret")}, false},
		{"too long", "", []string{encoded(strings.Repeat("s", 20<<10))}, false},
		{"a filter", ".a.b[1]", []string{encoded(`{"a": {"b": ["x", "secret"]}}`)}, true},
		{"the first result", ".[]", []string{encoded(`["secret", "x"]`)}, true},
		{"another result first", ".[]", []string{encoded(`["x", "secret"]`)}, false},
		{"no result", "empty", []string{encoded(`{}`)}, false},
		{"a result that is no text", ".a", []string{encoded(`{"a": ["secret"]}`)}, false},
		{"null", ".b", []string{encoded(`{"a": "secret"}`)}, false},
		{"a fault of the filter", ".a", []string{encoded(`["secret"]`)}, false},
		{"a filter that fails", `error("secret")`, []string{encoded(`"secret"`)}, false},
		{"no JSON", ".", []string{encoded(`secret`)}, false},
		{"more than JSON", ".", []string{encoded(`"secret" "secret"`)}, false},
		{"texts put together", `.a + "\(.b)" | ltrimstr("x")`, []string{encoded(`{"a": "xsec", "b": "ret"}`)}, true},
		{
			"a condition", `.a[] | select(.k == "b" and (.v | test("^s"))) | .v`,
			[]string{encoded(`{"a": [{"k": "a", "v": "x"}, {"k": "b", "v": "secret"}]}`)},
			true,
		},
		{"a variable", `.k as $k | .v[$k] // "none"`, []string{encoded(`{"k": "a", "v": {"a": "secret"}}`)}, true},
		{"an encoded part", `.a | @base64d | fromjson | .b`, []string{encoded(`{"a": "eyJiIjoic2VjcmV0In0="}`)}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := &guards.Header{HeaderName: "x-key", HeaderValue: "secret"}
			if tt.filter != "" {
				g.Filter = &tt.filter
			}
			if err := g.Validate(); err != nil {
				t.Fatal(err)
			}
			err := permit(t, g, "/", http.Header{"X-Key": tt.sent})
			if tt.permitted && err != nil || !tt.permitted && pulperr.KindOf(err) != pulperr.Forbidden {
				t.Errorf("Permit = %v, want permitted: %v", err, tt.permitted)
			}
		})
	}
}

// An expensive filter ends after a number of steps, and with the guard's time.
func TestExpensiveFilter(t *testing.T) {
	t.Parallel()
	elements := encoded("[" + strings.Repeat("1,", 5000) + "1]")
	for _, filter := range []string{
		`[.[] as $a | .[] as $b | .[] as $c | "secret"] | first`,
		`.[] | .[]? // "x" | select(. == "secret")` + strings.Repeat(` | (., .)`, 8),
	} {
		g := &guards.Header{HeaderName: "X-Key", HeaderValue: "secret", Filter: &filter}
		if err := g.Validate(); err != nil {
			t.Fatal(err)
		}
		header := http.Header{"X-Key": {elements}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := permit(t, g, "/", header)
		runtime.ReadMemStats(&after)
		if pulperr.KindOf(err) != pulperr.Forbidden {
			t.Errorf("Permit with %s = %v, want a refusal", filter, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
			t.Errorf("%s has allocated %d MiB", filter, used>>20)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	filter := ".[]"
	g := &guards.Header{HeaderName: "X-Key", HeaderValue: "v", Filter: &filter}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Key", elements)
	if err := g.Permit(ctx, &content.Request{HTTP: r}); !errors.Is(err, context.Canceled) {
		t.Errorf("Permit = %v, want %v", err, context.Canceled)
	}
}

func TestHeaderValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, filter, field string }{
		{"X-Key", "", ""},
		{"X-Key", ".a | .b", ""},
		{"", "", "header_name"},
		{"X Key", "", "header_name"},
		{"X-Key:", "", "header_name"},
		{"X-Schlüssel", "", "header_name"},
		{"X-Key\r\nY", "", "header_name"},
		{"X-Key", ".a |", "jq_filter"},
		{"X-Key", "nothing_of_this_name", "jq_filter"},
		{"X-Key", `import "a" as a; 1`, "jq_filter"},
		{"X-Key", "input", "jq_filter"},
		{"X-Key", "env.PATH", "jq_filter"},
		{"X-Key", "$ENV.PATH", "jq_filter"},
		{"X-Key", "last(range(infinite))", "jq_filter"},
		{"X-Key", "def f: f; f", "jq_filter"},
		{"X-Key", "reduce .[] as $x (0; . + $x)", "jq_filter"},
		{"X-Key", "foreach .[] as $x (0; . + $x)", "jq_filter"},
		{"X-Key", "label $out | break $out", "jq_filter"},
		{"X-Key", "[..]", "jq_filter"},
		{"X-Key", ". * 1000000000", "jq_filter"},
		{"X-Key", ".[1000000000] = 1", "jq_filter"},
		{"X-Key", "map(@sh)", "jq_filter"},
		{"X-Key", `"\(repeat(.))"`, "jq_filter"},
		{"X-Key", ".a as {(input): $x} | $x", "jq_filter"},
		{"X-Key", "if . then input else . end", "jq_filter"},
		{"X-Key", ".[input]", "jq_filter"},
		{"X-Key", ".[1:input]", "jq_filter"},
		{"X-Key", "try input catch .", "jq_filter"},
		{"X-Key", "{(input): 1}", "jq_filter"},
		{"X-Key", "-input", "jq_filter"},
		{"X-Key", ".a | test(.b)", "jq_filter"},
		{"X-Key", `split("a"; null)`, "jq_filter"},
		{"X-Key", "." + strings.Repeat(" | . + .", 9), "jq_filter"},
		{"X-Key", strings.Repeat("[.,.] | ", 9) + ".", "jq_filter"},
		{"X-Key", strings.Repeat("{a: .} | ", 9) + ".", "jq_filter"},
		{"X-Key", strings.Repeat("tojson | ", 9) + ".", "jq_filter"},
		{"X-Key", strings.Repeat(".a | ", 1000) + ".", "jq_filter"},
	} {
		g := &guards.Header{HeaderName: tt.name, HeaderValue: "v"}
		if tt.filter != "" {
			g.Filter = &tt.filter
		}
		err := g.Validate()
		fault, _ := errors.AsType[*pulperr.ValidationError](err)
		field := ""
		if fault != nil {
			field = fault.Field
		}
		if field != tt.field || (err != nil) != (tt.field != "") {
			t.Errorf("Validate of %q with %q = %v, want a fault of %q", tt.name, tt.filter, err, tt.field)
		}
	}
}

// A header without a text would otherwise open everything.
func TestHeaderWithoutValue(t *testing.T) {
	t.Parallel()
	err := (&guards.Header{HeaderName: "X-Key"}).Validate()
	if fault, ok := errors.AsType[*pulperr.ValidationError](err); !ok || fault.Field != "header_value" {
		t.Errorf("Validate = %v, want a fault of header_value", err)
	}
}

// No text but the encoded value passes, with and without a filter, and no text makes the guard fail.
func FuzzHeader(f *testing.F) {
	for _, text := range []string{
		"", "secret", encoded("secret"), encoded(`{"a":"secret"}`), encoded(`{"a":1e999}`), "=", "%",
	} {
		f.Add(text)
	}
	filter := ".a"
	f.Fuzz(func(t *testing.T, text string) {
		header := http.Header{"X-Key": {text}}
		decoded, err := base64.StdEncoding.DecodeString(text)
		g := &guards.Header{HeaderName: "X-Key", HeaderValue: "secret"}
		if got, want := permit(t, g, "/", header), err == nil && string(decoded) == "secret"; (got == nil) != want ||
			got != nil && pulperr.KindOf(got) != pulperr.Forbidden {
			t.Errorf("Permit of %q = %v, want permitted: %v", text, got, want)
		}
		var v struct {
			A any `json:"a"`
		}
		g.Filter = &filter
		got := permit(t, g, "/", header)
		if got != nil && pulperr.KindOf(got) != pulperr.Forbidden {
			t.Errorf("Permit of %q = %v, want a refusal", text, got)
		}
		if got == nil && (json.Unmarshal(decoded, &v) != nil || v.A != "secret") {
			t.Errorf("Permit of %q passed", text)
		}
	})
}

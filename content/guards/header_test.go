package guards_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
		{"the environment", `env.PATH // "secret"`, []string{encoded(`1`)}, true},
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

// A filter ends with the guard's time.
func TestEndlessFilter(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	filter := "last(range(infinite))"
	g := &guards.Header{HeaderName: "X-Key", HeaderValue: "v", Filter: &filter}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Key", encoded("1"))
	if err := g.Permit(ctx, &content.Request{HTTP: r}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Permit = %v, want %v", err, context.DeadlineExceeded)
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

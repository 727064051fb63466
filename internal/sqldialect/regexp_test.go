package sqldialect_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// regexpCases are patterns with texts, some of which match.
var regexpCases = []struct{ pattern, text string }{
	{`^ab+c?$`, "abb"},
	{`^ab+c?$`, "abbd"},
	{`a|b`, "xb"},
	{`[^a]`, "a"},
	{`[^a]`, "b"},
	{`\d{2,3}`, "a12"},
	{`a.c`, "a\nc"},
	{`(?s)a.c`, "a\nc"},
	{`x*`, ""},
	{`\bword\b`, "a word here"},
	{`\bword\b`, "swords"},
	{`\.`, "."},
	{`\.`, "x"},
	{`ÄÖ`, "äö"},
	{`(?i)ÄÖ`, "xäöx"},
	{`(?i)k`, "\u212A"},
	{`[[:alpha:]]+$`, "1a"},
	{`\pL\PL`, "é1"},
	{`(a)(b)?`, "a"},
	{`'"\\`, `'"\`},
	{`[à-ý]`, "É"},
	{`(?i)[à-ý]`, "É"},
	{`$^`, ""},
	{`(|a)+`, "b"},
	{`😀`, "x😀"},
	{`[^😀]`, "😀"},
	{`***=a`, "a"},
	{`[\]\-^]`, "-"},
	{`a{0}`, "b"},
	{`(?i)ß`, "ẞ"},
	{`[a-z&&x]`, "&"},
	{`\x{1F600}|\t`, "\t"},
	{`a??b`, "b"},
}

// TestRegexpMatchesAlike compares both databases with package regexp.
func TestRegexpMatchesAlike(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		c := open(t, url)
		for _, k := range regexpCases {
			for _, fold := range []bool{false, true} {
				checkRegexp(t, c, k.pattern, k.text, fold)
			}
		}
		for _, k := range []struct {
			text, in       string
			atStart, atEnd bool
			want           bool
		}{
			{"É.", "xé.y", false, false, true},
			{"É.", "xéyy", false, false, false},
			{"É", "éa", true, false, true},
			{"É", "aé", true, false, false},
			{"ÉA", "éa", true, true, true},
			{"É", "éa", true, true, false},
		} {
			re, err := sqldialect.FoldedText(k.text, k.atStart, k.atEnd)
			if err != nil {
				t.Fatal(err)
			}
			if got := matches(t, c, re, k.in); got != k.want {
				t.Errorf("FoldedText(%q, %v, %v) on %q = %v, want %v", k.text, k.atStart, k.atEnd, k.in, got, k.want)
			}
		}
	})
}

func TestRegexpsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"(", "a{256}", "(?m)^a", `\1`, "[", "(a{100}){100}", `(\pL{50}\pN{50}){30}`, "\xff"} {
		if _, err := sqldialect.ParseRegexp(pattern, false); err == nil {
			t.Errorf("ParseRegexp(%q) = nil, want an error", pattern)
		}
	}
	if _, err := sqldialect.FoldedText(strings.Repeat("é", 3000), false, false); err == nil {
		t.Error("FoldedText of 3,000 letters = nil, want an error")
	}
}

func matches(t *testing.T, c *sqldialect.Conn, re *sqldialect.Regexp, text string) bool {
	t.Helper()
	operator, pattern := c.Kind.Matches(re)
	var got bool
	err := c.Bun.NewRaw("SELECT CAST(? AS TEXT) ? ?", text, bun.Safe(operator), pattern).Scan(t.Context(), &got)
	if err != nil {
		t.Fatalf("%q %s %q: %v", text, operator, pattern, err)
	}
	return got
}

func checkRegexp(t *testing.T, c *sqldialect.Conn, pattern, text string, fold bool) {
	t.Helper()
	re, err := sqldialect.ParseRegexp(pattern, fold)
	if err != nil {
		return
	}
	prefix := ""
	if fold {
		prefix = "(?i)"
	}
	want := regexp.MustCompile(prefix + pattern).MatchString(text)
	if got := matches(t, c, re, text); got != want {
		_, written := c.Kind.Matches(re)
		t.Errorf("%q matches %q (fold %v): %v on %s as %q, want %v", pattern, text, fold, got, c.Kind, written, want)
	}
}

// FuzzRegexp compares any pattern and text, on Postgres as well where there is one.
func FuzzRegexp(f *testing.F) {
	for _, k := range regexpCases {
		f.Add(k.pattern, k.text, true)
	}
	var conns []*sqldialect.Conn
	for _, d := range dbtest.URLs(f) {
		conns = append(conns, open(f, d.URL))
	}
	f.Fuzz(func(t *testing.T, pattern, text string, fold bool) {
		// Neither database has texts with these.
		if strings.Contains(pattern+text, "\x00") || !utf8.ValidString(text) || len(pattern) > 200 || len(text) > 200 {
			return
		}
		// Words end at other letters than ASCII on Postgres.
		if strings.Contains(strings.ToLower(pattern), `\b`) {
			return
		}
		for _, c := range conns {
			checkRegexp(t, c, pattern, text, fold)
		}
	})
}

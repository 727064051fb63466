package models_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/models"
)

func TestNormalForm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"blanks and letter case", "CREATE TABLE x (\n  id\tINTEGER\n)", "create table X(id integer)", true},
		{"comments", "SELECT 1 -- why\n/* how\n */ FROM x", "SELECT 1 FROM x", true},
		{"a semicolon at the end", "SELECT 1 ; ", "SELECT 1", true},
		{"quotes that nobody needs", `SELECT "name" FROM x`, "SELECT name FROM x", true},
		{"quotes that matter", `SELECT "Name" FROM x`, "SELECT Name FROM x", false},
		{"text in another case", "SELECT 'A'", "SELECT 'a'", false},
		{"blanks in text", "SELECT 'a  b'", "SELECT 'a b'", false},
		{"comment signs in text", "SELECT '--x'", "SELECT '", false},
		{"a word cut in two", "SELECT ab", "SELECT a b", false},
		{"a function's body", "AS $$ A  b $$", "AS $$ A b $$", false},
		{"a function's tagged body", "AS $x$ A $$ -- b $x$ END", "AS $x$ A $$ -- b $x$ end", true},
		{"another column", "CREATE INDEX i ON x (a)", "CREATE INDEX i ON x (b)", false},
		{"a default", "a TEXT DEFAULT ''", "a TEXT DEFAULT 'x'", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := models.NormalForm(test.a), models.NormalForm(test.b)
			if (a == b) != test.same {
				t.Errorf("NormalForm = %q and %q, the same: %v, want %v", a, b, a == b, test.same)
			}
		})
	}
}

func FuzzNormalForm(f *testing.F) {
	for _, text := range []string{
		"", `"`, "'", "$", "$$", "$a$ b $a$", "--", "/*", "a--b\nc", `"a" "B" 'c''d'`, "\xff", "é É", "a;\n--;;\nb",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := models.NormalForm(text)
		if again := models.NormalForm("\n\t" + text); again != once {
			t.Errorf("NormalForm(%q) = %q, with blanks before it %q", text, once, again)
		}
		if got := models.NormalForm("-- x\n" + text); got != once {
			t.Errorf("NormalForm(%q) = %q, with a comment before it %q", text, once, got)
		}
	})
}

func TestStatements(t *testing.T) {
	t.Parallel()
	got := models.Statements("-- first\nA ;\n--;;\n--;;\n-- nothing\n--;;\nB\n -- not --;;\n--;;")
	if want := []string{"-- first\nA ;", "B\n -- not --;;"}; !slices.Equal(got, want) {
		t.Errorf("Statements (-want +got):\n%s", cmp.Diff(want, got))
	}
}

package arch

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// guides are the documents all of whose Go code is that of source files. README.md has a test of its own.
func guides() []string { return []string{"docs/plugins.md", "docs/hosts.md"} }

// A block of Go code in a guide has the declarations of a source file, which a comment in the line before names:
//
//	<!-- examples/guide/types_test.go: Note, Notes, Example_types -->
//
// Of an Example it has the body. So the code compiles, and the Examples run with the tests.
var (
	goBlock = regexp.MustCompile("(?m)^(<!--.*-->\n)?```go\n((?s:.*?))^```\n")
	marker  = regexp.MustCompile(`^<!-- ([\w./-]+\.go): ([\w.]+(?:, [\w.]+)*) -->\n$`)
)

// TestGuides compares the code in guides with its sources. With -update it writes the guides.
func TestGuides(t *testing.T) {
	t.Parallel()
	root, files := moduleDir(t), goFiles(t)
	for _, name := range guides() {
		path := filepath.Join(root, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := withCode(string(text), files)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case *update && want != string(text):
			if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		case want != string(text):
			t.Errorf("%s does not have the code of its sources; run go test ./internal/arch -run TestGuides -update "+
				"(-guide +sources):\n%s", name, cmp.Diff(strings.Split(string(text), "\n"), strings.Split(want, "\n")))
		}
	}
}

// withCode returns a guide with the code that its blocks should have.
func withCode(guide string, files map[string][]byte) (string, error) {
	var faults []error
	out := goBlock.ReplaceAllStringFunc(guide, func(block string) string {
		parts := goBlock.FindStringSubmatch(block)
		from := marker.FindStringSubmatch(parts[1])
		if from == nil {
			line, _, _ := strings.Cut(parts[2], "\n")
			faults = append(faults, fmt.Errorf("the block that begins with %q does not name its source, as in "+
				"<!-- examples/guide/types_test.go: Note -->", line))
			return block
		}
		code, err := codeOf(from[1], files[from[1]], strings.Split(from[2], ", "))
		if err != nil {
			faults = append(faults, err)
			return block
		}
		return parts[1] + "```go\n" + code + "```\n"
	})
	return out, errors.Join(faults...)
}

// codeOf returns declarations of a file, in the order of their names.
func codeOf(name string, content []byte, names []string) (string, error) {
	if content == nil {
		return "", fmt.Errorf("there is no file %s", name)
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, want := range names {
		i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool { return declares(d, want) })
		if i < 0 {
			return "", fmt.Errorf("%s does not declare %s", name, want)
		}
		parts = append(parts, textOf(set, content, file.Decls[i]))
	}
	return strings.Join(parts, "\n"), nil
}

// declares reports whether a declaration is that of a name; a method is called Type.Method.
func declares(d ast.Decl, name string) bool {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name == name
		}
		return receiver(d)+"."+d.Name.Name == name
	case *ast.GenDecl:
		return slices.ContainsFunc(d.Specs, func(s ast.Spec) bool {
			switch s := s.(type) {
			case *ast.TypeSpec:
				return s.Name.Name == name
			case *ast.ValueSpec:
				return slices.ContainsFunc(s.Names, func(id *ast.Ident) bool { return id.Name == name })
			}
			return false
		})
	}
	return false
}

// textOf returns a declaration with its comment; of an Example the body, a tab to the left.
func textOf(set *token.FileSet, content []byte, d ast.Decl) string {
	from, to := d.Pos(), d.End()
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && strings.HasPrefix(d.Name.Name, "Example") {
			body := string(content[set.Position(d.Body.Lbrace).Offset+2 : set.Position(d.Body.Rbrace).Offset])
			return strings.TrimPrefix(strings.ReplaceAll("\n"+body, "\n\t", "\n"), "\n")
		}
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	}
	return string(content[set.Position(from).Offset:set.Position(to).Offset]) + "\n"
}

func TestGuidesOnWrongCode(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"a/b_test.go": []byte(`package b

// T is.
type T struct{ A int }

// M does.
func (t *T) M() {}

var (
	x, y = 1, 2
)

func Example_x() {
	if x == y {
		print(1)
	}
	// Output: 1
}
`)}
	block := func(marker, code string) string { return "text\n" + marker + "```go\n" + code + "```\nmore\n" }
	const body = "if x == y {\n\tprint(1)\n}\n// Output: 1\n"
	for _, tt := range []struct{ name, guide, want, err string }{
		{"the same", block("<!-- a/b_test.go: T -->\n", "// T is.\ntype T struct{ A int }\n"), "", ""},
		{"several", block("<!-- a/b_test.go: T.M, y, Example_x -->\n", "// M does.\nfunc (t *T) M() {}\n\nvar (\n\tx, y = 1, 2\n)\n\n"+
			body), "", ""},
		{"old code", block("<!-- a/b_test.go: Example_x -->\n", "print(2)\n"), block("<!-- a/b_test.go: Example_x -->\n", body), ""},
		{"no code", block("<!-- a/b_test.go: Example_x -->\n", ""), block("<!-- a/b_test.go: Example_x -->\n", body), ""},
		{"no marker", block("", "print(2)\n"), "", `the block that begins with "print(2)" does not name its source, as in ` +
			`<!-- examples/guide/types_test.go: Note -->`},
		{"another comment", block("<!-- see below -->\n", "print(2)\n"), "", `the block that begins with "print(2)" does not ` +
			`name its source, as in <!-- examples/guide/types_test.go: Note -->`},
		{"no file", block("<!-- a/c.go: T -->\n", "x\n"), "", "there is no file a/c.go"},
		{"no such name", block("<!-- a/b_test.go: T, Z -->\n", "x\n"), "", "a/b_test.go does not declare Z"},
		{"another language", "```sh\ngo run .\n```\n", "", ""},
	} {
		got, err := withCode(tt.guide, files)
		if text := errorText(err); text != tt.err {
			t.Errorf("%s: error %q, want %q", tt.name, text, tt.err)
		}
		want := tt.want
		if want == "" {
			want = tt.guide
		}
		if got != want {
			t.Errorf("%s: %s", tt.name, cmp.Diff(want, got))
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestGuidesShowAllOfTheirCode finds Examples of package guide that no guide shows.
func TestGuidesShowAllOfTheirCode(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, name := range guides() {
		guide, err := os.ReadFile(filepath.Join(moduleDir(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range goBlock.FindAllStringSubmatch(string(guide), -1) {
			if from := marker.FindStringSubmatch(found[1]); from != nil {
				for name := range strings.SplitSeq(from[2], ", ") {
					shown[from[1]+" "+name] = true
				}
			}
		}
	}
	for name, content := range goFiles(t) {
		if path.Dir(name) != "examples/guide" || !strings.HasSuffix(name, "_test.go") || path.Base(name) == "setup_test.go" {
			continue
		}
		s, err := parseSource(name, content)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") && !shown[name+" "+f.Name.Name] {
				t.Errorf("%s: no guide shows %s", name, f.Name.Name)
			}
		}
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChangesHaveFragments compares the working tree with the last release.
func TestChangesHaveFragments(t *testing.T) {
	t.Parallel()
	const root = "../.."
	old, err := readGolden(root)
	if err != nil {
		t.Fatal(err)
	}
	now, err := readSurfaces(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := readFragments(filepath.Join(root, fragmentsDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range (comparison{old: old, now: now, fragments: all}).faults() {
		t.Error(fault)
	}
}

// comparisonTest is a change since the release that TestComparison has.
type comparisonTest struct {
	name     string
	change   func(s surfaces)
	fragment fragment // tells of the change
	want     []string // without the fragment; with it, those after the first
}

func apiChanges() []comparisonTest {
	return []comparisonTest{
		{
			"a new name", func(s surfaces) { s.api["rest.New"] = "func New()" },
			fragment{plugin: true, kind: "feature", text: "`rest.New` is new."},
			[]string{"rest.New is new since 1.2.0; tell of `New` in CHANGES/plugin_api/N.feature"},
		},
		{
			"a new type speaks for its fields", func(s surfaces) {
				s.api["rest.U"], s.api["rest.U.A"], s.api["rest.U.B"] = "type U struct", "field int", "field int"
			},
			fragment{plugin: true, kind: "feature", text: "`U` is new."},
			[]string{"rest.U is new since 1.2.0; tell of `U` in CHANGES/plugin_api/N.feature"},
		},
		{
			"a new package speaks for its names",
			func(s surfaces) { s.api["rest/sub"], s.api["rest/sub.F"] = "package", "func F()" },
			fragment{plugin: true, kind: "feature", text: "`rest/sub` is new."},
			[]string{"rest/sub is new since 1.2.0; tell of `sub` in CHANGES/plugin_api/N.feature"},
		},
		{
			"another signature", func(s surfaces) { s.api["rest.F"] = "func F(string)" },
			fragment{plugin: true, kind: "removal", text: "`F(text)` takes a text."},
			[]string{`rest.F was "func F(int)" and is "func F(string)" since 1.2.0; tell of ` + "`F` in CHANGES/plugin_api/N.removal"},
		},
		{
			"gone in time", func(s surfaces) { delete(s.api, "rest.Going") },
			fragment{plugin: true, kind: "removal", text: "`rest.Going` was removed."},
			[]string{"rest.Going is gone since 1.2.0; tell of `Going` in CHANGES/plugin_api/N.removal"},
		},
		{
			"gone too early", func(s surfaces) { delete(s.api, "rest.Old") },
			fragment{plugin: true, kind: "removal", text: "`rest.Old` was removed."},
			[]string{
				"rest.Old is gone since 1.2.0; tell of `Old` in CHANGES/plugin_api/N.removal",
				"rest.Old is gone, and release 1.2.0 did not have it as deprecated; keep it for one release, see CONTRIBUTING.md",
			},
		},
		{
			"deprecated", func(s surfaces) { s.api["rest.Old"] += deprecated },
			fragment{plugin: true, kind: "deprecation", text: "`rest.Old` will go."},
			[]string{"rest.Old is deprecated since 1.2.0; tell of `Old` in CHANGES/plugin_api/N.deprecation"},
		},
		{
			"not deprecated any more", func(s surfaces) { s.api["rest.Back"] = "func Back()" },
			fragment{plugin: true, kind: "feature", text: "`rest.Back` stays."},
			[]string{"rest.Back is not deprecated any more since 1.2.0; tell of `Back` in CHANGES/plugin_api/N.feature"},
		},
	}
}

func wireChanges() []comparisonTest {
	return []comparisonTest{
		{
			"a new operation", func(s surfaces) { s.wire["GET /api/v3/x/{pk}/z/"] = "operation 200" },
			fragment{kind: "feature", text: "There is `x/…/z/`."},
			[]string{"GET /api/v3/x/{pk}/z/ is new since 1.2.0; tell of `z` in CHANGES/N.feature"},
		},
		{
			"an operation that went with its parameters", func(s surfaces) {
				delete(s.wire, "GET /api/v3/y/")
				delete(s.wire, "GET /api/v3/y/ ?name")
			},
			fragment{kind: "removal", text: "No `y/` any more."},
			[]string{"GET /api/v3/y/ is gone since 1.2.0; tell of `y` in CHANGES/N.removal"},
		},
		{
			"a filter that went", func(s surfaces) { delete(s.wire, "GET /api/v3/x/ ?name") },
			fragment{kind: "removal", text: "The filter `name` is gone."},
			[]string{"GET /api/v3/x/ ?name is gone since 1.2.0; tell of `name` in CHANGES/N.removal"},
		},
		{
			"a field of another form", func(s surfaces) { s.wire["schema X.name"] = "number" },
			fragment{kind: "removal", text: "`name` is a number."},
			[]string{"schema X.name was text and is number since 1.2.0; tell of `name` in CHANGES/N.removal"},
		},
		{
			"what breaks no client", func(s surfaces) {
				s.wire["schema X.more"], s.wire["GET /api/v3/x/ ?more"] = "text", "query a"
				s.wire["schema X.must"], s.wire["GET /api/v3/x/"] = "text", "operation 200 404"
			},
			fragment{},
			nil,
		},
	}
}

func TestComparison(t *testing.T) {
	t.Parallel()
	old := surfaces{version: "1.2.0", api: surface{
		"rest": "package", "rest.Old": "func Old()", "rest.Going": "func Going()" + deprecated, "rest.F": "func F(int)",
		"rest.T": "type T struct", "rest.T.A": "field int", "rest.Back": "func Back()" + deprecated,
	}, wire: surface{
		"GET /api/v3/x/": "operation 200", "GET /api/v3/x/ ?name": "query a", "schema X": "schema", "schema X.name": "text",
		"GET /api/v3/y/": "operation 200", "GET /api/v3/y/ ?name": "query a", "schema X.must": "text required",
	}}
	for _, tt := range slices.Concat(apiChanges(), wireChanges()) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := surfaces{api: surface{}, wire: surface{}}
			for key, decl := range old.api {
				now.api[key] = decl
			}
			for key, decl := range old.wire {
				now.wire[key] = decl
			}
			tt.change(now)
			if diff := cmp.Diff(tt.want, comparison{old: old, now: now}.faults()); diff != "" {
				t.Errorf("without a fragment (-want +got):\n%s", diff)
			}
			other := tt.fragment
			other.plugin = !other.plugin // the fragment lies in the folder for the other readers
			if diff := cmp.Diff(tt.want, comparison{old, now, []fragment{other}}.faults()); diff != "" {
				t.Errorf("with a fragment for others (-want +got):\n%s", diff)
			}
			want := tt.want
			if len(want) > 0 {
				want = want[1:]
			}
			got := comparison{old, now, []fragment{tt.fragment}}.faults()
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("with the fragment: %q, want %q", got, want)
			}
		})
	}
}

func TestNamesOfADraftMayGo(t *testing.T) {
	t.Parallel()
	old := surfaces{version: "1.3.0-dev", api: surface{"rest.F": "func F()"}}
	f := fragment{plugin: true, kind: "removal", text: "`F` is gone."}
	if got := (comparison{old: old, fragments: []fragment{f}}).faults(); got != nil {
		t.Errorf("faults = %q, want none", got)
	}
}

// put writes files below a folder, given as pairs of name and content.
func put(t *testing.T, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		name := filepath.Join(dir, filepath.FromSlash(pairs[i]))
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGoSurface(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir,
		"root.go", "package root\n\n// F is.\n//\n// Deprecated: use G.\nfunc F(a, b int, c func(x string) error) (n int, err error) { return }\n",
		"sub/sub.go", `package sub

type (
	T[A any] struct {
		A, b int `+"`json:\"a\" doc:\"The \\\"a\\\".\"`"+`
		Base
		*io.Reader
	}
	hidden struct{ X int }
	I interface {
		io.Closer
		M(a string) error
		sealed()
	}
	Alias = string
)

func (t *T[A]) M() {}
func (h hidden) M() {}
func g() {}

const C, d Kind = 1, 2

var V = 3
`, "sub/sub_test.go", "package sub\n\nfunc Test() {}\n", "internal/x.go", "package internal\n\nfunc X() {}\n",
		"cmd/x/x.go", "package main\n\nfunc X() {}\n", "sub/testdata/x.go", "no Go")
	got, err := goSurface(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := surface{
		"root": "package", "root.F": "func F(int, int, func(string) error) (int, error) // Deprecated",
		"sub": "package", "sub.T": "type T[A any] struct", "sub.T.A": "field int `json:\"a\"`", "sub.T.Base": "embedded Base",
		"sub.T.Reader": "embedded *io.Reader", "sub.T.M": "method (*T[A]) M()",
		"sub.I": "type I interface + io.Closer + sealed", "sub.I.M": "method M(string) error",
		"sub.Alias": "type Alias = string", "sub.C": "const Kind", "sub.V": "var",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("goSurface (-want +got):\n%s", diff)
	}
	put(t, dir, "broken.go", "package")
	if _, err := goSurface(dir); err == nil {
		t.Error("goSurface took a file that does not parse")
	}
}

func TestWireOf(t *testing.T) {
	t.Parallel()
	got, err := wireOf([]byte(`{"paths": {"/x/": {"parameters": [], "get": {
		"parameters": [{"name": "q", "in": "query", "schema": {"type": "string", "description": "words"}}],
		"responses": {"200": {}, "404": {}}}}},
		"components": {"schemas": {"X": {"required": ["a"], "properties": {
			"a": {"type": "string", "title": "A"}, "b": {"type": "object", "properties": {"title": {"type": "string"}}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := surface{
		"GET /x/": "operation 200 404", "GET /x/ ?q": `query {"type":"string"}`, "schema X": "schema",
		"schema X.a": `{"type":"string"} required`,
		"schema X.b": `{"properties":{"title":{"type":"string"}},"type":"object"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wireOf (-want +got):\n%s", diff)
	}
}

func TestFragmentFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "README.md", "no fragment", "12.feature", "fine", "+x.misc", "", "12.1.bugfix", " ", "x.feature", "text",
		"7.novelty", "text", "other/7.feature", "text", "plugin_api/8.removal", "# heading", "plugin_api/9.doc", "\xff")
	all, err := readFragments(dir)
	if err == nil {
		t.Fatal("readFragments found no fault")
	}
	want := []string{
		"CHANGES/12.1.bugfix: the text is empty; say in one or two sentences what has changed for the reader",
		`CHANGES/7.novelty: the kind "novelty" is none of feature, bugfix, deprecation, removal, doc, misc`,
		"CHANGES/other/7.feature: fragments are in CHANGES and in CHANGES/plugin_api",
		"CHANGES/plugin_api/8.removal: the text begins with a heading, which the change log makes",
		"CHANGES/plugin_api/9.doc: the text is not UTF-8",
		"CHANGES/x.feature: a fragment is called like 12.feature or +word.feature",
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if len(all) != 2 {
		t.Errorf("%d fragments are right, want 2", len(all))
	}
}

// TestRelease makes two drafts and two releases in a folder.
func TestRelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "CHANGES/README.md", "read", "CHANGES/3.feature", "Added a\nthing.\n", "CHANGES/+b.bugfix", "Mended it.\n",
		"CHANGES/+c.misc", "", "CHANGES/plugin_api/4.removal", "`F` is gone.\n", "root.go", "package root\n\nfunc F() {}\n",
		"cmd/release/api.txt", "", "cmd/release/wire.txt", "")
	run := func(version, wantErr string) {
		t.Helper()
		var out bytes.Buffer
		err := release{root: dir, version: version, date: "2030-01-02"}.write(t.Context(), &out)
		if got := errText(err); got != wantErr {
			t.Fatalf("release %s = %q, want %q", version, got, wantErr)
		}
	}
	run("v1", `"v1" is no version; give one such as 1.2.3`)
	run("1.0.0-dev", "")
	if _, err := os.Stat(filepath.Join(dir, "CHANGES/3.feature")); err != nil {
		t.Fatalf("a draft took a fragment: %v", err)
	}
	run("1.0.0", "")
	put(t, dir, "CHANGES/+d.feature", "Added more.\n")
	run("1.0.0", "CHANGES.md has a section 1.0.0 already; give another version, or take the section out")
	run("1.1.0", "")
	log, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Changes

## 1.1.0 (2030-01-02)

### Features

- Added more.

## 1.0.0 (2030-01-02)

### Features

- Added a
  thing. (#3)

### Bug fixes

- Mended it.

### Plugin API

#### Removals

- ` + "`F` is gone. (#4)\n"
	if diff := cmp.Diff(want, string(log)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", logFile, diff)
	}
	left, err := readFragments(filepath.Join(dir, fragmentsDir))
	if err != nil || len(left) != 0 {
		t.Errorf("fragments left: %v, %v", left, err)
	}
	golden, err := readGolden(dir)
	if err != nil {
		t.Fatal(err)
	}
	if golden.version != "1.1.0" || golden.api["root.F"] != "func F()" || golden.wire["GET /pulp/api/v3/tasks/"] == "" {
		t.Errorf("golden files are of %q with %d and %d entries", golden.version, len(golden.api), len(golden.wire))
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

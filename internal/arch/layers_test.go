package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// layers returns the packages from the lowest layer to the highest; "" is the root package. A package may import those
// of earlier lines, and packages of its own top folder. Packages under internal count as part of whoever imports them.
// Examples and commands may import everything and be imported by nobody.
func layers() [][]string {
	return [][]string{
		{"pulperr"}, // the words of all errors
		{"hashlib", "deprecation", "secrets", "webserver"},
		{"settings", "storage", "download"},
		{"models"},
		{"accounts", "tasking"},
		{"stages", "content"},
		{"rest"},
		{""},
		{"certguard", "pulptest", "pulpcmd"},
	}
}

// testingOnly returns imports, with everything below them, that only tests and packages for tests may have.
func testingOnly() []string {
	return []string{
		"testing", "net/http/httptest", "github.com/google/go-cmp", "go.uber.org/goleak", "pgregory.net/rapid",
		"github.com/Shopify/toxiproxy", "github.com/johannesboyne/gofakes3",
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	packages := goList(t, moduleDir(t))
	if len(packages) < 3 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	for _, fault := range layerFaults(packages) {
		t.Error(fault)
	}
}

func TestLayersOnWrongCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		imports map[string]string // package to what it imports, separated by spaces; relative ones are of the module
		want    []string
	}{
		{"downwards", map[string]string{"models": "./pulperr", "pulperr": "", "hashlib": "./pulperr"}, nil},
		{
			"upwards",
			map[string]string{"pulperr": "./models", "models": ""},
			[]string{"pulperr imports models, which is not of a lower layer"},
		},
		{
			"sideways",
			map[string]string{"stages": "./content", "content": ""},
			[]string{"stages imports content, which is not of a lower layer"},
		},
		{
			"upwards by way of internal packages",
			map[string]string{"storage": "./internal/a", "internal/a": "./internal/b", "internal/b": "./rest", "rest": ""},
			[]string{"storage imports rest by internal/a, internal/b, which is not of a lower layer"},
		},
		{
			"within one folder",
			map[string]string{"storage/storagetest": "./storage testing", "storage": "./storage/inner", "storage/inner": ""},
			nil,
		},
		{
			"the root from below",
			map[string]string{"rest": ".", ".": "./rest/x", "rest/x": ""},
			[]string{"rest imports the root package, which is not of a lower layer"},
		},
		{
			"an example",
			map[string]string{"": "./examples/a", "examples/a": "", "internal/b": "./cmd/c", "cmd/c": ""},
			[]string{
				"internal/b imports cmd/c, which is a program and no part of the library",
				"the root package imports examples/a, which is a program and no part of the library",
			},
		},
		{
			"a package of no layer",
			map[string]string{"util": ""},
			[]string{"util belongs to no layer; if it has a reason, add it to the table in internal/arch"},
		},
		{
			"testing packages",
			map[string]string{
				"rest": "testing/fstest", "content": "./internal/dbtest", "internal/dbtest": "testing",
				"pulptest": "net/http/httptest", "examples/a": "testing",
			},
			[]string{
				"content imports internal/dbtest, which is for tests",
				"rest imports testing/fstest, which is for tests",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var packages []listed
			for name, imports := range tt.imports {
				p := listed{ImportPath: path.Join("example.org/m", name)}
				p.Module.Path = "example.org/m"
				for imported := range strings.FieldsSeq(imports) {
					if strings.HasPrefix(imported, ".") {
						imported = path.Join("example.org/m", imported)
					}
					p.Imports = append(p.Imports, imported)
				}
				packages = append(packages, p)
			}
			if diff := cmp.Diff(tt.want, layerFaults(packages)); diff != "" {
				t.Errorf("layerFaults (-want +got):\n%s", diff)
			}
		})
	}
}

// listed is what "go list -json" tells about a package; Imports are those of its files that are no tests.
type listed struct {
	ImportPath string
	Imports    []string
	Module     struct {
		Path string
		Main bool
	}
}

// goList asks for all packages, or those of args. Packages that do not compile are listed too, as the compiler reports
// those better.
func goList(t *testing.T, dir string, args ...string) []listed {
	t.Helper()
	if len(args) == 0 {
		args = []string{"./..."}
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,Module")
	cmd.Args = append(cmd.Args, args...)
	cmd.Dir = dir
	// One platform's files, so that everybody gets the same answer.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s", cmd, err, exit.Stderr)
		}
		t.Fatalf("%s: %v", cmd, err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		packages = append(packages, p)
	}
}

// moduleDir returns the root of this module.
func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("go env GOMOD: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// house is the import graph of one module, by names relative to it.
type house struct {
	imports map[string][]string
	layer   map[string]int // by the first name of the table
}

// layerFaults returns what breaks the order, sorted by package.
func layerFaults(packages []listed) []string {
	h := house{imports: map[string][]string{}, layer: map[string]int{}}
	for number, names := range layers() {
		for _, name := range names {
			h.layer[name] = number
		}
	}
	for _, p := range packages {
		name, _ := relative(p.Module.Path, p.ImportPath)
		h.imports[name] = nil
		for _, imported := range p.Imports {
			if own, ok := relative(p.Module.Path, imported); ok {
				imported = "./" + own
			}
			h.imports[name] = append(h.imports[name], imported)
		}
	}
	var faults []string
	for _, p := range packages {
		name, _ := relative(p.Module.Path, p.ImportPath)
		faults = append(faults, h.check(name)...)
	}
	slices.Sort(faults)
	return slices.Compact(faults)
}

func (h house) check(name string) []string {
	top := topOf(name)
	if isProgram(top) {
		return nil
	}
	var faults []string
	if _, known := h.layer[top]; !known && top != "internal" {
		return []string{title(name) + " belongs to no layer; if it has a reason, add it to the table in internal/arch"}
	}
	if !isForTests(name) {
		for _, imported := range h.imports[name] {
			own, isOwn := strings.CutPrefix(imported, "./")
			if isOwn && isForTests(own) || !isOwn && isTestingOnly(imported) {
				faults = append(faults, fmt.Sprintf("%s imports %s, which is for tests", title(name), title(own)))
			}
		}
	}
	return append(faults, h.checkImports(name, name, nil)...)
}

// checkImports judges the imports of at, which is name itself or an internal package that it reaches by way of others.
func (h house) checkImports(name, at string, by []string) []string {
	var faults []string
	for _, imported := range h.imports[at] {
		own, isOwn := strings.CutPrefix(imported, "./")
		top := topOf(own)
		switch {
		case !isOwn, slices.Contains(by, own):
		case isProgram(top):
			if at == name {
				faults = append(faults, fmt.Sprintf("%s imports %s, which is a program and no part of the library",
					title(name), own))
			}
		case top == "internal":
			if topOf(name) != "internal" {
				faults = append(faults, h.checkImports(name, own, append(slices.Clone(by), own))...)
			}
		case topOf(name) == "internal", top == topOf(name), h.layer[top] < h.layer[topOf(name)]:
		default:
			faults = append(faults, fmt.Sprintf("%s imports %s, which is not of a lower layer", title(name),
				title(own)+byWay(by)))
		}
	}
	return faults
}

func byWay(by []string) string {
	if len(by) == 0 {
		return ""
	}
	return " by " + strings.Join(by, ", ")
}

// relative returns the name of a package within the module, "" for its root.
func relative(module, importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func title(name string) string {
	if name == "" {
		return "the root package"
	}
	return name
}

func topOf(name string) string {
	top, _, _ := strings.Cut(name, "/")
	return top
}

func isProgram(top string) bool { return top == "examples" || top == "cmd" }

// isForTests reports whether a package serves tests: its name ends in "test".
func isForTests(name string) bool { return strings.HasSuffix(name, "test") }

func isTestingOnly(imported string) bool {
	return slices.ContainsFunc(testingOnly(), func(p string) bool {
		return imported == p || strings.HasPrefix(imported, p+"/")
	})
}

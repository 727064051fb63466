package arch

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "accept the present dependencies and limits: rewrite dependencies.txt and limits.txt")

// TestDependencies makes a new module in the library a visible diff. Drivers in folders below a package, which a host
// imports if it wants them, do not count.
func TestDependencies(t *testing.T) {
	t.Parallel()
	const name = "dependencies.txt"
	root := moduleDir(t)
	got := dependencies(t, root)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("modules that an embedding program inherits (-accepted +now):\n%s\n"+
			"If that is meant, run make arch-update, and say in the commit why the module is worth it.", diff)
	}
}

// TestTestingStaysOut catches a package of somebody else that drags testing packages into every embedding program.
func TestTestingStaysOut(t *testing.T) {
	t.Parallel()
	root := moduleDir(t)
	for _, p := range goList(t, root, append([]string{"-deps"}, library(t, root)...)...) {
		if slices.Contains([]string{"testing", "net/http/httptest", "github.com/stretchr/testify/assert"}, p.ImportPath) {
			t.Errorf("the library depends on %s; go mod why -m and go list -deps tell by which package", p.ImportPath)
		}
	}
}

// dependencies returns the modules that the library needs to compile, one a line.
func dependencies(t *testing.T, root string) string {
	t.Helper()
	var modules []string
	for _, p := range goList(t, root, append([]string{"-deps"}, library(t, root)...)...) {
		if p.Module.Path != "" && !p.Module.Main {
			modules = append(modules, p.Module.Path)
		}
	}
	slices.Sort(modules)
	modules = slices.Compact(modules)
	return fmt.Sprintf("%s\n%d modules\n", strings.Join(modules, "\n"), len(modules))
}

// library returns the packages of the table in layers, up to the root package, as far as they exist.
func library(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	for _, names := range layers() {
		for _, name := range names {
			files, err := filepath.Glob(filepath.Join(root, name, "*.go"))
			if err != nil {
				t.Fatal(err)
			}
			isCode := func(file string) bool { return !strings.HasSuffix(file, "_test.go") }
			if !isForTests(name) && slices.ContainsFunc(files, isCode) {
				found = append(found, "./"+path.Clean(name))
			}
		}
	}
	return found
}

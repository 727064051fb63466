package arch

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// machinePath matches paths that exist on one person's machine only.
var machinePath = regexp.MustCompile(`/(?:work)/(?:main|shared|\.library)\b|/(?:root)/(?:go|\.cache)\b|` +
	`/(?:home|Users)/[a-z]+/(?:go|src|projects|work|git|code)\b`)

// TestMachinePaths reads all text of the repository.
func TestMachinePaths(t *testing.T) {
	t.Parallel()
	root := moduleDir(t)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == ".bin" || entry.Name() == ".cache") {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, fault := range pathFaults(name, content) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMachinePathsOnWrongText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want int
	}{
		{"see /wor" + "k/main/x.go and\n/roo" + "t/go/pkg", 2},
		{"/hom" + "e/anna/src/pulpcore", 1},
		{"/home/pulp/settings.toml, https://example.org/work/1, /var/lib/pulp", 0},
		{"\x00binary /wor" + "k/main", 0},
	} {
		if got := pathFaults("a.txt", []byte(tt.text)); len(got) != tt.want {
			t.Errorf("pathFaults(%q) = %q, want %d", tt.text, got, tt.want)
		}
	}
}

func pathFaults(name string, content []byte) []string {
	if bytes.IndexByte(content, 0) >= 0 {
		return nil // not text
	}
	var faults []string
	for number, line := range bytes.Split(content, []byte("\n")) {
		if found := machinePath.Find(line); found != nil {
			faults = append(faults, fmt.Sprintf("%s:%d: %s is a path of one machine", name, number+1, found))
		}
	}
	return faults
}

// sourcePath matches the path of a source file in the text of a document.
var sourcePath = regexp.MustCompile("`((?:[a-z0-9_]+/)+[a-z0-9_]+\\.go)`")

// TestDocsNameFiles makes sure that documents name files that exist.
func TestDocsNameFiles(t *testing.T) {
	t.Parallel()
	root, named := moduleDir(t), 0
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(docs, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range sourcePath.FindAllSubmatch(content, -1) {
			named++
			if _, err := os.Stat(filepath.Join(root, string(found[1]))); err != nil {
				t.Errorf("%s names %s: %v", filepath.Base(name), found[1], err)
			}
		}
	}
	if named == 0 {
		t.Error("the documents name no file")
	}
}

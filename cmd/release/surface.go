package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// surface is what others build on: declarations by key. A key has words with dots between, from the whole to the part,
// as in "rest.Upload.Name"; that of an operation is method and path.
type surface map[string]string

// surfaces are those of one state of the module.
type surfaces struct {
	version string // of the release; "" for a working tree
	api     surface
	wire    surface
}

// readSurfaces returns those of the working tree.
func readSurfaces(ctx context.Context, root string) (s surfaces, err error) {
	if s.api, err = goSurface(root); err != nil {
		return s, err
	}
	s.wire, err = wireSurface(ctx)
	return s, err
}

// readGolden returns those of the last release.
func readGolden(root string) (s surfaces, err error) {
	if s.version, s.api, err = readSurface(filepath.Join(root, apiFile)); err != nil {
		return s, err
	}
	_, s.wire, err = readSurface(filepath.Join(root, wireFile))
	return s, err
}

// write writes the golden files.
func (s surfaces) write(root string) error {
	if err := replaceFile(filepath.Join(root, apiFile), s.api.text(s.version)); err != nil {
		return err
	}
	return replaceFile(filepath.Join(root, wireFile), s.wire.text(s.version))
}

// isDraft reports whether the version is no release that others build on, as 0.1.0-dev.
func (s surfaces) isDraft() bool { return strings.Contains(s.version, "-") }

const header = "# as of release "

// text returns the lines of a golden file: key, tab, declaration.
func (s surface) text(version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s; cmd/release writes this file\n", header, version)
	for _, key := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s\t%s\n", key, s[key])
	}
	return b.String()
}

// readSurface reads a golden file.
func readSurface(name string) (version string, s surface, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	s = surface{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if n == 1 {
			rest, isHeader := strings.CutPrefix(lines.Text(), header)
			if version, _, _ = strings.Cut(rest, ";"); !isHeader || version == "" {
				return "", nil, fmt.Errorf("%s: the first line does not begin with %q and a version", name, header)
			}
			continue
		}
		key, decl, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			return "", nil, fmt.Errorf("%s:%d: there is no tab between a key and a declaration", name, n)
		}
		s[key] = decl
	}
	return version, s, lines.Err()
}

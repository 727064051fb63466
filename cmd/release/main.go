// Command release makes the change log of a release and keeps the API that it has.
//
//	go run ./cmd/release 0.2.0
//
// It gathers the fragments of CHANGES into CHANGES.md, deletes them, and writes the golden files of this folder:
// api.txt has the exported names of the library with their declarations, the struct tags of rows and settings among
// them, and wire.txt the operations, parameters and fields of the REST API. TestChangesHaveFragments compares the
// working tree with these files and asks for the fragments that are missing. With -n the section is printed, and
// nothing is written.
//
// A version with a suffix, as 0.2.0-dev, is a draft: it writes the golden files only. Its fragments stay for the
// release, and exported names that came with a draft may go without having been deprecated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// golden are the files with what the last release had.
const (
	apiFile  = "cmd/release/api.txt"
	wireFile = "cmd/release/wire.txt"
)

// versions matches semantic versions without "v".
var versions = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.]+)?$`)

func main() {
	dry := flag.Bool("n", false, "print the section of the change log and write nothing")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: go run ./cmd/release [-n] VERSION")
		os.Exit(2)
	}
	r := release{root: ".", version: flag.Arg(0), date: time.Now().UTC().Format(time.DateOnly)}
	run := r.write
	if *dry {
		run = r.print
	}
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one release of the module in the folder root.
type release struct {
	root    string
	version string
	date    string // as in 2026-11-28
}

// print prints the section of the change log.
func (r release) print(_ context.Context, w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	all, err := readFragments(r.path(fragmentsDir))
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, section(r.version, r.date, all))
	return err
}

// write makes the release. The change log is written before the fragments are deleted, so that a run which is cut off
// loses none: git restores what it has written.
func (r release) write(ctx context.Context, w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	all, err := readFragments(r.path(fragmentsDir))
	if err != nil {
		return err
	}
	now, err := readSurfaces(ctx, r.root)
	if err != nil {
		return err
	}
	if now.version = r.version; now.isDraft() {
		_, err := fmt.Fprintf(w, "%s and %s are those of %s\n", apiFile, wireFile, r.version)
		return errors.Join(err, now.write(r.root))
	}
	if err := r.addSection(section(r.version, r.date, all)); err != nil {
		return err
	}
	if err := now.write(r.root); err != nil {
		return err
	}
	for _, f := range all {
		if err := os.Remove(r.path(f.file)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "%s has the %d fragments of %s; commit it with %s and %s, and tag v%s\n",
		logFile, len(all), r.version, apiFile, wireFile, r.version)
	return err
}

func (r release) check() error {
	if !versions.MatchString(r.version) {
		return fmt.Errorf("%q is no version; give one such as 1.2.3", r.version)
	}
	return nil
}

func (r release) path(name string) string { return filepath.Join(r.root, filepath.FromSlash(name)) }

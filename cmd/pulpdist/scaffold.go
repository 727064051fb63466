package main

import (
	"errors"
	"flag"
	"fmt"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/pulpgo/pulpcore/pulperr"
)

var errInitUsage = pulperr.Public(pulperr.Invalid,
	"usage: pulpdist init plugin NAME [--module PATH] [--out DIR] [--pulpcore DIR]")

// pluginName matches what is the name of a Go package, of a plugin and of a folder.
var pluginName = regexp.MustCompile(`\A[a-z][a-z0-9]{0,30}\z`)

// scaffold is a new plugin module.
type scaffold struct {
	Name   string
	Module string
	Core   string // a folder with the library, quoted for go.mod; "" takes a released version

	out string
}

// Upper is the prefix of the plugin's settings.
func (s scaffold) Upper() string { return strings.ToUpper(s.Name) }

// Go is the language version of the module.
func (s scaffold) Go() string { return goVersion }

// CoreModule is the module of the library.
func (s scaffold) CoreModule() string { return core }

// runInit makes a plugin module: pulpdist init plugin NAME.
func runInit(out io.Writer, args []string) error {
	if len(args) < 2 || args[0] != "plugin" {
		return errInitUsage
	}
	s := scaffold{Name: args[1]}
	flags := flag.NewFlagSet("pulpdist init", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned
	flags.StringVar(&s.Module, "module", "example.com/"+s.Name, "")
	flags.StringVar(&s.out, "out", s.Name, "")
	folder := flags.String("pulpcore", "", "")
	if err := flags.Parse(args[2:]); err != nil || flags.NArg() > 0 {
		return errInitUsage
	}
	if *folder != "" {
		abs, err := filepath.Abs(*folder)
		if err != nil {
			return err
		}
		s.Core = strconv.Quote(filepath.ToSlash(abs))
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	next := "go get " + core + "@latest && "
	if s.Core != "" {
		next = ""
	}
	_, err := fmt.Fprintf(out, "%s has the plugin %s; now: cd %[1]s && %[3]sgo mod tidy && make test\n", s.out, s.Name,
		next)
	return err
}

func (s scaffold) check() error {
	switch {
	case !pluginName.MatchString(s.Name):
		return pulperr.Public(pulperr.Invalid, "%q cannot be the name of a plugin; take up to 31 of a-z and 0-9, beginning "+
			"with a letter", s.Name)
	case token.IsKeyword(s.Name), s.Name == "core", s.Name == "main":
		return pulperr.Public(pulperr.Invalid, "%q cannot be the name of a plugin, because Go or Pulp uses it; take another "+
			"one", s.Name)
	case !importPattern.MatchString(s.Module):
		return pulperr.Public(pulperr.Invalid, "%q is not the path of a Go module; write it as in example.com/%s",
			s.Module, s.Name)
	}
	return nil
}

// write makes the folder, complete or not at all.
func (s scaffold) write() error {
	if _, err := os.Lstat(s.out); !errors.Is(err, fs.ErrNotExist) {
		return pulperr.Public(pulperr.Exists, "%s exists; give another folder with --out, or remove it", s.out)
	}
	temp, err := os.MkdirTemp(filepath.Dir(s.out), ".pulpdist-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for from, to := range map[string]string{
		"plugin.go": s.Name + ".go", "sync.go": "sync.go", "plugin_test.go": s.Name + "_test.go", "Makefile": "Makefile",
		"ci.yml": ".github/workflows/test.yml", "README.md": "README.md", "go.mod": "go.mod",
	} {
		t, err := template.New("").ParseFS(files, "templates/plugin/"+from+".tmpl")
		if err != nil {
			return err
		}
		var text strings.Builder
		if err := t.ExecuteTemplate(&text, from+".tmpl", s); err != nil {
			return err
		}
		name := filepath.Join(temp, filepath.FromSlash(to))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // a folder of sources
			return err
		}
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil { //nolint:gosec // a source file
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil { //nolint:gosec // as above; MkdirTemp keeps others out
		return err
	}
	return os.Rename(temp, s.out)
}

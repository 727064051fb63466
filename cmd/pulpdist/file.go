package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pulpgo/pulpcore/pulperr"
)

// core is the module of the library.
const core = "github.com/pulpgo/pulpcore"

// distribution is a whole file.
type distribution struct {
	Name     string         `yaml:"name"`     // of the binary, the units and the image
	User     string         `yaml:"user"`     // who runs the servers; "pulp" if empty
	Core     source         `yaml:"pulpcore"` // where the library comes from
	Settings map[string]any `yaml:"settings"` // below the installation's file and environment
	Plugins  []plugin       `yaml:"plugins"`

	dir string // of the file; relative paths begin here
}

// source is where a module comes from: either a version, or a folder, absolute or relative to the file.
type source struct {
	Version string `yaml:"version"`
	Path    string `yaml:"path"`
}

type plugin struct {
	Module        string         `yaml:"module"`   // path of the Go module
	Package       string         `yaml:"package"`  // import path within the module; the module's if empty
	Function      string         `yaml:"function"` // returns *pulpcore.Plugin; "Plugin" if empty
	Source        source         `yaml:",inline"`
	Settings      map[string]any `yaml:"settings"`
	Prerequisites packages       `yaml:"prerequisites"`
	Before        []step         `yaml:"before"` // run before the build
	After         []step         `yaml:"after"`  // run after the build, when the binary is there
}

// packages are system packages by package manager.
type packages struct {
	Apt []string `yaml:"apt"`
	Dnf []string `yaml:"dnf"`
}

// step is a program to run, without a shell.
type step struct {
	Name    string   `yaml:"name"`
	Run     []string `yaml:"run"`
	Timeout duration `yaml:"timeout"` // ten minutes if zero
}

// duration is written as in Go: "90s", "5m".
type duration time.Duration

// UnmarshalYAML reads a duration above zero.
func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := time.ParseDuration(node.Value)
	if err != nil || parsed <= 0 {
		return &yaml.TypeError{Errors: []string{
			fmt.Sprintf("line %d: %q is not a duration above zero, such as 90s or 5m", node.Line, node.Value),
		}}
	}
	*d = duration(parsed)
	return nil
}

// maxFile bounds a distribution's file, in bytes.
const maxFile = 1 << 20

// readDistribution reads and checks a file.
//
// Errors: Invalid for a file that is wrong, with all faults that were found; those of os.Open.
func readDistribution(path string) (*distribution, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, pulperr.TooLarge, maxFile)
	}
	d, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d.dir = filepath.Dir(full)
	return d, nil
}

// parse reads a document and fills in what it leaves out.
func parse(raw []byte) (*distribution, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("%w: %w", pulperr.Invalid, err)
	}
	if faults := unknownKeys(&document); len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", pulperr.Invalid, errors.Join(faults...))
	}
	d := &distribution{}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true) // also behind aliases, where unknownKeys does not look
	if err := decoder.Decode(d); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: the file is empty", pulperr.Invalid)
		}
		return nil, fmt.Errorf("%w: %w", pulperr.Invalid, err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the file has more than one document; make a file of each", pulperr.Invalid)
	}
	d.complete()
	if err := new(checker).distribution(d); err != nil {
		return nil, fmt.Errorf("%w: %w", pulperr.Invalid, err)
	}
	return d, nil
}

func (d *distribution) complete() {
	if d.User == "" {
		d.User = "pulp"
	}
	for i := range d.Plugins {
		p := &d.Plugins[i]
		if p.Package == "" {
			p.Package = p.Module
		}
		if p.Function == "" {
			p.Function = "Plugin"
		}
		if p.Module == core && p.Source == (source{}) {
			p.Source = d.Core
		}
	}
}

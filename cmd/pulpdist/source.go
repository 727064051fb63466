package main

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

//go:embed templates
var files embed.FS

// goVersion is the language version of the programs that are made.
const goVersion = "1.26.0"

// versions returns the arguments of "go get" for the modules that do not come from folders.
func (d *distribution) versions() []string {
	var args []string
	for _, m := range d.modules() {
		if m.Source.Path == "" {
			args = append(args, m.Module+"@"+m.Source.Version)
		}
	}
	slices.Sort(args)
	return slices.Compact(args)
}

// modules returns the library and the modules of the plugins, which may occur several times.
func (d *distribution) modules() []plugin {
	return append([]plugin{{Module: core, Source: d.Core}}, d.Plugins...)
}

// cgo is the value of CGO_ENABLED: plugins with system packages may link to their libraries.
func (d *distribution) cgo() string {
	if apt, dnf := d.packages(); len(apt)+len(dnf) > 0 {
		return "1"
	}
	return "0"
}

// packages returns the system packages of all plugins, sorted.
func (d *distribution) packages() (apt, dnf []string) {
	for _, p := range d.Plugins {
		apt, dnf = append(apt, p.Prerequisites.Apt...), append(dnf, p.Prerequisites.Dnf...)
	}
	slices.Sort(apt)
	slices.Sort(dnf)
	return slices.Compact(apt), slices.Compact(dnf)
}

// writeSource writes a Go module without its requirements.
func (d *distribution) writeSource(src string) error {
	raw, err := d.render("main.go.tmpl")
	if err != nil {
		return err
	}
	if raw, err = format.Source(raw); err != nil {
		return err
	}
	values := map[string]any{}
	for _, m := range append([]map[string]any{d.Settings}, d.pluginSettings()...) {
		for key, value := range m {
			values[key] = value
		}
	}
	document, err := yaml.Marshal(values)
	if err != nil {
		return err
	}
	var mod strings.Builder
	fmt.Fprintf(&mod, "module pulpdist.invalid/%s\n\ngo %s\n", d.Name, goVersion)
	replaced := map[string]bool{}
	for _, m := range d.modules() {
		if m.Source.Path == "" || replaced[m.Module] {
			continue
		}
		replaced[m.Module] = true
		path := m.Source.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(d.dir, path)
		}
		// Without it "go get" would ask the proxy for a version.
		fmt.Fprintf(&mod, "\nrequire %s v0.0.0\n\nreplace %s v0.0.0 => %q\n", m.Module, m.Module, path)
	}
	for name, content := range map[string][]byte{
		"main.go": raw, "settings.yaml": document, "go.mod": []byte(mod.String()), "go.sum": d.knownSums(),
	} {
		if err := os.WriteFile(filepath.Join(src, name), content, 0o644); err != nil { //nolint:gosec // no secrets
			return err
		}
	}
	return nil
}

func (d *distribution) pluginSettings() []map[string]any {
	var all []map[string]any
	for _, p := range d.Plugins {
		all = append(all, p.Settings)
	}
	return all
}

// knownSums returns the go.sum of the library if it is a folder, so that a build with all modules at hand needs no
// network.
func (d *distribution) knownSums() []byte {
	path := d.Core.Path
	if path == "" {
		return nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.dir, path)
	}
	raw, err := os.ReadFile(filepath.Join(path, "go.sum"))
	if err != nil {
		return nil // "go mod tidy" says what is missing
	}
	return raw
}

// render executes a template for the distribution. Everything that templates print was checked by check.
func (d *distribution) render(name string) ([]byte, error) {
	return d.renderWith(name, nil)
}

func (d *distribution) renderWith(name string, role any) ([]byte, error) {
	t, err := template.ParseFS(fs.FS(files), "templates/"+name)
	if err != nil {
		return nil, err
	}
	apt, dnf := d.packages()
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Dist": d, "Apt": apt, "Dnf": dnf, "Role": role, "Static": d.cgo() == "0"})
	return out.Bytes(), err
}

package main

import (
	"os"
	"path/filepath"
)

// role is a unit.
type role struct{ Name, Title, Listen string }

func roles() []role {
	return []role{
		{"api", "REST API", "127.0.0.1:24817"}, {"content", "content app", "127.0.0.1:24816"}, {"worker", "workers", ""},
	}
}

// writeInstall writes what brings the binary to a host.
func (d *distribution) writeInstall(dir string) error {
	for _, r := range roles() {
		raw, err := d.renderWith("unit.service.tmpl", r)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, d.Name+"-"+r.Name+".service")
		if err := os.WriteFile(path, raw, 0o644); err != nil { //nolint:gosec // no secrets
			return err
		}
	}
	for name, mode := range map[string]os.FileMode{"Containerfile": 0o644, "install.sh": 0o755} {
		raw, err := d.render(name + ".tmpl")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, mode); err != nil {
			return err
		}
	}
	return nil
}

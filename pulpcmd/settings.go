package pulpcmd

import (
	"errors"
	"os"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/pulpgo/pulpcore/settings"
)

// Load reads the settings as [Program.Run] does: Defaults, the file, the environment.
//
// Errors: those of settings.Load.
func (p *Program) Load() (*settings.Set, error) {
	configured := settings.OptionalFile("/etc/pulp/settings.toml")
	// A file that the operator names must exist; the file at the default place need not.
	if path := os.Getenv("PULP_SETTINGS"); path != "" {
		configured = settings.File(path)
	}
	// Among files, the later one overrides.
	var opts []settings.Option
	if len(p.Defaults) > 0 {
		opts = append(opts, settings.From("defaults of "+p.Name, document(p.Defaults), yaml.Parser()))
	}
	return settings.Load(append(opts, configured, settings.Env("PULP_"))...)
}

// document is a koanf.Provider of bytes that the program has.
type document []byte

func (d document) ReadBytes() ([]byte, error) { return d, nil }

func (d document) Read() (map[string]any, error) {
	return nil, errors.New("a document of settings needs a parser")
}

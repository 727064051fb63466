package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"

	"github.com/pulpgo/pulpcore/pulperr"
)

// Option is an argument of [Load]: a place to read settings from, or a setting itself. The order of options decides
// only between options of one sort; files lie under the environment, and the environment under [Value], [Append] and
// [Merge].
type Option interface {
	read() (*layer, []error)
}

// File reads a settings file: TOML, YAML or JSON by its ending (.toml, .yaml, .yml, .json). A later File overrides an
// earlier one. A file that does not exist is an error of kind NotFound.
func File(path string) Option { return file{path: path} }

// OptionalFile is [File] for a file that need not exist.
func OptionalFile(path string) Option { return file{path: path, optional: true} }

// Env reads the process environment once: PULP_PAGE_SIZE sets PAGE_SIZE if the prefix is "PULP_", and
// PULP_DATABASES__default__PASSWORD a part of DATABASES. Lists and maps are written as JSON; a number, a truth value
// and a text need no quotes. dynaconf's tokens @json, @merge, @str and @none are known.
func Env(prefix string) Option { return environment{prefix: prefix, environ: os.Environ} }

// Environ is [Env] with an explicit environment in the form of os.Environ.
func Environ(prefix string, environ []string) Option {
	return environment{prefix: prefix, environ: func() []string { return environ }}
}

// From reads any koanf provider, such as one for Vault or S3, as a layer among the files. name is for people; parser
// is nil for providers that need none.
func From(name string, provider koanf.Provider, parser koanf.Parser) Option {
	return foreign{name: name, provider: provider, parser: parser}
}

// maxFile bounds a settings file, in bytes.
const maxFile = 4 << 20

type file struct {
	path     string
	optional bool
}

func (f file) read() (*layer, []error) {
	unmarshal, err := formatOf(f.path)
	if err != nil {
		return nil, []error{err}
	}
	raw, err := readBounded(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.optional:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, []error{fmt.Errorf("file %q: %w", f.path, pulperr.NotFound)}
	case err != nil:
		return nil, []error{fmt.Errorf("file %q: %w: %w", f.path, pulperr.Invalid, err)}
	case len(raw) > maxFile:
		return nil, []error{fmt.Errorf("file %q: %w: more than %d bytes", f.path, pulperr.TooLarge, maxFile)}
	}
	m, err := unmarshal(raw)
	if err != nil {
		return nil, []error{fmt.Errorf("file %q: %w: %w", f.path, pulperr.Invalid, err)}
	}
	return newLayer(rankFile, "file "+f.path, m)
}

// readBounded reads a file up to one byte beyond maxFile.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The path may be a device or a pipe, whose size is not known before. The extra byte tells a file of the maximum size
	// from a larger one.
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// formatOf returns the parser for a file's ending.
func formatOf(path string) (func([]byte) (map[string]any, error), error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".toml":
		return toml.Parser().Unmarshal, nil
	case ".yaml", ".yml":
		return yaml.Parser().Unmarshal, nil
	// koanf's own parser makes every number a float64, which loses digits.
	case ".json":
		return func(raw []byte) (m map[string]any, err error) {
			err = unmarshalJSON(raw, &m)
			return m, err
		}, nil
	default:
		return nil, fmt.Errorf("file %q: %w: the ending %q is none of .toml, .yaml, .yml, .json",
			path, pulperr.Unsupported, ext)
	}
}

type environment struct {
	prefix  string
	environ func() []string
}

func (e environment) read() (*layer, []error) {
	// No delimiter: nesting is resolved when the layer is applied, for A and A__B may both be set.
	p := env.Provider("", env.Opt{Prefix: e.prefix, EnvironFunc: e.environ})
	m, err := p.Read()
	if err != nil {
		return nil, []error{fmt.Errorf("environment: %w: %w", pulperr.Invalid, err)}
	}
	var faults []error
	values := make(map[string]any, len(m))
	merging := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(m)) { // faults come in the same order each time
		v, key := m[name], strings.TrimPrefix(name, e.prefix)
		// Kubernetes sets PULP_REDIS_PORT=tcp://10.0.0.1:6379 for a service pulp-redis, which is no value of REDIS_PORT.
		if key == "" || isServiceLink(key, v.(string)) {
			continue
		}
		val, merge, err := typed(v.(string))
		if err != nil {
			faults = append(faults, &Fault{Key: key, Layer: "environment variable " + name, Reason: err.Error()})
			continue
		}
		values[key] = val
		merging[strings.Join(splitKey(key), separator)] = merge
	}
	l, more := newLayer(rankEnv, "environment", values)
	l.variables = e.prefix
	// newLayer sorts the assignments, so each finds its flag by its key.
	for i := range l.sets {
		l.sets[i].merge = merging[l.sets[i].Key()]
	}
	return l, append(faults, more...)
}

// isServiceLink recognizes the variables that Kubernetes sets for a service.
func isServiceLink(key, value string) bool {
	address := strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://")
	return serviceLink.MatchString(key) || address && (key == "PORT" || strings.HasSuffix(key, "_PORT"))
}

var serviceLink = regexp.MustCompile(`(^|_)(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.+)?)$`)

type foreign struct {
	name     string
	provider koanf.Provider
	parser   koanf.Parser
}

func (f foreign) read() (*layer, []error) {
	var m map[string]any
	k := koanf.New(separator)
	// koanf's own merge would lose merge markers and the layer of a value, so its merge function only takes the map out.
	err := k.Load(f.provider, f.parser, koanf.WithMergeFunc(func(src, _ map[string]any) error {
		m = src
		return nil
	}))
	if err != nil {
		return nil, []error{fmt.Errorf("%s: %w: %w", f.name, pulperr.Unavailable, err)}
	}
	return newLayer(rankFile, f.name, m)
}

func (a Assignment) read() (*layer, []error) {
	if a.fault != nil {
		return nil, []error{a.fault}
	}
	return &layer{rank: rankHost, name: "host option", sets: []Assignment{a}}, nil
}

func newLayer(r rank, name string, m map[string]any) (*layer, []error) {
	sets, faults := assignments(m)
	for _, f := range faults {
		if f, ok := errors.AsType[*Fault](f); ok {
			f.Layer = name
		}
	}
	return &layer{rank: r, name: name, sets: sets}, faults
}

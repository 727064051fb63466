package settings

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// pulpKeys are settings of Pulp that Core has in a shorter form.
type pulpKeys struct {
	Databases     map[string]pulpDatabase `setting:"DATABASES"`
	Storages      map[string]pulpStorage  `setting:"STORAGES"`
	RedisHost     string                  `setting:"REDIS_HOST"`
	RedisPort     int                     `setting:"REDIS_PORT"`
	RedisDB       int                     `setting:"REDIS_DB"`
	RedisPassword Secret                  `setting:"REDIS_PASSWORD"`
	RedisSSL      bool                    `setting:"REDIS_SSL"`
	RestFramework restFramework           `setting:"REST_FRAMEWORK"`
}

type restFramework struct {
	PageSize int `setting:"PAGE_SIZE"`

	_ struct{} `setting:",ignore=DEFAULT_FILTER_BACKENDS DEFAULT_PAGINATION_CLASS DEFAULT_PERMISSION_CLASSES"`
	_ struct{} `setting:",ignore=DEFAULT_AUTHENTICATION_CLASSES UPLOADED_FILES_USE_URL DEFAULT_VERSIONING_CLASS"`
	_ struct{} `setting:",ignore=DEFAULT_SCHEMA_CLASS EXCEPTION_HANDLER DEFAULT_RENDERER_CLASSES DEFAULT_PARSER_CLASSES"`
}

// pulpSection has no defaults: only given settings are converted.
var pulpSection = Define("", pulpKeys{})

// derivation gives one key a value that follows from others.
type derivation struct {
	key, from string
	value     any
}

// derive adds a topmost layer with values that follow from the others: default paths, absolute paths, and URLs made of
// Pulp's longer settings.
func (s *Set) derive() []error {
	d := &decoder{source: s.source}
	pulp := pulpSection.decode(d, s.tree).(pulpKeys)
	faults := d.faults
	ds, err := s.paths()
	if err != nil {
		faults = append(faults, err)
	}
	s.apply(ds)
	// Again from the start: the paths of the defaults below depend on the derivations above.
	core := coreSection.decode(&decoder{source: s.source}, s.tree).(Core) // its faults are found again by build
	s.apply(s.pageSize(pulp))
	for _, from := range []func(Core, pulpKeys) ([]derivation, error){fromDatabases, fromStorages, fromRedis} {
		ds, err := from(core, pulp)
		if err != nil {
			faults = append(faults, err)
		}
		s.apply(ds)
	}
	for _, f := range faults {
		s.locate(f)
	}
	return faults
}

// locate gives faults the layer that their key came from.
func (s *Set) locate(err error) {
	switch x := err.(type) { //nolint:errorlint // the tree is ours and walked by hand
	case *Fault:
		if x.Layer == "" {
			x.Layer = s.source(splitKey(x.Key))
		}
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			s.locate(e)
		}
	}
}

func (s *Set) apply(ds []derivation) {
	for _, d := range ds {
		// A layer for each derivation lets Explain and faults name the setting that the value comes from.
		l := &layer{rank: rankDerived, name: "derived from " + d.from}
		a := Assignment{path: splitKey(d.key), value: d.value}
		l.sets = []Assignment{a}
		s.all = append(s.all, applied{Assignment: a, layer: l})
		s.tree = tree(put(map[string]any(s.tree), a.path, a.value, false).(map[string]any))
	}
}

// paths derives the paths that are not set and makes all of them absolute.
func (s *Set) paths() ([]derivation, error) {
	var ds []derivation
	known := map[string]string{}
	var faults []error
	for _, p := range []struct{ key, parent, name string }{
		// A parent comes before the paths that are derived from it, for these need its absolute path.
		{"DEPLOY_ROOT", "", ""},
		{"MEDIA_ROOT", "DEPLOY_ROOT", "media"},
		{"WORKING_DIRECTORY", "DEPLOY_ROOT", "tmp"},
		{"FILE_UPLOAD_TEMP_DIR", "WORKING_DIRECTORY", ""},
		{"DB_ENCRYPTION_KEY", "DEPLOY_ROOT", "database_fields.symmetric.key"},
	} {
		given, ok := asText(s.tree[p.key])
		if !ok {
			continue // a fault that decoding reports
		}
		from := "a relative " + p.key
		path := given
		if path == "" {
			path, from = filepath.Join(known[p.parent], p.name), p.parent
		}
		// The operating system refuses a path with NUL, but not before its first use.
		if path == "" || strings.ContainsRune(path, 0) {
			faults = append(faults, &Fault{Key: p.key, Layer: s.source([]string{p.key}), Reason: "is not a path"})
			continue
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			faults = append(faults, &Fault{Key: p.key, Reason: "cannot be made absolute: " + err.Error()})
		}
		// A path that was given as absolute has no derivation, so that Explain names its source.
		if known[p.key] = abs; abs != given {
			ds = append(ds, derivation{p.key, from, abs})
		}
	}
	return ds, errors.Join(faults...)
}

// pageSize derives PAGE_SIZE, if it is not set, from REST_FRAMEWORK.
func (s *Set) pageSize(pulp pulpKeys) []derivation {
	// The default of PAGE_SIZE gives way to REST_FRAMEWORK, a value from any other layer does not.
	given := slices.ContainsFunc(s.all, func(a applied) bool {
		return a.layer.rank > rankCore && touches(a.path, []string{"PAGE_SIZE"})
	})
	if pulp.RestFramework.PageSize == 0 || given {
		return nil
	}
	return []derivation{{"PAGE_SIZE", "REST_FRAMEWORK", int64(pulp.RestFramework.PageSize)}}
}

func wrongKey(key, format string, args ...any) error {
	return &Fault{Key: key, Reason: fmt.Sprintf(format, args...)}
}

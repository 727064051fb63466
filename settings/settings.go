// Package settings reads an installation's settings in layers and gives them out as typed, immutable values.
//
// [Load] merges, from weak to strong: pulpcore's defaults, plugins' defaults, files, the environment, and options of
// the host program. A plugin may then overlay the few keys it must own. With no option at all the result is a working
// embedded set-up: SQLite and a folder below ./pulp.
//
//	set, err := settings.Load(settings.File("/etc/pulp/settings.toml"), settings.Env("PULP_"))
//
// A higher layer replaces a value, unless it carries one of dynaconf's markers: a map with "dynaconf_merge": true, or a
// list with the element "dynaconf_merge", adds to the value of lower layers.
//
// Names and meanings are Pulp's. All faults are reported together; [Set.Explain] lists the sources of a value. There
// is no global: every App has its own [Set].
package settings

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
)

// Set is the settings of one installation. It is immutable and safe for concurrent use.
type Set struct {
	layers   []*layer // as read by Load
	plugins  []Plugin
	all      []applied
	tree     tree
	core     Core
	sections map[AnySection]any
}

// Plugin is a plugin's part of the settings.
type Plugin struct {
	Name     string           // the plugin's label, for Explain and for faults
	Sections []AnySection     // its own typed settings
	Defaults []Assignment     // its defaults for other keys; files, environment and host override them
	Overlay  []Assignment     // keys that it decides; they override even the host. Prefer Append and Merge here.
	Validate func(*Set) error // further checks once everything is merged; nil means none
}

// Load reads all options and returns the merged and validated settings. Unknown keys are not reported before
// [Set.With], because only plugins know theirs.
//
// Errors: all faults joined, each a [Fault] or an error about a whole source (NotFound, Invalid, Unsupported).
func Load(opts ...Option) (*Set, error) {
	var layers []*layer
	var faults []error
	for _, o := range opts {
		if o == nil {
			continue
		}
		l, errs := o.read()
		faults = append(faults, errs...)
		if l != nil {
			layers = append(layers, l)
		}
	}
	// The sources without faults are still checked, so that one start reports all faults.
	set, errs := build(layers, nil)
	return finish(set, append(faults, errs...))
}

// With returns the settings together with those of plugins, which are added to the plugins that the set has already.
//
// Errors: all faults joined: unknown keys of files and of the host, unknown keys of the environment that resemble a
// known one, values of wrong types, clashes between plugins, and faults of validators.
func (s *Set) With(plugins ...Plugin) (*Set, error) {
	set, faults := build(s.layers, append(slices.Clone(s.plugins), plugins...))
	faults = append(faults, set.unknown()...)
	// A field with a fault keeps its default, so a validator of a plugin could not tell that from a configured value.
	if len(faults) == 0 {
		for _, p := range set.plugins {
			if p.Validate == nil {
				continue
			}
			if err := p.Validate(set); err != nil {
				faults = append(faults, fmt.Errorf("plugin %q: %w", p.Name, err))
			}
		}
	}
	return finish(set, faults)
}

func finish(set *Set, faults []error) (*Set, error) {
	if len(faults) > 0 {
		return nil, fmt.Errorf("settings: %w", errors.Join(faults...))
	}
	return set, nil
}

// Core returns pulpcore's own settings. The caller must not change maps and lists within.
func (s *Set) Core() Core { return s.core }

// Get returns the merged value of any key, for values without a typed field: nil, bool, string, int64, float64,
// time.Duration, []any or map[string]any, and [Secret] or [URL] for what must not be printed. A part of a map is named
// as in the environment: "LOGGING__loggers__pulp". The caller may keep and change what it gets. ok is false if no
// layer has the key.
func (s *Set) Get(key string) (v any, ok bool) {
	path := splitKey(key)
	v, ok = at(map[string]any(s.tree), path)
	return conceal(path, untag(v), s.secretKeys()), ok
}

// Keys returns all top-level keys that have a value, sorted, for a listing by [Set.Explain].
func (s *Set) Keys() []string { return sortedKeys(s.tree) }

// Logger returns a logger that writes to w, in the format and from the levels of LOGGING, in place of its handlers, see
// [Set.OpenLog]. Passwords within addresses are removed from texts and errors; a [Secret] cannot be printed anyway.
// Safe for concurrent use.
func (s *Set) Logger(w io.Writer) *slog.Logger { return s.core.Logging.logger(w) }

// Handler returns next behind the levels of LOGGING, for hosts with a handler of their own. The logger of a record is
// named by the attribute [LoggerKey], given to the logger or to the record.
func (s *Set) Handler(next slog.Handler) slog.Handler {
	return s.core.Logging.newHandler(sink{next: next, level: math.MinInt32})
}

// OpenLog returns a logger that writes to all handlers of LOGGING, and what closes their files. An App has made one for
// itself, see pulpcore.App.Log. Nil options are the defaults.
//
// Errors: Invalid for a handler that is not registered; Unavailable for a file that cannot be written.
func (s *Set) OpenLog(opts *LogOptions) (*slog.Logger, io.Closer, error) {
	return s.core.Logging.open(opts)
}

// CheckLogHandlers returns a fault for each handler of LOGGING that names a [slog.Handler] which is not registered
// under one of the known names.
func (s *Set) CheckLogHandlers(known ...string) []error {
	ck := &checker{set: s}
	s.core.Logging.checkHandlers(ck, known)
	return ck.faults
}

func build(layers []*layer, plugins []Plugin) (*Set, []error) {
	set := &Set{layers: layers, plugins: plugins, sections: map[AnySection]any{}}
	sections, faults := set.allSections()
	// A copy, because each call of With appends to the layers of the same Load.
	stackable := slices.Clone(layers)
	for _, sec := range sections {
		l, errs := sec.layer()
		faults = append(faults, errs...)
		stackable = append(stackable, l)
	}
	for _, p := range plugins {
		ls, errs := p.layers()
		faults = append(faults, errs...)
		stackable = append(stackable, ls...)
	}
	set.all = stack(stackable)
	set.tree = merged(set.all)
	// Before sections are decoded, because Core has the derived paths and URLs in its fields.
	faults = append(faults, set.derive()...)

	d := &decoder{source: set.source}
	for _, sec := range sections {
		if _, err := sec.schema(); err == nil { // else it is among the faults already
			set.sections[sec] = sec.decode(d, set.tree)
		}
	}
	faults = append(faults, d.faults...)
	core, ok := set.sections[coreSection].(Core)
	if ok {
		faults = append(faults, core.settle(set)...)
	}
	set.core = core
	return set, faults
}

// allSections returns core's sections and the plugins', and reports keys that two of them claim.
func (s *Set) allSections() ([]AnySection, []error) {
	sections := []AnySection{coreSection}
	owner := map[string]string{}
	claim(coreSection, "pulpcore", owner)
	// Core has no fields for DATABASES and the like, but a plugin must not take these keys either.
	claim(pulpSection, "pulpcore", owner)
	var faults []error
	for _, p := range s.plugins {
		for _, sec := range p.Sections {
			for key, other := range claim(sec, p.Name, owner) {
				faults = append(faults, fmt.Errorf("plugin %q: %w", p.Name, &Fault{Key: key, Reason: fmt.Sprintf(
					"is a setting of %q already; name another key by the tag setting:\"KEY\"", other)}))
			}
			sections = append(sections, sec)
		}
	}
	return sections, faults
}

// claim enters a section's keys into owner and returns those that had one.
func claim(sec AnySection, name string, owner map[string]string) map[string]string {
	clashes := map[string]string{}
	sc, _ := sec.schema()
	for _, f := range sc.fields {
		if other, taken := owner[f.key]; taken {
			clashes[f.key] = other
			continue
		}
		owner[f.key] = name
	}
	return clashes
}

// layers returns the plugin's defaults and overlay.
func (p Plugin) layers() ([]*layer, []error) {
	var faults []error
	usable := func(sets []Assignment) (out []Assignment) {
		for _, a := range sets {
			if a.fault != nil {
				faults = append(faults, fmt.Errorf("plugin %q: %w", p.Name, a.fault))
				continue
			}
			out = append(out, a)
		}
		return out
	}
	layers := []*layer{
		{rank: rankPlugin, name: "defaults of plugin " + p.Name, sets: usable(p.Defaults)},
		{rank: rankOverlay, name: "overlay of plugin " + p.Name, sets: usable(p.Overlay)},
	}
	return layers, faults
}

// source names the layer that has the last word on path.
func (s *Set) source(path []string) string {
	for _, a := range slices.Backward(s.all) {
		if !touches(a.path, path) {
			continue
		}
		// A map that is merged leaves the parts that it does not have as they were.
		if speaks, _ := a.word(path); speaks {
			return a.source()
		}
	}
	return ""
}

// unknown reports top-level keys that no section has.
func (s *Set) unknown() []error {
	var known []string
	sections, _ := s.allSections()
	for _, sec := range append(sections, AnySection(pulpSection)) {
		sc, _ := sec.schema()
		for _, f := range sc.fields {
			known = append(known, f.key)
		}
	}
	var faults []error
	for _, key := range sortedKeys(s.tree) {
		if slices.Contains(known, key) || meaningless(key) != "" {
			continue
		}
		hint := didYouMean(key, known)
		if hint == "" && s.onlyEnv(key) {
			continue // an environment is shared: Kubernetes puts PULP_SERVICE_HOST there for a service "pulp"
		}
		faults = append(faults, &Fault{Key: key, Layer: s.source([]string{key}), Reason: "is not a known setting" + hint})
	}
	return faults
}

func (s *Set) onlyEnv(key string) bool {
	for _, a := range s.all {
		if a.path[0] == key && a.layer.rank != rankEnv {
			return false
		}
	}
	return true
}

// Notes lists, for the log, settings that were given and have no effect: Pulp's settings without a meaning here, with
// the reason, and unknown variables of the environment. Call it on the outcome of [Set.With].
func (s *Set) Notes() []string {
	known := map[string]string{}
	sections, _ := s.allSections()
	for _, sec := range append(sections, AnySection(pulpSection)) {
		claim(sec, "", known)
	}
	var notes []string
	for _, key := range sortedKeys(s.tree) {
		if _, ok := known[key]; ok {
			continue
		}
		why := meaningless(key)
		if why == "" {
			why = "not a known setting"
		}
		notes = append(notes, fmt.Sprintf("%s has no effect: %s (%s)", key, why, s.source([]string{key})))
	}
	return notes
}

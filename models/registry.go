package models

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"regexp"
	"slices"

	"github.com/pulpgo/pulpcore/pulperr"
)

// PluginModels is what one plugin brings to the database.
type PluginModels struct {
	Plugin string    // name of the plugin, the part of its types' names before the dot
	Types  []AnyType // its models

	// Migrations holds NNNN_name.up.sql and NNNN_name.down.sql files at its top or in its folder migrations, see
	// [Migrate]; [NextMigration] writes them. If it is nil the tables are derived from the types, which do not change
	// then: that suits tests, and a plugin before its first release.
	Migrations fs.FS

	core bool
}

// CoreModels returns types that belong to the library itself, not to a plugin. Their names begin with "core.", and the
// core's migrations make their tables.
func CoreModels(types ...AnyType) PluginModels {
	return PluginModels{Plugin: corePlugin, Types: types, core: true}
}

// corePlugin is the name in the place of a plugin's for what is the library's own.
const corePlugin = "core"

// Registry holds the types of one App. It is immutable and safe for concurrent use.
type Registry struct {
	sets   []PluginModels
	byDef  map[*definition]*schema
	byType map[Master]map[string]*schema // by pulp_type
	byGo   map[reflect.Type]*schema
}

var (
	typeName   = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)
	pluginName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// publishedMetadata is the one content type of the core itself.
var publishedMetadata = Define[PublishedMetadata]("core.publishedmetadata")

// NewRegistry checks all sets and reports every fault in one error of kind Invalid; see [Check].
func NewRegistry(sets ...PluginModels) (*Registry, error) {
	r, faults := Check(sets...)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("models: %w: %w", pulperr.Invalid, err)
	}
	return r, nil
}

// Check returns every fault of the sets: of their names, their types with the tags and hooks, and the names and
// templates of their migrations. Each fault begins with the plugin's name and ends with the remedy. It opens no
// database.
//
// The registry has all types, those with faults too, so that other packages can check their own declarations. Do not
// give it to a database if there are faults.
func Check(sets ...PluginModels) (*Registry, []error) {
	r := &Registry{
		sets:   slices.Clone(sets),
		byDef:  map[*definition]*schema{},
		byType: map[Master]map[string]*schema{},
		byGo:   map[reflect.Type]*schema{},
	}
	c := &checker{r: r}
	c.add(publishedMetadata, "core")
	seen := map[string]bool{}
	for _, s := range sets {
		switch {
		case !pluginName.MatchString(s.Plugin) || s.Plugin == corePlugin && !s.core:
			c.fault(s.Plugin, "the name is not usable; give it one of a-z, 0-9 and _ that begins with a letter and is not core")
		case seen[s.Plugin]:
			c.fault(s.Plugin, "it is given twice; leave one out, or rename it")
		}
		seen[s.Plugin] = true
		for i, t := range s.Types {
			if t == nil {
				c.fault(s.Plugin, "type %d is nil; leave it out", i+1)
				continue
			}
			c.add(t, s.Plugin)
		}
		if s.core {
			continue // its migrations are the library's
		}
		c.checkMigrations(s)
	}
	// References are checked after all sets, because a type may refer to types of a plugin that is given later.
	c.checkReferences()
	return r, c.faults
}

// Types yields every type, plugins in the order given, types in the order listed.
func (r *Registry) Types() iter.Seq[AnyType] {
	return func(yield func(AnyType) bool) {
		for _, s := range r.sets {
			for _, t := range s.Types {
				if t != nil && !yield(t) {
					return
				}
			}
		}
	}
}

// Fields returns the fields of t in struct order, or nil if t is not registered.
func (r *Registry) Fields(t AnyType) []Field {
	if s := r.byDef[t.definition()]; s != nil {
		return slices.Clone(s.fields)
	}
	return nil
}

// Has reports whether a plugin lists t.
func (r *Registry) Has(t AnyType) bool { return r.byDef[t.definition()] != nil }

// Lookup returns a zero row for a pulp_type of a master, or false if no plugin has it.
func (r *Registry) Lookup(m Master, pulpType string) (Row, bool) {
	if s := r.byType[m][pulpType]; s != nil {
		return s.newRow(), true
	}
	return nil, false
}

// HasColumns reports whether a pulp_type of a master has columns of its own; false also if no plugin has the type.
func (r *Registry) HasColumns(m Master, pulpType string) bool {
	s := r.byType[m][pulpType]
	return s != nil && s.own != ""
}

// Accepts returns the content types that a repository of type t may hold.
func (r *Registry) Accepts(t AnyType) []string {
	var names []string
	for _, d := range t.definition().accepts {
		names = append(names, d.name)
	}
	return names
}

// SyncsFrom returns the remote types that a repository of type t can sync from.
func (r *Registry) SyncsFrom(t AnyType) []string { return remoteNames(t, RepositoryMaster) }

// PullsFrom returns the remote types that a distribution of type t can pull from.
func (r *Registry) PullsFrom(t AnyType) []string { return remoteNames(t, DistributionMaster) }

func remoteNames(t AnyType, m Master) (names []string) {
	if t.Master() != m {
		return nil
	}
	for _, d := range t.definition().remotes {
		names = append(names, d.name)
	}
	return names
}

// ofType returns the schema of a definition.
func (r *Registry) ofType(d *definition) (*schema, error) {
	if s := r.byDef[d]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("models: type %q belongs to no plugin of this App: %w", d.name, pulperr.Unsupported)
}

// of returns the schema of a row's Go type.
func (r *Registry) of(row Row) (*schema, error) {
	if s := r.byGo[reflect.TypeOf(row).Elem()]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("models: %T belongs to no plugin of this App: %w", row, pulperr.Unsupported)
}

package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/internal/sqldialect"
)

// checker fills a registry and collects the faults of the sets.
type checker struct {
	r      *Registry
	faults []error
}

func (c *checker) fault(plugin, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("plugin %q: "+format, append([]any{plugin}, args...)...))
}

// add enters a type. A type with faults is entered too, so that references to it are not reported as faults.
func (c *checker) add(t AnyType, plugin string) {
	d := t.definition()
	fault := func(format string, args ...any) {
		c.fault(plugin, "type %q: "+format, append([]any{d.name}, args...)...)
	}
	prefix, _, _ := strings.Cut(d.name, ".")
	switch {
	case !typeName.MatchString(d.name):
		fault("the name is not of the form plugin.type in lower case; change it in models.Define")
	case prefix != plugin:
		fault("the name does not start with the plugin's name; change it in models.Define to \"%s.…\"", plugin)
	case c.r.byType[d.master][d.name] != nil:
		fault("there are two %s types of that name; rename one, or list it once", d.master)
	case c.r.byGo[d.goType] != nil:
		fault("%s is defined as type %q too; define another struct for it", d.goType, c.r.byGo[d.goType].name)
	}
	for _, f := range d.fallible {
		fault("%s", f)
	}
	s, faults := newSchema(d)
	for _, err := range faults {
		fault("%w", err)
	}
	if c.r.byDef[d] == nil {
		c.checkClashes(s, plugin)
		c.enter(s)
	}
}

// checkClashes finds tables and names that two types would share.
func (c *checker) checkClashes(s *schema, plugin string) {
	for other, o := range c.r.byDef {
		switch {
		// add has reported these.
		case s.name == other.name || s.goType == other.goType:
		case s.own != "" && s.own == o.own:
			c.fault(plugin, "type %q: its table %s is that of type %q; rename one of the types", s.name, s.own, o.name)
		case s.prn(uuid.Nil) == o.prn(uuid.Nil):
			c.fault(plugin, "type %q: its PRNs would be those of type %q; rename one of the types", s.name, o.name)
		}
	}
}

// enter makes a type known. Of two types of one name or one struct, the first keeps it.
func (c *checker) enter(s *schema) {
	r, d := c.r, s.definition
	r.byDef[d] = s
	if r.byType[d.master] == nil {
		r.byType[d.master] = map[string]*schema{}
	}
	if r.byType[d.master][d.name] == nil {
		r.byType[d.master][d.name] = s
	}
	if r.byGo[d.goType] == nil {
		r.byGo[d.goType] = s
	}
}

// checkReferences finds types that refer to a type of no plugin.
func (c *checker) checkReferences() {
	for t := range c.r.Types() {
		d := t.definition()
		for _, other := range slices.Concat(d.accepts, d.remotes) {
			if c.r.byDef[other] == nil {
				plugin, _, _ := strings.Cut(d.name, ".")
				c.fault(plugin, "type %q: it refers to type %q, which no plugin lists; add that to the Models of its plugin, or "+
					"give its plugin to Open", d.name, other.name)
			}
		}
	}
}

// checkMigrations reads the migrations for both databases.
func (c *checker) checkMigrations(s PluginModels) {
	if s.Migrations == nil {
		return
	}
	seen := map[string]bool{}
	// A template may be wrong for one of the two only.
	for _, kind := range []sqldialect.Kind{sqldialect.SQLite, sqldialect.Postgres} {
		_, faults := readMigrations(s.Migrations, kind.TemplateData())
		for _, err := range faults {
			if !seen[err.Error()] {
				seen[err.Error()] = true
				c.fault(s.Plugin, "%w", err)
			}
		}
	}
}

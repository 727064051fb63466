package models

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/pulpgo/pulpcore/pulperr"
)

//go:embed migrations/*.sql
var coreMigrations embed.FS

// migration is one numbered step of one plugin's schema.
type migration struct {
	plugin, id string
	up, down   string // templates; statements are separated by lines of "--;;"
}

var migrationFile = regexp.MustCompile(`^([0-9]{4}_[a-z0-9_]+)\.(up|down)\.sql$`)

// checksum is over the normal form, so the text may be laid out anew, by hand or by a newer generator.
func (m migration) checksum() string {
	var normal []string
	for _, stmt := range statements(m.up) {
		normal = append(normal, normalForm(stmt))
	}
	sum := sha256.Sum256([]byte(strings.Join(normal, "\n")))
	return hex.EncodeToString(sum[:8])
}

// migrationPlan reads the migrations of a registry's plugins for one dialect, whose words are given.
type migrationPlan struct {
	registry *Registry
	words    map[string]any
}

// all returns every step in the order of application: the core's, then each plugin's, by number.
func (p migrationPlan) all() ([]migration, error) {
	var plan []migration
	// The core comes first: the tables of plugins refer to those of its masters.
	for _, s := range append([]PluginModels{{Plugin: corePlugin, Migrations: coreMigrations}}, p.registry.sets...) {
		if s.core {
			continue // the core's migrations make the tables of its types
		}
		steps, faults := p.steps(s)
		if err := errors.Join(faults...); err != nil {
			return nil, fmt.Errorf("models: plugin %q: %w: %w", s.Plugin, pulperr.Invalid, err)
		}
		for _, m := range steps {
			m.plugin = s.Plugin
			plan = append(plan, m)
		}
	}
	return plan, nil
}

// steps returns the migrations of one plugin.
func (p migrationPlan) steps(s PluginModels) ([]migration, []error) {
	if s.Migrations == nil {
		return p.derive(s)
	}
	return readMigrations(s.Migrations, p.words)
}

// derive returns the one migration of a plugin that wrote none: the tables of its types' own columns.
func (p migrationPlan) derive(s PluginModels) ([]migration, []error) {
	var up, down []string
	for _, t := range s.Types {
		sc := p.registry.byDef[t.definition()]
		if sc.own == "" {
			continue
		}
		up = append(up, ownTable{sc}.create()...)
		down = append(down, "DROP TABLE "+sc.own)
	}
	if up == nil {
		return nil, nil
	}
	slices.Reverse(down)
	m := migration{id: "0001_initial"}
	var err error
	if m.up, err = render(strings.Join(up, separator), p.words); err == nil {
		m.down, err = render(strings.Join(down, separator), p.words)
	}
	if err != nil {
		return nil, []error{err}
	}
	return []migration{m}, nil
}

// changed returns the error of a migration whose text differs from the text that was applied.
func (p migrationPlan) changed(m migration) error {
	derived := slices.ContainsFunc(p.registry.sets, func(s PluginModels) bool {
		return s.Plugin == m.plugin && s.Migrations == nil && !s.core
	})
	switch {
	case derived:
		return pulperr.Public(pulperr.Conflict, "the types of plugin %q have changed since its tables were derived from "+
			"them, and it has no migrations: with the types as they were, let pulpcore.WriteMigration write %s and set "+
			"Plugin.Migrations to it; then change the types and let it write the next migration", m.plugin, m.id)
	case m.plugin == "core":
		return pulperr.Public(pulperr.Conflict, "migration %s of core is not the one that was applied: the database was "+
			"made by another, unreleased version of pulpcore; start that version, or a new database", m.id)
	}
	return pulperr.Public(pulperr.Conflict, "migration %s of plugin %q has been changed since it was applied: "+
		"restore %[1]s.up.sql as it was, and put the change into a new migration, which pulpcore.WriteMigration can "+
		"write; if the tables were derived from the types before, %[1]s has to be what it writes for the types of that time",
		m.id, m.plugin)
}

// migrationFiles returns the folder that holds a plugin's migrations, and the names of the files.
func migrationFiles(fsys fs.FS) (folder fs.FS, names []string) {
	const pattern, below = "*.sql", "migrations"
	// Glob fails for a malformed pattern only, and this one is constant.
	names, _ = fs.Glob(fsys, pattern)
	if len(names) > 0 {
		return fsys, names
	}
	if sub, err := fs.Sub(fsys, below); err == nil {
		names, _ = fs.Glob(sub, pattern)
		fsys = sub
	}
	return fsys, names
}

// readMigrations returns the steps of one plugin, by number, and all that is wrong with its files.
func readMigrations(fsys fs.FS, words map[string]any) ([]migration, []error) {
	fsys, names := migrationFiles(fsys)
	if len(names) == 0 {
		return nil, []error{errors.New("migrations: the file system has no *.sql file at its top or in its " +
			"folder migrations; embed them by //go:embed migrations/*.sql")}
	}
	var faults []error
	byID := map[string]*migration{}
	for _, name := range names {
		parts := migrationFile.FindStringSubmatch(name)
		if parts == nil {
			faults = append(faults, fmt.Errorf("migration %q: the file is not named NNNN_name.up.sql or NNNN_name.down.sql; "+
				"rename it, as in 0002_colour.up.sql", name))
			continue
		}
		id, up := parts[1], parts[2] == "up"
		if byID[id] == nil {
			byID[id] = &migration{id: id}
		}
		script := &byID[id].down
		if up {
			script = &byID[id].up
		}
		text, err := fs.ReadFile(fsys, name)
		if err == nil {
			// The separator of statements is found by LF, and a checkout on Windows may have CRLF.
			*script, err = render(strings.ReplaceAll(string(text), "\r\n", "\n"), words)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("migration %q: %w; mend the file", name, err))
			// Not empty, or the file would also be reported as missing.
			*script = " "
		}
	}
	plan := make([]migration, 0, len(byID))
	for i, id := range slices.Sorted(maps.Keys(byID)) {
		m := byID[id]
		if m.up == "" || m.down == "" {
			faults = append(faults, fmt.Errorf("migration %s lacks its up or its down file, or that is empty; "+
				"add %[1]s.up.sql and %[1]s.down.sql", id))
		}
		if want := fmt.Sprintf("%04d", i+1); want != id[:4] {
			faults = append(faults, fmt.Errorf("migration %s is number %d in their order; number the files from 0001 without "+
				"gaps, this one %s%s", id, i+1, want, id[4:]))
		}
		plan = append(plan, *m)
	}
	return plan, faults
}

func render(text string, words map[string]any) (string, error) {
	// Without the option a misspelt word would become "<no value>" within a statement.
	t, err := template.New("migration").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, words)
	return b.String(), err
}

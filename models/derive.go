package models

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
)

// derive returns the one migration of a plugin that wrote none: the tables of its types' own columns.
func (r *Registry) derive(s Set, words map[string]any) []migration {
	m := migration{plugin: s.Plugin, id: "0001_initial"}
	for _, t := range s.Types {
		sc := r.byDef[t.definition()]
		if sc.detail == "" {
			continue
		}
		m.up += sc.createTable(words) + "\n--;;\n" + sc.createRepoIndex()
		m.down = "DROP TABLE " + sc.detail + "\n--;;\n" + m.down
	}
	if m.up == "" {
		return nil
	}
	return []migration{m}
}

// createTable returns the statement that makes the type's detail table. A plugin that outgrows derived tables starts
// its own migrations with this text.
func (s *schema) createTable(words map[string]any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (\n"+
		"  pulp_id %s PRIMARY KEY REFERENCES %s ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,\n"+
		"  pulp_domain_id %s NOT NULL", s.detail, words["uuid"], s.master.Table(), words["uuid"])
	var unique []string
	for _, f := range s.fields {
		if !f.Own {
			continue
		}
		fmt.Fprintf(&b, ",\n  %q %s", f.Column, sqlType(f.Go, words))
		if f.Natural {
			unique = append(unique, fmt.Sprintf("%q", f.Column))
		}
	}
	if unique != nil {
		fmt.Fprintf(&b, ",\n  UNIQUE (pulp_domain_id, %s)", strings.Join(unique, ", "))
	}
	b.WriteString("\n)")
	return b.String()
}

// createRepoIndex returns the statement that makes the index for what [RemoveDuplicates] asks: who else claims this
// place? If the natural key begins with the same columns, its index answers that already.
func (s *schema) createRepoIndex() string {
	var columns []string
	covered := len(s.repo) <= len(s.natural)
	for i, f := range s.repo {
		columns = append(columns, fmt.Sprintf("%q", f.Column))
		covered = covered && f.Column == s.natural[i].Column
	}
	if columns == nil || covered {
		return ""
	}
	return fmt.Sprintf("CREATE INDEX %s_place ON %s (pulp_domain_id, %s)\n--;;\n",
		s.detail, s.detail, strings.Join(columns, ", "))
}

// sqlType returns a column type with its nullability: pointers and secrets may be NULL.
func sqlType(t reflect.Type, words map[string]any) string {
	null := " NOT NULL"
	if t.Kind() == reflect.Pointer {
		t, null = t.Elem(), ""
	}
	switch t {
	case reflect.TypeFor[EncryptedText]():
		return words["bytes"].(string)
	case reflect.TypeFor[uuid.UUID]():
		return words["uuid"].(string) + null
	case reflect.TypeFor[time.Time]():
		return words["time"].(string) + null
	case reflect.TypeFor[[]byte]():
		return words["bytes"].(string)
	}
	switch t.Kind() {
	case reflect.String:
		return "TEXT" + null
	case reflect.Bool:
		return "BOOLEAN" + null
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "BIGINT" + null
	case reflect.Float32, reflect.Float64:
		return "DOUBLE PRECISION" + null
	default:
		return words["json"].(string) // NULL for a nil map or slice
	}
}

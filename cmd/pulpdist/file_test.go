package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
)

const head = "name: d\npulpcore: {version: v1.0.0}\n"

func TestBadFiles(t *testing.T) {
	t.Parallel()
	one := "plugins:\n  - module: example.org/p\n    version: v1.0.0\n"
	tests := map[string]struct {
		file string
		want []string // parts of the error
	}{
		"empty":         {"", []string{"the file is empty"}},
		"no YAML":       {"name: [", []string{"line 1"}},
		"two documents": {head + one + "---\nname: e\n", []string{"more than one document"}},
		"unknown keys": {
			head + "pluggins: []\n" + one + "    prerequisites: {atp: [x]}\n",
			[]string{
				`line 3: unknown key "pluggins"; did you mean "plugins"?`,
				`line 7: unknown key "plugins[0].prerequisites.atp"; did you mean "apt"?`,
			},
		},
		"wrong types": {
			head + "plugins: 7\nuser: [a]\n", []string{"line 3: cannot unmarshal !!int", "line 4: cannot unmarshal !!seq"},
		},
		"unknown key behind an alias": {
			head + one + "    before: [&s {run: [a]}]\n    after: [*s]\n    settings: {A: &q {atp: 1}}\n" +
				"  - module: example.org/q\n    version: v1.0.0\n    prerequisites: *q\n",
			[]string{"field atp not found"},
		},
		"wrong timeout": {
			head + one + "    before: [{run: [a], timeout: -1s}]\n",
			[]string{`line 6: "-1s" is not a duration`},
		},
		"no plugins": {head, []string{"plugins: there is none"}},
		"same twice": {
			head + one + one[len("plugins:\n"):],
			[]string{"example.org/p.Plugin is plugins[0] already"},
		},
		"no source": {
			head + "plugins: [{module: example.org/p}]\n",
			[]string{"plugins[0]: it needs either version or path"},
		},
		"shell in name":   {"name: 'a; rm -rf $HOME'\n" + one, []string{`name: "a; rm -rf $HOME" is not of the form`}},
		"newline in user": {head + "user: \"a\\nExecStart=b\"\n" + one, []string{`user: "a\nExecStart=b"`}},
		"quote in module": {head + "plugins: [{module: 'a\"b', version: v1}]\n", []string{`plugins[0].module: "a\"b"`}},
		"option as module": {
			head + "plugins: [{module: -toolexec=x, version: v1}]\n",
			[]string{`plugins[0].module: "-toolexec=x"`},
		},
		"option as apt": {head + one + "    prerequisites: {apt: [-o=x]}\n", []string{`prerequisites: "-o=x"`}},
		"other package": {
			head + one + "    package: example.org/pq\n",
			[]string{`"example.org/pq" is not in the module`},
		},
		"Go in function": {head + one + "    function: 'F(); x'\n", []string{`plugins[0].function: "F(); x"`}},
		"unexported":     {head + one + "    function: plugin\n", []string{"exported Go function"}},
		"empty step":     {head + one + "    after: [{name: x}]\n", []string{"plugins[0].after[0].run: it is empty"}},
		"setting twice": {
			head + "settings: {A: 1}\n" + one + "    settings: {A: 2}\n",
			[]string{"A is set in settings already"},
		},
		"two versions": {
			head + one + "  - {module: example.org/p, function: Other, version: v2.0.0}\n", []string{"another version or path"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "dist.yaml")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readDistribution(path)
			if !errors.Is(err, pulperr.Invalid) {
				t.Fatalf("readDistribution = %v, want an error of kind Invalid", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("readDistribution = %v, want %q in it", err, want)
				}
			}
		})
	}
}

// FuzzParse writes the sources and the scripts of each file that is accepted.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "plugins: [{module: example.org/p, version: v1.0.0, settings: {A: \"'`$(x)\\n\\\"\"}}]\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("plugins: [{before: [{run: [a], timeout: 1s}]}]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parse(raw)
		if err != nil {
			if !errors.Is(err, pulperr.Invalid) {
				t.Errorf("parse = %v, want an error of kind Invalid", err)
			}
			return
		}
		main, err := d.render("main.go.tmpl")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(main), "\n") > 35+len(d.Plugins) {
			t.Errorf("a value adds lines to main.go:\n%s", main)
		}
		if _, err := d.render("install.sh.tmpl"); err != nil {
			t.Error(err)
		}
	})
}

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInitPlugin makes a plugin module, whose own "make test" passes.
func TestInitPlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles a module")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "gadget")
	var out bytes.Buffer
	err = run(t.Context(), &out, []string{
		"init", "plugin", "gadget", "--module", "example.org/x/gadget", "--out", dir, "--pulpcore", root,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := dir + " has the plugin gadget; now: cd " + dir + " && go mod tidy && make test\n"; out.String() != want {
		t.Errorf("init prints %q, want %q", out.String(), want)
	}
	for _, command := range [][]string{{"gofmt", "-l", "."}, {"go", "mod", "tidy"}, {"make", "test"}} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = dir
		text, err := cmd.CombinedOutput()
		if err != nil || command[0] == "gofmt" && len(text) > 0 {
			t.Fatalf("%s = %v:\n%s", strings.Join(command, " "), err, text)
		}
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.Mkdir(taken, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"plugin", "usage: pulpdist init plugin NAME"},
		{"module x", "usage: pulpdist init plugin NAME"},
		{"plugin x extra", "usage: pulpdist init plugin NAME"},
		{"plugin x --nonsense", "usage: pulpdist init plugin NAME"},
		{"plugin X", `"X" cannot be the name of a plugin; take up to 31 of a-z and 0-9`},
		{"plugin ../x", `"../x" cannot be the name of a plugin`},
		{"plugin func", `"func" cannot be the name of a plugin, because Go or Pulp uses it`},
		{"plugin core", `"core" cannot be the name of a plugin, because Go or Pulp uses it`},
		{"plugin x --module a\"b", `"a\"b" is not the path of a Go module`},
		{"plugin x --out " + taken, taken + " exists; give another folder with --out, or remove it"},
		{"plugin x --out " + filepath.Join(dir, "no", "folder"), "no such file or directory"},
	} {
		err := run(t.Context(), new(bytes.Buffer), append([]string{"init"}, strings.Fields(tt.args)...))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("init %s = %v, want an error with %q", tt.args, err, tt.want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v, want nothing new", left, err)
	}
}

package gomod_test

import (
	"path"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/pulpgo/pulpcore/examples/gomod"
	"github.com/pulpgo/pulpcore/models"
)

// FuzzPath: a path that is accepted names a valid module and a canonical version, is the only path of its file, and is
// safe as a path of the content app and of an upstream.
func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"example.com/m/@v/list", "example.com/m/@latest", "example.com/!m/v2/@v/v2.0.0.info",
		"example.com/m/@v/v1.0.0-!r!c.1.mod",
		"example.com/m/@v/v2.0.0+incompatible.zip", "example.com/m/@v/v0.0.0-20240102030405-abcdefabcdef.zip", "",
		"example.com/m/@v/v1.0.0.info", "gopkg.in/m.v2/@v/v2.0.0.mod", "example.com/../m/@v/list", "example.com//m/@v/list",
		"example.com/m/@v/@v/list", "example.com/M/@v/list", "example.com/m/@v/v1.0.0.zip/", "@latest", "/@latest",
		"a/@v/..info",
		"example.com/m/@v/v1.0.info", "example.com/%2e%2e/@v/list", "\xff/@v/list", "example.com/m\x00/@latest",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		mod, version, kind, file, ok := gomod.ParsePath(p)
		if !ok {
			return
		}
		if err := module.CheckPath(mod); err != nil {
			t.Errorf("%q: module %q: %v", p, mod, err)
		}
		if !models.ValidPath(p) || path.Clean(p) != p || strings.ToLower(p) != p {
			t.Errorf("%q is accepted", p)
		}
		if kind == "list" || kind == "latest" {
			if version != "" {
				t.Errorf("%q: %s of version %q", p, kind, version)
			}
			return
		}
		if file != p {
			t.Errorf("%q names the file %q", p, file)
		}
		if err := module.Check(mod, version); err != nil || module.CanonicalVersion(version) != version {
			t.Errorf("%q: version %q: %v", p, version, err)
		}
	})
}

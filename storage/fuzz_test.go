package storage_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

// FuzzKey asks a folder for keys and prefixes made of anything. What lies outside of it must stay unseen and unhurt,
// and every refusal has a kind.
func FuzzKey(f *testing.F) {
	for _, key := range []string{
		"", ".", "..", "../secret", "a/../../secret", "/secret", "tmp/x", "artifact/../../secret", "a//b", "c:secret",
		"a\\..\\..\\secret", "\x00", "\xff", "spool/x", "ａ", strings.Repeat("a", 256), "con", "tmp/x ", "tmp/x/",
	} {
		f.Add(key, "")
		f.Add("tmp/x", key)
	}
	dir := f.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		f.Fatal(err)
	}
	s := open(f, filepath.Join(dir, "root"), nil)
	f.Fuzz(func(t *testing.T, key, prefix string) {
		v := s.InPrefix(prefix)
		if r, err := v.Open(t.Context(), key); err == nil {
			r.Close()
			t.Errorf("there is something at %q in %q", key, prefix)
		} else if k := pulperr.KindOf(err); k != pulperr.NotFound && k != pulperr.Invalid {
			t.Errorf("Open(%q) in %q = %v, kind %v", key, prefix, err, k)
		}
		if err := v.Delete(t.Context(), key); err != nil && pulperr.KindOf(err) != pulperr.Invalid {
			t.Errorf("Delete(%q) in %q = %v", key, prefix, err)
		}
		for a, err := range v.List(t.Context(), key) {
			if err == nil || pulperr.KindOf(err) != pulperr.Invalid {
				t.Errorf("List(%q) in %q = %+v, %v", key, prefix, a, err)
			}
		}
		if _, err := os.Stat(secret); err != nil {
			t.Fatalf("the secret is gone: %v", err)
		}
	})
}

// FuzzArtifactKey proves that a key is either refused or names exactly its digest.
func FuzzArtifactKey(f *testing.F) {
	f.Add("")
	f.Add("../../../../../../../../../../../../../../../../../../etc/passwd__")
	f.Add(strings.Repeat("a", 64))
	f.Add(strings.Repeat("A", 64))
	f.Fuzz(func(t *testing.T, digest string) {
		key := storage.ArtifactKey(digest)
		if key == "" {
			return
		}
		back := strings.ReplaceAll(strings.TrimPrefix(key, "artifact/"), "/", "")
		if back != digest || !fs.ValidPath(key) || len(key) != 74 {
			t.Errorf("ArtifactKey(%q) = %q", digest, key)
		}
	})
}

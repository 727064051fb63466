package storage_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/storage"
)

func TestOpenURL(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	hello := hashlib.SHA256Hex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
	file := filepath.FromSlash(storage.ArtifactKey(hello.SHA256))
	for rawURL, at := range map[string]string{
		"file://" + dir + "/a/b":          "a/b",
		"file://localhost" + dir + "/c":   "c",
		"file://./d":                      "d",
		"file:e":                          "e",
		"./f/g":                           "f/g",
		"h":                               "h",
		"./a:b":                           "a:b",
		"file://" + dir + "/j?prefix=o/":  "j/o",
		dir + "/i":                        "i",
		"file://" + dir + "/j?prefix=k/l": "j/k/l",
		"file://" + dir + "/with%20space?metadata=skip":     "with space",
		"file://" + dir + "/m?no_tmp_dir=1&create_dir=true": "m",
	} {
		s := open(t, rawURL, nil)
		if _, err := s.PutArtifact(t.Context(), strings.NewReader("hello"), &hashlib.Expect{Digests: hello}); err != nil {
			t.Errorf("PutArtifact in %q = %v", rawURL, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, at, file)); string(b) != "hello" {
			t.Errorf("Open(%q) does not store in %q: %v", rawURL, at, err)
		}
	}
	notFolder := filepath.Join(dir, "file")
	if err := os.WriteFile(notFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for rawURL, kind := range map[string]pulperr.Kind{
		"":                            pulperr.Invalid,
		"file://":                     pulperr.Invalid,
		"file://host/x":               pulperr.Invalid,
		"file:///x?unknown=1":         pulperr.Invalid,
		"file:///x?prefix=..":         pulperr.Invalid,
		"mem://?prefix=artifact":      pulperr.Invalid,
		"mem://?prefix=a/../b":        pulperr.Invalid,
		"unheard:of":                  pulperr.Invalid,
		"unheard://of":                pulperr.Invalid,
		"http://[::1":                 pulperr.Invalid,
		"s3://b?secret=hunter2&bad=1": pulperr.Unavailable,
		notFolder:                     pulperr.Unavailable,
	} {
		_, err := storage.Open(t.Context(), rawURL, nil)
		if !errors.Is(err, kind) || pulperr.KindOf(err) != kind {
			t.Errorf("Open(%q) = %v, want kind %v", rawURL, err, kind)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	sums, err := hashlib.Allow("sha256", "md5")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "mem://", &storage.Options{Checksums: sums})
	o, err := s.PutArtifact(t.Context(), strings.NewReader("x"), nil)
	if err != nil || o.Digests.MD5 == "" || o.Digests.SHA512 != "" {
		t.Errorf("PutArtifact = %+v, %v, want sha256 and md5 only", o, err)
	}
	onlySHA1 := &hashlib.Expect{Digests: hashlib.Digests{SHA1: strings.Repeat("a", 40)}}
	if _, err := s.NewArtifactWriter(t.Context(), onlySHA1); !errors.Is(err, pulperr.Unsupported) {
		t.Errorf("NewArtifactWriter = %v, want Unsupported", err)
	}
	if _, err := storage.Open(t.Context(), "mem://", &storage.Options{Mux: new(blob.URLMux)}); err != nil {
		t.Errorf("Open = %v", err)
	}
	if _, err := s.Usage(t.Context()); !errors.Is(err, pulperr.Unsupported) {
		t.Errorf("Usage in memory = %v, want Unsupported", err)
	}
	_, err = s.SignedURL(t.Context(), o.Key, &storage.SignOptions{Method: http.MethodPut})
	if s.CanSign() || !errors.Is(err, pulperr.Unsupported) {
		t.Errorf("SignedURL in memory = %v, CanSign %v", err, s.CanSign())
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if _, err := s.Stat(t.Context(), o.Key); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("Stat after Close = %v, want Unavailable", err)
	}
}

// TestFileNameNeedsHook proves that a file name is never dropped in silence.
func TestFileNameNeedsHook(t *testing.T) {
	setS3Credentials(t)
	s := open(t, fakeS3(t), nil)
	if !s.CanSign() {
		t.Error("CanSign = false")
	}
	key := storage.ArtifactKey(strings.Repeat("a", 64))
	_, err := s.SignedURL(t.Context(), key, &storage.SignOptions{Filename: "x"})
	if !errors.Is(err, pulperr.Unsupported) {
		t.Errorf("SignedURL = %v, want Unsupported", err)
	}
}

// TestFolderOnDisk looks at what the folder is made of.
func TestFolderOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	b := bytes.Repeat([]byte("x"), 1000)
	o, err := s.PutArtifact(t.Context(), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, filepath.FromSlash(o.Key))
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the artifact there are %v, %v", entries, err)
	}
	if err := os.Truncate(file, 500); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutArtifact(t.Context(), bytes.NewReader(b), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); !bytes.Equal(got, b) {
		t.Errorf("a damaged artifact was not replaced: %d bytes, %v", len(got), err)
	}
	r, err := s.Open(t.Context(), o.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(file, 500); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := r.WriteTo(&got); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("reading a file that was cut meanwhile = %v after %d bytes, want Unavailable", err, got.Len())
	}
	temp, err := s.PutTemp(t.Context(), [16]byte{1}, bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Promote(t.Context(), temp); err != nil {
		t.Errorf("Promote onto a damaged artifact = %v", err)
	}
	if got, err := os.ReadFile(file); !bytes.Equal(got, b) {
		t.Errorf("Promote did not replace a damaged artifact: %d bytes, %v", len(got), err)
	}
}

func TestSymlinkOutside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	s := open(t, root, nil)
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600),
		os.Symlink("..", filepath.Join(root, "out")),
		os.Symlink(dir, filepath.Join(root, "artifact")),
	); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Open(t.Context(), "out/secret"); err == nil {
		r.Close()
		t.Error("Open follows a symbolic link out of the folder")
	}
	if _, err := s.PutArtifact(t.Context(), strings.NewReader("x"), nil); !errors.Is(err, pulperr.Unavailable) {
		t.Errorf("PutArtifact through a symbolic link = %v, want Unavailable", err)
	}
	for a, err := range s.List(t.Context(), "") {
		t.Errorf("List = %+v, %v", a, err)
	}
}

package rest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/dbtest"
	"github.com/pulpgo/pulpcore/internal/modelstest"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/pulperr"
	"github.com/pulpgo/pulpcore/rest"
	"github.com/pulpgo/pulpcore/storage"
)

func TestFileIsCopied(t *testing.T) {
	t.Parallel()
	db := modelstest.Open(t, dbtest.SQLite(t), nil)
	store, err := storage.Open(t.Context(), "mem://", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	artifact, err := models.NewArtifact(t.Context(), db, store, strings.NewReader("the bytes"), nil)
	if err != nil {
		t.Fatal(err)
	}
	f, dir := &rest.File{Artifact: artifact, DB: db, Store: store}, t.TempDir()
	path, err := f.CopyTo(t.Context(), dir)
	if err != nil || filepath.Dir(path) != dir {
		t.Fatalf("CopyTo = %q, %v", path, err)
	}
	if body, err := os.ReadFile(path); err != nil || string(body) != "the bytes" {
		t.Errorf("the copy has %q, %v", body, err)
	}
	if path, err := f.CopyTo(t.Context(), filepath.Join(dir, "none")); pulperr.KindOf(err) != pulperr.Unavailable {
		t.Errorf("CopyTo a missing directory = %q, %v, want Unavailable", path, err)
	}
	if err := store.Delete(t.Context(), artifact.Key()); err != nil {
		t.Fatal(err)
	}
	if path, err := f.CopyTo(t.Context(), dir); pulperr.KindOf(err) != pulperr.NotFound {
		t.Errorf("CopyTo of lost bytes = %q, %v, want NotFound", path, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v, want the first copy", left, err)
	}
}

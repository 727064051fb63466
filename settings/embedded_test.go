package settings_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pulpgo/pulpcore/settings"
)

func TestLoadWithNothingGivesAnEmbeddedSetup(t *testing.T) {
	t.Parallel()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	set, err := settings.Load()
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	if set, err = set.With(); err != nil {
		t.Fatalf("With() = %v", err)
	}
	c := set.Core()
	root := filepath.Join(wd, "pulp")
	for _, row := range []struct{ name, got, want string }{
		{"DeployRoot", c.DeployRoot, root},
		{"MediaRoot", c.MediaRoot, root + "/media"},
		{"WorkingDirectory", c.WorkingDirectory, root + "/tmp"},
		{"FileUploadTempDir", c.FileUploadTempDir, root + "/tmp"},
		{"DBEncryptionKey", c.DBEncryptionKey, root + "/database_fields.symmetric.key"},
		{"DatabaseURL", c.DatabaseURL.Reveal(), "sqlite:" + root + "/pulp.db"},
		{"StorageURL", c.StorageURL.Reveal(), "file://" + root + "/media"},
		{"RedisURL", c.RedisURL.Reveal(), ""},
	} {
		if row.got != row.want {
			t.Errorf("%s = %q, want %q", row.name, row.got, row.want)
		}
	}
	if c.Checksums == nil || len(c.Checksums.List()) != 4 {
		t.Errorf("Checksums = %v, want four algorithms", c.Checksums)
	}
}

//go:build unix

package download_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pulpgo/pulpcore/download"
	"github.com/pulpgo/pulpcore/pulperr"
)

// Opening a pipe that nobody writes to must not wait.
func TestNamedPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, download.Config{AllowedImportPaths: []string{dir}})
	_, err := c.Stream(t.Context(), &download.Request{URL: fileURL(dir, "pipe")}, &memory{})
	wantKind(t, err, pulperr.Invalid)
}

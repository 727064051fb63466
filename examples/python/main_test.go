package main

import (
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore/internal/nettest"
)

// maxLines is what the plugin, without the host, may have: lines of code behind the imports, without comments and blank lines.
const maxLines = 450

func TestLines(t *testing.T) {
	t.Parallel()
	lines := 0
	err := filepath.WalkDir("python", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		_, code, _ := strings.Cut(string(src), "\n)\n")
		for line := range strings.Lines(code) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
		return err
	})
	if err != nil || lines > maxLines || lines < maxLines/2 {
		t.Errorf("the plugin has %d lines of code, %v, want at most %d", lines, err, maxLines)
	}
}

// TestRun starts the program, asks it for its status as the administrator that it has made, and ends it.
func TestRun(t *testing.T) {
	addr := nettest.FreeAddr(t)
	t.Setenv("PULP_DEPLOY_ROOT", t.TempDir())
	t.Setenv("PULP_LISTEN", addr)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "secret") }()
	nettest.Await(t, addr)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/pulp/api/v3/remotes/python/python/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", "secret")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the list of remotes is answered with %s, want 200", res.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run = %v, want nil after the end of its context", err)
	}
}

package pulpcmd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/settings"
)

func program() *Program {
	return &Program{Name: "test", Plugins: []*pulpcore.Plugin{file.Plugin()}}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"nonsense"}, {"api", "more"}, {"proxy"}, {"proxy", "caddy"}} {
		err := program().Run(t.Context(), &strings.Builder{}, args)
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "test [api | check | ") {
			t.Errorf("Run(%q) = %v, want the usage", args, err)
		}
	}
}

// TestDefaults puts settings of all three layers above each other.
func TestDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.toml")
	if err := os.WriteFile(path, []byte("PAGE_SIZE = 20\nWORKERS = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PULP_SETTINGS", path)
	t.Setenv("PULP_WORKERS", "3")
	p := program()
	p.Defaults = []byte("PAGE_SIZE: 10\nWORKERS: 1\nLISTEN: 127.0.0.1:7\n")
	set, err := p.Load()
	if err != nil {
		t.Fatal(err)
	}
	if c := set.Core(); c.PageSize != 20 || c.Workers != 3 || c.Listen != "127.0.0.1:7" {
		t.Errorf("PAGE_SIZE %d, WORKERS %d, LISTEN %s; want 20, 3, 127.0.0.1:7", c.PageSize, c.Workers, c.Listen)
	}
	p.Defaults = []byte("HTTP_BODY_TIMEOUT: many\n")
	if _, err := p.Load(); err == nil || !strings.Contains(err.Error(), "defaults of test") {
		t.Errorf("Load() = %v, want a fault of the defaults", err)
	}
}

func TestProxyConfig(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PULP_DEPLOY_ROOT", filepath.Join(dir, "pulp"))
	for server, want := range map[string]string{
		"nginx":  "proxy_pass http://pulp-content;",
		"apache": `ProxyPassMatch "^/pulp/content(?:/|\z|\?)" "http://127.0.0.1:24817" nocanon`,
	} {
		var out strings.Builder
		err := program().Run(t.Context(), &out, []string{"proxy", server})
		if err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("run(proxy %s) = %v, %s; want %s", server, err, out.String(), want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it made %v, %v", left, err)
	}
}

func TestCheckTellsWhatIsBroken(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(settings.Value("DEPLOY_ROOT", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.Open(t.Context(), set, file.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	var out strings.Builder
	if err := check(t.Context(), &out, app); err != nil || out.String() != "" {
		t.Errorf("check() = %v and prints %q, want nothing", err, out.String())
	}
	_, err = app.DB().Bun().NewRaw(`INSERT INTO core_taskresource (rkey, exclusive, seq, task_id)
		VALUES (1, TRUE, 1, '00000000-0000-0000-0000-000000000001')`).Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t.Context(), &out, app); err == nil || !strings.Contains(out.String(), "reservations: task 0000") {
		t.Errorf("check() = %v and prints %q, want a violation", err, out.String())
	}
}

// TestChecksumCommands changes ALLOWED_CONTENT_CHECKSUMS of a server that has an artifact.
func TestChecksumCommands(t *testing.T) {
	t.Setenv("PULP_DEPLOY_ROOT", t.TempDir())
	t.Setenv("PULP_SETTINGS", "")
	t.Setenv("PULP_LOGGING", `{"root": {"level": "ERROR"}}`)
	ctx := t.Context()
	t.Setenv("PULP_ALLOWED_CONTENT_CHECKSUMS", `["sha256", "md5"]`)
	set, err := program().Load()
	if err != nil {
		t.Fatal(err)
	}
	app, err := pulpcore.Open(ctx, set, file.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = models.NewArtifact(ctx, app.DB(), app.Store(), strings.NewReader("abc"), nil); err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PULP_ALLOWED_CONTENT_CHECKSUMS", `["sha256", "sha512"]`)
	for _, step := range []struct{ command, out, fault string }{
		{"check", "", "1 lack sha512, 1 have md5. Run the command of this program that calls models.FixChecksums"},
		{"checksums", "sha512  allowed    1 artifacts lack it\n", "run test fix-checksums"},
		{"fix-checksums", "1 artifacts got digests, 0 lost forbidden ones, 0 are broken; 3 bytes were read\n", ""},
		{"checksums", "md5     forbidden  0 artifacts have it\n", ""},
		{"check", "", ""},
	} {
		var out strings.Builder
		err := program().Run(ctx, &out, []string{step.command})
		if !strings.Contains(out.String(), step.out) || (err == nil) != (step.fault == "") ||
			err != nil && !strings.Contains(err.Error(), step.fault) {
			t.Errorf("%s prints %q and fails with %v, want %q and %q", step.command, out.String(), err, step.out, step.fault)
		}
	}
}

package pulpcore_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpgo/pulpcore"
	"github.com/pulpgo/pulpcore/examples/fileserver/file"
	"github.com/pulpgo/pulpcore/settings"
)

// What a trusted proxy says of a client is in the log and in answers, and what anybody else says is not.
func TestFrontOfAnApp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, err := quiet(dir, settings.Value("DATABASE_URL", "sqlite:"+filepath.Join(dir, "pulp.db")),
		settings.Value("TRUSTED_PROXIES", []string{"10.0.0.1"}), settings.Value("ALLOWED_HOSTS", []string{"pulp.example"}))
	noError(t, err)
	var lines bytes.Buffer
	app, err := pulpcore.OpenWith(t.Context(), set, &pulpcore.Options{AccessLog: slog.New(slog.NewTextHandler(&lines, nil))},
		file.Plugin())
	noError(t, err)
	defer app.Close()
	_, err = app.CreateAdmin(t.Context(), "secret password")
	noError(t, err)
	for _, test := range []struct{ peer, status, next, line string }{
		{"10.0.0.1:5", "200", "https://pulp.example/", "address=198.51.100.7"},
		{"192.0.2.9:5", "400", "", "address=192.0.2.9"},
	} {
		lines.Reset()
		r := httptest.NewRequest(http.MethodGet, "/pulp/api/v3/?token=hidden", nil)
		r.RemoteAddr, r.Host = test.peer, "inner.example"
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		r.Header.Set("X-Forwarded-Host", "pulp.example")
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Correlation-ID", "0123456789abcdef0123456789abcdef")
		res := httptest.NewRecorder()
		app.API().ServeHTTP(res, r)
		line := lines.String()
		if !strings.Contains(line, "path=/pulp/api/v3/ status="+test.status) || !strings.Contains(line, test.line) ||
			!strings.Contains(line, "correlation_id=0123456789abcdef0123456789abcdef") || strings.Contains(line, "hidden") ||
			strings.Count(line, "\n") != 1 {
			t.Errorf("from %s: the access log has %q", test.peer, line)
		}
		if !strings.Contains(res.Body.String(), test.next) {
			t.Errorf("from %s: %s", test.peer, res.Body)
		}
	}
	lines.Reset()
	r := httptest.NewRequest(http.MethodGet, "http://pulp.example/pulp/api/v3/tasks/", nil)
	r.SetBasicAuth(pulpcore.AdminName, "secret password")
	app.API().ServeHTTP(httptest.NewRecorder(), r)
	if line := lines.String(); !strings.Contains(line, "status=200") || !strings.Contains(line, "user=admin") {
		t.Errorf("the access log has %q", line)
	}
}

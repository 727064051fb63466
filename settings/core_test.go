package settings_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulpgo/pulpcore/hashlib"
	"github.com/pulpgo/pulpcore/settings"
)

func TestCoreUnits(t *testing.T) {
	t.Parallel()
	c := load(t, settings.Environ("PULP_", []string{
		"PULP_WORKER_TTL=45", "PULP_ORPHAN_PROTECTION_TIME=2", "PULP_UPLOAD_PROTECTION_TIME=2h",
		"PULP_SYNC_MAX_IN_FLIGHT_MB=3",
		"PULP_CACHE_SETTINGS__expires_ttl=7", "PULP_MAX_CONCURRENT_CONTENT=9", "PULP_CONTENT_ORIGIN=https://h/",
		"PULP_OTEL_METRICS_DISPATCH_INTERVAL_MINUTES=0.5", `PULP_ALLOWED_CONTENT_CHECKSUMS=["md5", "sha256"]`,
		"PULP_ALLOWED_IMPORT_PATHS=@merge /srv/import", "PULP_HTTP_SEND_TIMEOUT=90",
	})).Core()
	got := []any{
		c.WorkerTTL, c.OrphanProtectionTime, c.UploadProtectionTime, c.SyncMaxInFlightBytes, c.CacheSettings.ExpiresTTL,
		c.SyncMaxInFlightItems, c.ContentOrigin, c.OtelMetricsDispatchInterval, c.Checksums.List(), c.AllowedImportPaths,
		c.HTTPSendTimeout,
	}
	want := []any{
		45 * time.Second, 2 * time.Minute, 2 * time.Hour, int64(3 << 20), 7 * time.Second, 9, "https://h", 30 * time.Second,
		[]hashlib.Algorithm{hashlib.SHA256, hashlib.MD5},
		[]string{"/srv/import"},
		90 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Core() (-want +got):\n%s", diff)
	}
}

func TestCoreValidators(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		key    string
		value  any
		reason string
	}{
		{"API_ROOT", "pulp/", "does not begin and end with a slash"},
		{"API_ROOT", "/pulp", "does not begin and end with a slash"},
		{"API_ROOT", "/a/../b/", "is not a plain path"},
		{"API_ROOT", "/{x}/", "is not a plain path"},
		{"CONTENT_PATH_PREFIX", "/a", "does not begin and end with a slash"},
		{"CONTENT_PATH_PREFIX", "/pulp/", "equals API_ROOT"},
		{"API_ROOT_REWRITE_HEADER", "X Y", "is not the name of a header"},
		{"CONTENT_ORIGIN", "h", "is not http:// or https:// and a host"},
		{"CONTENT_ORIGIN", "ftp://h", "is not http:// or https:// and a host"},
		{"CONTENT_ORIGIN", "http://u@h", "has more than scheme, host and path"},
		{"CONTENT_HAS_OWN_ORIGIN", true, "needs CONTENT_ORIGIN"},
		{"CSRF_TRUSTED_ORIGINS", []string{"https://fine.example", "a.example"}, `origin "a.example" is not http:// or https://`},
		{"CSRF_TRUSTED_ORIGINS", []string{"https://*.example"}, `origin "https://*.example" has a wildcard`},
		{"HTTP_HEADER_TIMEOUT", 0, "is not more than 0"},
		{"HTTP_BODY_TIMEOUT", 0, "is not more than 0"},
		{"HTTP_SEND_TIMEOUT", 0, "is not more than 0"},
		{"HTTP_IDLE_TIMEOUT", -1, "is not more than 0"},
		{"ALLOWED_HOSTS", []string{}, "is empty"},
		{"PAGE_SIZE", 0, "is less than 1"},
		{"DATABASE_URL", "mysql://h", "is neither sqlite: nor postgres://"},
		{"STORAGE_URL", "/srv", "is not a URL"},
		{"STORAGE_URL", "weird://b", "is on, but this kind of storage"},
		{"REDIS_URL", "http://h", "is none of redis://"},
		{"REDIS_PORT", 70000, "is not a port"},
		{"CACHE_SETTINGS__EXPIRES_TTL", 0, "is not more than 0"},
		{"WORKER_TTL", 0, "is not more than 0"},
		{"OTEL_METRICS_DISPATCH_INTERVAL_MINUTES", 0, "is not more than 0"},
		{"TASK_GRACE_INTERVAL", -1, "is less than 0"},
		{"DISTRIBUTED_PUBLICATION_RETENTION_PERIOD", -1, "is less than 0"},
		{"MAX_CONCURRENT_CONTENT", 0, "is less than 1"},
		{"SYNC_MAX_IN_FLIGHT_MB", 0, "is less than 1"},
		{"SYNC_MAX_IN_FLIGHT_ITEMS", -1, "is less than 0"},
		{"VULN_REPORT_TASK_LIMITER", 0, "is less than 1"},
		{"IMPORT_WORKERS_PERCENT", 101, "is not between 1 and 100"},
		{"OTEL_PULP_API_HISTOGRAM_BUCKETS", []float64{1, 1}, "is not ascending"},
		{"OTEL_PULP_API_HISTOGRAM_BUCKETS", []string{"a"}, "is not a number"},
		{"ENABLED_PLUGINS", []string{}, "is an empty list"},
		{"AUTHENTICATION_JSON_HEADER", "X-ID", "does not begin with HTTP_"},
		{"AUTHENTICATION_JSON_HEADER", "HTTP_X", "must both be set, or neither"},
		{"AUTHENTICATION_JSON_HEADER_JQ_FILTER", "a", "does not begin with a dot"},
		{"WORKER_NAME_TEMPLATE", "{x}", "has a placeholder other than"},
		{"WORKER_NAME_TEMPLATE", "", "is empty"},
		{"ALLOWED_IMPORT_PATHS", []string{"a"}, `has the path "a", which is not absolute`},
		{"ALLOWED_EXPORT_PATHS", []string{"a"}, `has the path "a", which is not absolute`},
		{"CHUNKED_UPLOAD_DIR", "../x", "is not a relative path"},
		{"ALLOWED_CONTENT_CHECKSUMS", []string{"sha512"}, "sha256 must be allowed"},
		{"ALLOWED_CONTENT_CHECKSUMS", []string{"sha256", "crc32"}, "\"crc32\" is not a known checksum"},
		{"DEPLOY_ROOT", "", "is not a path"},
		{"DEPLOY_ROOT", "a\x00b", "is not a path"},
		{"DEPLOY_ROOT", "/a?b", "is not a path for a SQLite database"},
		{"DB_ENCRYPTION_KEY", "/does/not/exist", "names a file that cannot be read"},
		{"LOGGING__format", "xml", "is neither text nor json"},
		{"LOGGING__root__level", "LOUD", "is not a level"},
		{"LOGGING__handlrs", 1, `did you mean "handlers"`},
		{"LOGGING__handlers__x__format", "xml", "is neither text nor json"},
		{"LOGGING__handlers__x__level", "LOUD", "is not a level"},
		{"LOGGING__handlers__x__output", "log/pulp.log", `is "log/pulp.log"; write stderr, stdout, discard or the absolute path`},
		{"LOGGING__handlers__x__class", "logging.handlers.SMTPHandler", "which does not exist here; write output"},
		{"LOGGING__handlers__x", m{"handler": "h", "output": "stderr"}, "excludes output and format"},
		{"LOGGING__handlers__x__loggers", []string{"a..b"}, `has "a..b", which is not the name of a logger`},
		{"LOGGING__handlers__x__outptu", "stderr", `did you mean "output"`},
		{"LOGGING__loggers__a b", m{"level": "INFO"}, "is not the name of a logger"},
	} {
		t.Run(row.key+" "+row.reason, func(t *testing.T) {
			t.Parallel()
			_, err := settings.Load(settings.Value(row.key, row.value))
			if err == nil || !strings.Contains(err.Error(), row.reason) {
				t.Errorf("Load(%s = %v) = %v, want %q", row.key, row.value, err, row.reason)
			}
			if err != nil && row.key != "STORAGE_URL" && !strings.Contains(err.Error(), row.key) {
				t.Errorf("Load(%s = %v) = %v, want the key", row.key, row.value, err)
			}
		})
	}
}

func TestContentHasAnOriginAndNoPath(t *testing.T) {
	t.Parallel()
	own := settings.Value("CONTENT_HAS_OWN_ORIGIN", true)
	load(t, own, settings.Value("CONTENT_ORIGIN", "https://content.example/"))
	_, err := settings.Load(own, settings.Value("CONTENT_ORIGIN", "https://pulp.example/files"))
	if err == nil || !strings.Contains(err.Error(), "has a path") {
		t.Errorf("Load() with a path = %v", err)
	}
}

func TestUnsignedStorageIsFineWithoutRedirects(t *testing.T) {
	t.Parallel()
	load(t, settings.Value("STORAGE_URL", "weird://b"), settings.Value("REDIRECT_TO_OBJECT_STORAGE", false))
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := base64.URLEncoding.EncodeToString(make([]byte, 32))
	load(t, settings.Value("DB_ENCRYPTION_KEY", write(t, dir, "good", "# old\n\n"+key+"\n  "+key+"\r\n")))
	for text, want := range map[string]string{
		"":              "without a key",
		"# only\n":      "without a key",
		key + "\nAAAA":  "line 2 is not a key",
		"not base64 !!": "line 1 is not a key",
	} {
		_, err := settings.Load(settings.Value("DB_ENCRYPTION_KEY", write(t, t.TempDir(), "bad", text)))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "base64 !!") {
			t.Errorf("Load() with key file %q = %v, want %q", text, err, want)
		}
	}
	// A derived key file that exists is checked as well.
	root := t.TempDir()
	write(t, root, "database_fields.symmetric.key", "x")
	if _, err := settings.Load(settings.Value("DEPLOY_ROOT", root)); err == nil {
		t.Error("Load() with a bad derived key file = nil")
	}
}
